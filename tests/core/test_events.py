"""Events reach the sinks; without sinks nothing is called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from zoocache_core import Engine, EventSink, LoggingSink


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def hit(self, key: str) -> None:
        self.seen.append(("hit", key))

    def miss(self, key: str) -> None:
        self.seen.append(("miss", key))

    def stale(self, key: str) -> None:
        self.seen.append(("stale", key))

    def set(self, key: str) -> None:
        self.seen.append(("set", key))

    def invalidate(self, tags: Sequence[str]) -> None:
        self.seen.append(("invalidate", *tags))

    def evict(self, count: int) -> None:
        self.seen.append(("evict", count))

    def error(self, operation: str, error: BaseException) -> None:
        self.seen.append(("error", operation, type(error)))

    def flight_wait(self, key: str, seconds: float) -> None:
        self.seen.append(("flight_wait", key))

    def bus_lag(self, seconds: float) -> None:
        self.seen.append(("bus_lag",))


def test_every_event_of_a_life() -> None:
    recorder: EventSink = Recorder()
    engine = Engine(events=[recorder], max_entries=1)
    engine.get("k")
    engine.set("k", 1, deps="t")
    engine.get("k")
    engine.invalidate("t")
    engine.invalidate("t")
    engine.get("k")
    engine.set("other", 1)
    engine.clear()
    engine.fetch("x", lambda: (n for n in ()))
    assert isinstance(recorder, Recorder)
    assert [event[0] for event in recorder.seen] == [
        "miss",
        "set",
        "hit",
        "invalidate",
        "invalidate",
        "stale",
        "evict",
        "set",
        "invalidate",
        "miss",
        "error",
    ]
    stats = engine.stats()
    assert (stats.hits, stats.misses, stats.stale, stats.invalidations) == (1, 3, 1, 3)


def test_a_wait_for_another_callers_computation_is_told() -> None:
    recorder = Recorder()
    engine = Engine(events=[recorder])
    entered, go = threading.Event(), threading.Event()

    def compute() -> int:
        entered.set()
        assert go.wait(20)
        return 1

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(engine.fetch, "k", compute)
        entered.wait(20)
        follower = pool.submit(engine.fetch, "k", compute)
        while engine.stats().flight_waits < 1:
            pass
        go.set()
        assert leader.result(20) == follower.result(20) == 1
    assert ("flight_wait", "k") in recorder.seen


def test_the_logging_sink(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(events=[LoggingSink()])
    with caplog.at_level(logging.DEBUG, "zoocache.events"):
        engine.set("k", 1, deps="t")
        engine.get("k")
        engine.clear()
        engine.fetch("x", lambda: (n for n in ()))
    lines = [r.getMessage() for r in caplog.records if r.name == "zoocache.events"]
    assert lines[:4] == ["set k", "hit k", "invalidate *", "miss x"]
    assert lines[4].startswith("freeze failed")


def test_hits_are_counted_exactly_over_threads() -> None:
    engine = Engine()
    engine.set("k", 1)

    def work() -> None:
        for _ in range(20_000):
            engine.get("k")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.stats().hits == 80_000
