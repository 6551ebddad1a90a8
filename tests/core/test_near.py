"""The near cache by itself: when a copy is served, when it is read anew, and who wrote last."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoocache_core.lease import Lease
from zoocache_core.parts import Context
from zoocache_core.reporting import Reporter
from zoocache_core.settings import Settings
from zoocache_core.storage.base import Entry
from zoocache_core.storage.memory import MemoryStorage
from zoocache_core.storage.near import NearStorage
from zoocache_core.testing import ManualClock
from zoocache_core.trie import PrefixTrie

TERM = 5.0


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


class Far(MemoryStorage):
    """A shared storage whose asynchronous calls act somewhere between two suspensions."""

    def __init__(self, trie: PrefixTrie, clock: ManualClock) -> None:
        super().__init__(trie, clock, None, False, lambda count: None)
        self.reads = 0

    def get(self, key: str) -> Entry | None:
        self.reads += 1
        return super().get(key)

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        self.reads += 1
        return [super(Far, self).get(key) for key in keys]

    async def aget(self, key: str) -> Entry | None:
        await pause()
        found = self.get(key)
        await pause()
        return found

    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]:
        await pause()
        found = self.get_many(keys)
        await pause()
        return found

    async def aset(self, key: str, entry: Entry) -> None:
        await pause()
        self.set(key, entry)
        await pause()

    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        await pause()
        self.set_many(items)
        await pause()

    async def adelete(self, keys: Sequence[str]) -> int:
        await pause()
        count = self.delete(keys)
        await pause()
        return count


def nothing(*_: Any) -> None:
    """For what nobody listens to."""


class Cache:
    def __init__(self, max_entries: int = 100, strong: bool = False) -> None:
        self.clock = ManualClock()
        self.trie = PrefixTrie()
        self.lease = Lease(self.clock, TERM)
        self.lease.renew(self.clock.monotonic())
        self.far = Far(self.trie, self.clock)
        settings = Settings(clock=self.clock, max_staleness=TERM)
        context = Context(settings, self.trie, Reporter())
        follow = nothing if strong else None
        self.near = NearStorage(self.far, self.lease, context, max_entries, follow)
        self.hit = self.near.hot_path()

    def entry(self, held: object, ttl: float | None = None, deps: tuple[str, ...] = ()) -> Entry:
        expires = None if ttl is None else self.clock.monotonic() + ttl
        return Entry(held, None, deps, self.trie.position, ttl, expires)

    def invalidate(self, tag: str) -> None:
        with self.trie.lock:
            number = self.trie.position + 1
            self.trie.mark(number, [tag], self.clock.monotonic())
            self.trie.advance(number)


@pytest.fixture
def cache() -> Cache:
    return Cache()


def held(entry: Entry | None) -> Any:
    return None if entry is None else entry.held


def test_a_second_read_needs_no_round_trip(cache: Cache) -> None:
    cache.far.set("k", cache.entry(1))
    assert cache.hit("k") is None
    assert held(cache.near.get("k")) == 1
    assert held(cache.near.get("k")) == 1
    assert held(cache.hit("k")) == 1
    assert [held(entry) for entry in cache.near.get_many(["k"])] == [1]
    assert cache.far.reads == 1


def test_what_was_written_here_needs_no_round_trip_at_all(cache: Cache) -> None:
    cache.near.set("k", cache.entry(1))
    cache.near.set_many([("a", cache.entry(2)), ("b", cache.entry(3))])
    assert [held(entry) for entry in cache.near.get_many(["k", "a", "b"])] == [1, 2, 3]
    assert cache.far.reads == 0


def test_only_missing_keys_are_asked_for(cache: Cache) -> None:
    cache.far.set_many([("a", cache.entry(1)), ("b", cache.entry(2))])
    cache.near.get("a")
    cache.far.set("a", cache.entry("unseen"))
    assert [held(entry) for entry in cache.near.get_many(["b", "a", "c"])] == [2, 1, None]
    assert cache.far.reads == 2


def test_no_copy_is_served_without_a_lease(cache: Cache) -> None:
    cache.near.set("k", cache.entry(1))
    cache.clock.advance(TERM)
    assert cache.hit("k") is None
    cache.near.get("k")
    assert cache.far.reads == 1
    cache.lease.renew(cache.clock.monotonic())
    assert held(cache.hit("k")) == 1
    cache.lease.drop()
    assert cache.hit("k") is None
    cache.near.get("k")
    assert cache.far.reads == 2


def test_a_strong_read_renews_the_lease() -> None:
    cache = Cache(strong=True)
    cache.far.set("k", cache.entry(1))
    cache.clock.advance(2 * TERM)
    assert held(cache.near.get("k")) == 1
    assert held(cache.hit("k")) == 1


def test_a_renewal_for_an_earlier_question_does_not_shorten_the_lease(cache: Cache) -> None:
    until = cache.lease.until
    cache.lease.renew(cache.clock.monotonic() - 1)
    assert cache.lease.until == until


def test_an_invalidated_copy_gives_way_to_what_another_process_computed(cache: Cache) -> None:
    cache.near.set("k", cache.entry("old", deps=("t",)))
    cache.invalidate("t")
    cache.far.set("k", cache.entry("new", deps=("t",)))
    assert cache.hit("k") is None
    assert held(cache.near.get("k")) == "new"
    assert held(cache.hit("k")) == "new"


def test_a_copy_from_ahead_of_this_process_is_not_judged_by_it(cache: Cache) -> None:
    ahead = cache.entry(1)
    ahead.stamp = cache.trie.position + 1
    cache.near.set("k", ahead)
    assert cache.hit("k") is None
    cache.near.get("k")
    assert cache.far.reads == 1


def test_what_another_process_overwrote_is_seen_after_the_age_limit(cache: Cache) -> None:
    cache.near.set("k", cache.entry("old"))
    cache.far.set("k", cache.entry("new"))
    for _ in range(4):
        cache.clock.advance(TERM / 5)
        cache.lease.renew(cache.clock.monotonic())
        assert held(cache.hit("k")) == "old"
    cache.clock.advance(TERM / 5)
    assert cache.hit("k") is None
    assert held(cache.near.get("k")) == "new"


def test_the_original_is_read_often_enough_to_keep_its_ttl_going(cache: Cache) -> None:
    cache.near.set("k", cache.entry(1, ttl=2.0))
    cache.clock.advance(0.49)
    assert held(cache.near.get("k")) == 1
    cache.clock.advance(0.02)
    cache.near.get("k")
    assert cache.far.reads == 1


def test_a_copy_does_not_outlive_its_original(cache: Cache) -> None:
    entry = cache.entry(1)
    entry.expires = cache.clock.monotonic() + 1
    cache.near.set("k", entry)
    cache.clock.advance(1)
    assert cache.hit("k") is None
    assert cache.near.get("k") is None


def test_deleting_and_touching_drop_the_copy(cache: Cache) -> None:
    cache.near.set("k", cache.entry(1))
    assert cache.near.touch("k", 10.0) is True
    assert cache.hit("k") is None
    cache.near.get("k")
    assert cache.near.delete(["k"]) == 1
    assert cache.hit("k") is None
    assert cache.near.get("k") is None


def test_a_write_that_failed_leaves_no_copy(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(key: str, entry: Entry) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(cache.far, "set", fail)
    cache.near.set_many([("k", cache.entry("old"))])
    with pytest.raises(ConnectionError):
        cache.near.set("k", cache.entry("perhaps"))
    assert cache.hit("k") is None
    assert held(cache.near.get("k")) == "old"


def test_the_number_of_copies_is_bounded() -> None:
    cache = Cache(max_entries=10)
    for number in range(100):
        cache.near.set(f"k{number}", cache.entry(number))
    assert sum(cache.hit(f"k{number}") is not None for number in range(100)) == 10
    assert len(cache.near) == 100


def test_clearing(cache: Cache) -> None:
    cache.near.set("k", cache.entry(1))
    cache.near.clear()
    assert cache.hit("k") is None
    assert len(cache.near) == 0


# Who wrote last, whatever the interleaving

KEYS = ("a", "b")

_operations = st.sampled_from(
    [("get", key) for key in KEYS]
    + [("set", key) for key in KEYS]
    + [("delete", key) for key in KEYS]
    + [("get_many", ""), ("set_many", "")]
)


@settings(max_examples=500)
@given(st.lists(st.one_of(_operations, st.integers(0, 3)), max_size=40))
def test_when_everyone_is_done_the_copies_are_what_the_shared_storage_has(
    schedule: list[Any],
) -> None:
    cache = Cache()
    cache.far.set_many([(key, cache.entry(0)) for key in KEYS])
    near, number = cache.near, 0
    running: list[Coroutine[Any, Any, Any]] = []

    def step(operation: Coroutine[Any, Any, Any]) -> None:
        try:
            operation.send(None)
        except StopIteration:
            running.remove(operation)

    for choice in schedule:
        if isinstance(choice, int):
            if running:
                step(running[choice % len(running)])
            continue
        what, key = choice
        number += 1
        operation: Coroutine[Any, Any, Any] = {
            "get": lambda key: near.aget(key),
            "set": lambda key, n=number: near.aset(key, cache.entry(n)),
            "delete": lambda key: near.adelete([key]),
            "get_many": lambda key: near.aget_many(KEYS),
            "set_many": lambda key, n=number: near.aset_many(
                [(key, cache.entry(n)) for key in KEYS]
            ),
        }[what](key)
        running.append(operation)
        step(operation)
    while running:
        step(running[0])
    for key in KEYS:
        copy = cache.hit(key)
        if copy is not None:
            assert copy.held == held(cache.far.get(key))
