"""Redis behind a near cache: hits that ask nobody, and every promise of Redis otherwise."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.redis_store import RedisStore
from tests.servers import RedisServer, wait_until
from zoocache_core.atomic import update
from zoocache_core.engine import Engine
from zoocache_core.errors import ConfigurationError
from zoocache_core.events import LoggingSink
from zoocache_core.flows import run
from zoocache_core.redis.wire import AsyncWire, Wire
from zoocache_core.testing import ManualClock, StorageContract

SOON = 10.0
Start = Callable[..., Engine]


class TestContract(StorageContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url
        self.engine = self.open()

    def setup_method(self) -> None:
        """The engine is opened when there is a server."""

    def open(self, **settings: Any) -> Engine:
        self.store = RedisStore(self.url)
        return self.store.open(near_max_entries=100, max_staleness=1000, **settings)

    def pass_time(self, seconds: float) -> None:
        self.store.pass_time(seconds)


@pytest.fixture
def start(private_redis: RedisServer) -> Iterator[Start]:
    """Starts engines on one Redis, as processes would."""
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        defaults = {
            "storage_url": private_redis.url,
            "near_max_entries": 100,
            "max_staleness": 60,
            "socket_timeout": 0.2,
        }
        started.append(Engine(**{**defaults, **settings}))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The round trips made, those of the listener not counted."""
    made: list[int] = []

    def counted(self: Wire, request: Any, exchange: Any = Wire.exchange) -> Any:
        if not request.block:
            made.append(request.commands)
        return exchange(self, request)

    async def acounted(self: AsyncWire, request: Any, exchange: Any = AsyncWire.exchange) -> Any:
        made.append(request.commands)
        return await exchange(self, request)

    monkeypatch.setattr(Wire, "exchange", counted)
    monkeypatch.setattr(AsyncWire, "exchange", acounted)
    return made


def has(engine: Engine, key: str) -> bool:
    return engine.get(key) is not None


def connected(engine: Engine) -> Engine:
    """With a listener that listens."""
    engine.get("anything")
    assert wait_until(lambda: engine.sequence._follower._wire is not None, SOON)
    return engine


def test_a_hit_makes_no_round_trip_and_a_miss_makes_one(start: Start, trips: list[int]) -> None:
    engine, other = connected(start()), start()
    calls = itertools.count()

    @engine.cacheable(deps="t")
    def number() -> int:
        return next(calls)

    other.set_many({"a": 1, "b": [2]})
    number()
    trips.clear()
    assert number() == 0
    assert trips == []
    assert engine.get("a") == 1
    assert len(trips) == 1
    assert engine.get("a") == 1
    assert engine.get_many(["a", "b"]) == {"a": 1, "b": [2]}
    assert len(trips) == 2
    assert engine.get_many(["a", "b"]) == {"a": 1, "b": [2]}
    assert len(trips) == 2
    assert not has(engine, "missing")
    assert len(trips) == 3


def test_asynchronous_hits_make_no_round_trip(start: Start, trips: list[int]) -> None:
    engine = connected(start())

    async def main() -> None:
        await engine.set_async("k", {"a": [1]})
        assert await engine.get_async("k") == {"a": [1]}
        trips.clear()
        (await engine.get_async("k"))["a"].append(2)
        assert await engine.get_async("k") == {"a": [1]}
        assert await engine.get_many_async(["k"]) == {"k": {"a": [1]}}
        assert trips == []

    asyncio.run(main())


def test_hits_with_an_event_sink_make_no_round_trip_either(start: Start, trips: list[int]) -> None:
    engine = connected(start(events=[LoggingSink()]))
    engine.set("k", 1)
    trips.clear()
    assert has(engine, "k")
    assert engine.stats().hits == 1
    assert trips == []


def test_an_invalidation_elsewhere_arrives_by_itself(start: Start) -> None:
    writer, reader = start(), connected(start())
    reader.set("k", 1, deps="t")
    assert has(reader, "k")
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "k"), SOON)


def test_a_near_miss_is_a_strong_read(start: Start) -> None:
    writer, reader = start(), start()
    reader.set("k", 1, deps="t")
    reader.set("new", 1, deps="t")
    assert has(reader, "k")
    # From now on the reader hears nothing by itself.
    reader.sequence._follower.close()
    writer.invalidate("t")
    assert has(reader, "k"), "its copy is within the limit on staleness"
    writer.set("unread", 2, deps="t")
    assert has(reader, "unread")
    assert not has(reader, "k"), "the strong read has told it"


def test_what_others_overwrite_and_delete_is_seen_within_max_staleness(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    writer, reader = start(), start(clock=clock, max_staleness=5)
    reader.set_many({"changed": "old", "deleted": "old"})
    assert reader.get("changed") == "old"
    writer.set("changed", "new")
    writer.delete("deleted")
    assert reader.get("changed") == "old"
    assert has(reader, "deleted")
    clock.advance(5)
    assert reader.get("changed") == "new"
    assert not has(reader, "deleted")


def test_what_is_written_here_is_seen_here_at_once(start: Start) -> None:
    engine = start()
    for number in range(20):
        engine.set("k", number)
        assert engine.get("k") == number
    engine.delete("k")
    assert not has(engine, "k")


def test_copies_are_served_while_redis_is_frozen_and_no_longer_than_the_lease(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    engine = start(clock=clock, max_staleness=5)
    engine.set("k", 1)
    assert has(engine, "k")
    private_redis.freeze()
    clock.advance(4.9)
    assert has(engine, "k")
    clock.advance(0.1)
    assert not has(engine, "k")
    assert engine.stats().errors > 0
    private_redis.thaw()
    assert wait_until(lambda: has(engine, "k"), SOON)


@pytest.mark.parametrize("how", ["killed", "emptied", "an older state"])
def test_a_server_that_restarts(private_redis: RedisServer, start: Start, how: str) -> None:
    writer, reader = start(), start()
    writer.invalidate("before")
    snapshot = private_redis.save()
    reader.set("k", "old", deps="t")
    writer.invalidate("anything")
    assert has(reader, "k")
    if how == "killed":
        private_redis.kill()
        private_redis.start()
    elif how == "emptied":
        private_redis.restart(empty=True)
    else:
        private_redis.restart_from(snapshot)
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "k"), SOON)

    def kept() -> bool:
        reader.set("k", "new", deps="t")
        return has(reader, "k")

    assert wait_until(kept, SOON)
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "k"), SOON)


def test_counters_are_never_read_from_a_copy(start: Start) -> None:
    one, other = start(), start()
    one.set("n", 0)
    for _ in range(10):
        for engine in (one, other):
            run(update(engine, "n", lambda value: value + 1))
    assert one.get("n") == 20


def test_it_needs_a_redis_to_be_near_to() -> None:
    for url in (None, "memory://", "lmdb://cache"):
        with pytest.raises(ConfigurationError, match="near_max_entries"):
            Engine(storage_url=url, near_max_entries=10)


def test_a_hit_takes_the_short_way(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    engine.set("k", 1)
    assert has(engine, "k")

    def refuse(*_: object) -> None:
        raise AssertionError("a hit on a copy took the long way")

    monkeypatch.setattr(type(engine), "find", refuse)
    assert has(engine, "k")
