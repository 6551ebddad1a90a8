"""The background worker of ``auto_prune_secs``."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from zoocache_core import Engine
from zoocache_core.testing import ManualClock


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(4000):
        if condition():
            return
        pause.wait(0.005)
    raise TimeoutError("the condition did not come true")


def test_old_tags_are_dropped_and_recent_ones_kept() -> None:
    clock = ManualClock()
    engine = Engine(clock=clock, auto_prune_secs=100, auto_prune_interval=0.01)
    engine.set("dead", 1, deps="old:tag")
    engine.invalidate("old:tag")
    clock.advance(99)
    engine.invalidate("recent")
    clock.advance(2)
    until(lambda: engine.stats().tags == 1)
    assert engine.get_tag_version("recent") > 0
    assert engine.get("dead") is None
    engine.reset()


def test_a_failing_run_is_counted_and_the_next_one_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[float] = []

    def prune(age: float) -> int:
        runs.append(age)
        if len(runs) == 1:
            raise OSError("the disk is on fire")
        return 0

    engine = Engine()
    monkeypatch.setattr(engine, "prune", prune)
    engine.reset()
    engine.configure(auto_prune_secs=7, auto_prune_interval=0.01)
    until(lambda: len(runs) >= 2)
    assert engine.stats().errors == 1
    assert set(runs) == {7}
    engine.reset()


def test_reset_ends_the_worker() -> None:
    engine = Engine(auto_prune_secs=1)
    worker = engine._pruner
    assert worker is not None
    assert worker.thread.daemon
    assert worker.thread.is_alive()
    engine.reset()
    assert not worker.thread.is_alive()


def test_the_worker_does_not_keep_the_engine_alive() -> None:
    engine = Engine(auto_prune_secs=1, auto_prune_interval=0.01)
    assert engine._pruner is not None
    thread, reference = engine._pruner.thread, weakref.ref(engine)
    del engine
    until(lambda: gc.collect() >= 0 and reference() is None)
    until(lambda: not thread.is_alive())
