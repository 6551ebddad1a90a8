"""Memory storage shows the behaviour that every storage must show, and evicts well."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from zoocache_core import Engine, UnsupportedValue
from zoocache_core.testing import ManualClock, StorageContract


class TestMemoryStorage(StorageContract):
    def open(self, **settings: Any) -> Engine:
        self.clock = ManualClock()
        return Engine(clock=self.clock, **settings)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_the_number_of_entries_never_exceeds_the_limit() -> None:
    engine = Engine(max_entries=10)
    for number in range(100):
        engine.set(f"k{number}", number)
        assert engine.stats().entries <= 10
    assert engine.stats().evictions == 90


def test_expired_entries_go_first(clock: ManualClock) -> None:
    engine = Engine(max_entries=4, read_extend_ttl=False, clock=clock)
    engine.set("old", 1)
    engine.set("short", 2, ttl=1)
    engine.set("b", 3)
    engine.set("c", 4)
    clock.advance(1)
    engine.set("d", 5)
    assert set(engine.get_many(["old", "short", "b", "c", "d"])) == {"old", "b", "c", "d"}


def test_an_expired_entry_whose_ttl_was_extended_is_kept(clock: ManualClock) -> None:
    engine = Engine(max_entries=2, clock=clock)
    engine.set("extended", 1, ttl=10)
    engine.set("other", 2, ttl=10)
    clock.advance(6)
    assert engine.get("extended") == 1
    clock.advance(6)
    engine.set("new", 3)
    assert engine.get("extended") == 1
    assert engine.get("other") is None


def test_a_scan_does_not_push_out_what_is_popular() -> None:
    engine = Engine(max_entries=100)
    popular = [f"popular{n}" for n in range(20)]
    for _ in range(3):
        for key in popular:
            if engine.get(key) is None:
                engine.set(key, 1)
    for number in range(1000):
        engine.set(f"scan{number}", 1)
    assert len(engine.get_many(popular)) == 20


def hit_rate(max_entries: int, requests: list[int]) -> float:
    engine = Engine(max_entries=max_entries)
    hits = 0
    for number in requests:
        if engine.get(f"k{number}") is None:
            engine.set(f"k{number}", number + 1)
        else:
            hits += 1
    return hits / len(requests)


def lru_hit_rate(max_entries: int, requests: list[int]) -> float:
    kept: dict[int, None] = {}
    hits = 0
    for number in requests:
        if number in kept:
            hits += 1
            del kept[number]
        elif len(kept) >= max_entries:
            del kept[next(iter(kept))]
        kept[number] = None
    return hits / len(requests)


@pytest.mark.parametrize("scans", [False, True])
def test_eviction_is_at_least_as_good_as_lru_on_skewed_traffic(scans: bool) -> None:
    rng = random.Random(7)
    requests: list[int] = []
    for step in range(30_000):
        requests.append(min(int(rng.paretovariate(0.8)), 20_000))
        if scans and step % 3000 == 0:
            requests.extend(range(100_000 + step, 100_000 + step + 500))
    assert hit_rate(500, requests) >= lru_hit_rate(500, requests)


def test_churn_of_deleted_keys_does_not_accumulate() -> None:
    for limit in (None, 100):
        engine = Engine(max_entries=limit)
        for number in range(5000):
            engine.set(f"k{number}", number)
            engine.delete(f"k{number}")
        storage: Any = engine.storage
        assert len(storage._slots) + len(storage._main) + len(storage._small) < 500


def test_overwriting_with_a_ttl_does_not_accumulate() -> None:
    engine = Engine(max_entries=100)
    for number in range(5000):
        engine.set("k", number, ttl=60)
    storage: Any = engine.storage
    assert len(storage._expiry) < 500


def test_dead_entries_that_nobody_reads_are_dropped(clock: ManualClock) -> None:
    engine = Engine(clock=clock)
    for number in range(500):
        engine.set(f"invalidated{number}", number, deps="t")
        engine.set(f"expired{number}", number, ttl=1)
    engine.invalidate("t")
    clock.advance(1)
    for number in range(2000):
        engine.set(f"new{number}", number)
    assert engine.stats().entries == 2000


def test_an_evicted_entry_never_comes_back() -> None:
    engine = Engine(max_entries=5)
    for number in range(20):
        engine.set(f"k{number}", number)
    gone = [n for n in range(20) if engine.get(f"k{n}") is None]
    assert len(gone) == 15
    engine.clear()
    assert engine.get_many([f"k{n}" for n in range(20)]) == {}


class Forgetful:
    """Leaves an attribute out of its pickle."""

    def __init__(self) -> None:
        self.kept, self.left_out = 1, 2

    def __getstate__(self) -> dict[str, int]:
        return {"kept": self.kept}

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def test_without_verification_an_object_is_what_its_pickle_makes_of_it() -> None:
    with pytest.raises(UnsupportedValue):
        Engine().set("k", {"object": Forgetful()})
    engine = Engine(verify_values=False)
    engine.set("k", {"object": Forgetful()})
    assert vars(engine.get("k")["object"]) == {"kept": 1}
    with pytest.raises(UnsupportedValue, match="pickl") as refusal:
        engine.set("k", [threading.Lock()])
    assert isinstance(refusal.value.__cause__, TypeError)
