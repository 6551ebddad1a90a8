"""An engine that is configured and then forked keeps working on both sides."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")

PREAMBLE = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: forking with threads, on purpose here
from zoocache_core import Engine

def in_child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"the child failed: {status}"
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise SystemExit("the child hangs")
"""


def program(body: str) -> None:
    """Run ``body`` in a process of its own: forking a test runner with threads helps nobody."""
    code = PREAMBLE + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_forked_child_has_what_was_cached_and_goes_its_own_way() -> None:
    program("""
        engine = Engine()
        engine.set("k", 1, deps="t")
        def child():
            assert engine.get("k") == 1
            engine.invalidate("t")
            assert engine.get("k") is None
        in_child(child)
        assert engine.get("k") == 1
    """)


def test_a_flight_of_a_thread_of_the_parent_does_not_block_the_child() -> None:
    program("""
        engine = Engine(flight_timeout=3600)
        entered, go = threading.Event(), threading.Event()
        @engine.cacheable
        def slow():
            if os.getpid() == parent:
                entered.set()
                assert go.wait(20)
            return os.getpid()
        parent = os.getpid()
        thread = threading.Thread(target=slow, daemon=True)
        thread.start()
        entered.wait(20)
        in_child(lambda: slow() == os.getpid() or os._exit(3))
        go.set()
        thread.join(20)
        assert slow() == parent
    """)


def test_locks_that_other_threads_hold_do_not_stay_locked_in_the_child() -> None:
    program("""
        engine = Engine(max_entries=50)
        stop = threading.Event()
        def busy(n):
            i = 0
            while not stop.is_set():
                i += 1
                engine.set(f"{n}-{i % 100}", i, deps=f"t:{i % 7}")
                engine.invalidate(f"t:{i % 5}")
        threads = [threading.Thread(target=busy, args=(n,), daemon=True) for n in range(3)]
        for thread in threads:
            thread.start()
        def child():
            engine.set("mine", 1, deps="t:1")
            assert engine.get("mine") == 1
            engine.invalidate("t:1")
            assert engine.get("mine") is None
            assert engine.stats().entries <= 50
        for _ in range(20):
            in_child(child)
        stop.set()
        for thread in threads:
            thread.join(20)
    """)


def test_the_pruner_works_in_the_child_too() -> None:
    program("""
        engine = Engine(auto_prune_secs=0.001, auto_prune_interval=0.02)
        def pruned():
            engine.invalidate("a:b")
            deadline = time.monotonic() + 20
            while engine.stats().tags:
                assert time.monotonic() < deadline, "nobody prunes"
                time.sleep(0.005)
        pruned()
        in_child(pruned)
        pruned()
    """)


def test_the_pruner_keeps_no_process_alive() -> None:
    program("""
        engine = Engine(auto_prune_secs=1000)
    """)
