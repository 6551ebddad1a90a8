"""An engine on LMDB that is configured and then forked keeps working on both sides."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PREAMBLE = """
import ctypes, os, sys, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: forking with threads, on purpose here
from zoocache_core import Engine
URL = sys.argv[1]

def fork_in_c():
    '''As a server written in C may do it: Python is told afterwards, but not before.'''
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return pid

def in_child(work, fork=os.fork):
    pid = fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid

def join(*pids):
    deadline = time.monotonic() + 30
    for pid in pids:
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f"a child failed: {status}"
                break
            time.sleep(0.005)
        else:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise SystemExit("a child hangs")
"""


def program(tmp_path: Path, body: str) -> None:
    """Run ``body`` in a process of its own: forking a test runner with threads helps nobody."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(body), f"lmdb://{tmp_path}/cache"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_parent_and_child_share_the_cache(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        engine = Engine(storage_url=URL)
        other = Engine(storage_url=URL)
        engine.set("of the parent", [1], deps="t")
        assert engine.get("of the parent") == other.get("of the parent") == [1]

        def child():
            for own in (engine, other):
                assert own.get("of the parent") == [1]
            engine.set("of the child", 2)
            other.invalidate("t")
            assert engine.get("of the parent") is None
            join(in_child(grandchild))
            assert engine.get("of the grandchild") == 3

        def grandchild():
            assert other.get("of the child") == 2
            engine.set("of the grandchild", 3)

        for _ in range(5):
            engine.set("of the parent", [1], deps="t", stamp=engine.stamp())
            join(in_child(child))
            assert engine.get("of the parent") is None
            assert other.get("of the grandchild") == 3
            engine.clear()
        engine.reset()
        other.reset()
        """,
    )


def test_forks_while_threads_read_and_write(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        engine = Engine(storage_url=URL)
        stop = threading.Event()
        failures, rounds = [], [0, 0, 0]

        def busy(index):
            try:
                number = 0
                while not stop.is_set():
                    number += 1
                    engine.set(f"k{index}", number, deps=f"t:{index}")
                    for _ in range(20):
                        assert engine.get(f"k{index}") == number
                    engine.invalidate(f"t:{index}")
                    assert engine.get(f"k{index}") is None
                    rounds[index] += 1
            except BaseException as error:
                failures.append(error)
                raise

        def child():
            for number in range(20):
                engine.set(f"c{os.getpid()}", number, deps="c")
                assert engine.get(f"c{os.getpid()}") == number
                engine.invalidate("c:x")
            assert engine.stats().errors == 0

        threads = [threading.Thread(target=busy, args=(index,), daemon=True) for index in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            before = sum(rounds)
            join(*(in_child(child) for _ in range(2)))
            while sum(rounds) == before and not failures:
                time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not failures, failures
        assert engine.stats().errors == 0
        """,
    )


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="it ends the process unless told before")
def test_a_fork_that_python_is_told_of_only_afterwards(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        engine = Engine(storage_url=URL)
        engine.set("k", 1, deps="t")
        assert engine.get("k") == 1

        def child():
            assert engine.get("k") == 1
            engine.set("k", 2, deps="t")
            engine.invalidate("u")

        for _ in range(5):
            engine.set("k", 1, deps="t", stamp=engine.stamp())
            join(in_child(child, fork_in_c))
            assert engine.get("k") == 2
            engine.invalidate("t")
            assert engine.get("k") is None
        assert engine.stats().errors == 0
        """,
    )


def test_a_child_does_not_give_up_what_the_parent_holds(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        engine = Engine(storage_url=URL)
        leases = engine.storage.leases
        lease = leases.acquire("k")
        assert lease is not None

        def child():
            assert leases.acquire("k") is None, "the parent holds it"
            assert leases.acquire("own") is not None
            engine.reset()

        join(in_child(child))
        assert leases.acquire("own") is not None, "it ended with the child"
        leases.release("k", lease)
        """,
    )


def test_a_child_that_is_stopped_while_it_writes_does_not_hang_the_parent(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        import logging, signal
        engine = Engine(storage_url=URL)
        engine.set("k", 1)

        def child():
            database = engine.storage._home.entries
            database.write(lambda txn: os.kill(os.getpid(), signal.SIGSTOP))

        pid = in_child(child)
        os.waitpid(pid, os.WUNTRACED)
        logging.disable()
        assert engine.set("k", 2) is False
        assert engine.get("k") == 1
        os.kill(pid, signal.SIGCONT)
        join(pid)
        """,
    )


def test_a_child_made_by_subprocess_leaves_the_databases_open(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
        import subprocess
        engine = Engine(storage_url=URL)
        engine.set("k", 1)
        opened = engine.storage._home.entries.begin
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        assert engine.storage._home.entries.begin is opened
        assert engine.get("k") == 1
        """,
    )
