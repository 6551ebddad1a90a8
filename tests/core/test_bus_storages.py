"""LMDB, or a Redis, whose invalidations are numbered by another Redis: the bus."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.core.redis_store import RedisStore
from tests.core.test_state_machine import SharedStore, check
from tests.servers import RedisServer, wait_until
from zoocache_core.engine import Engine
from zoocache_core.errors import ConfigurationError
from zoocache_core.testing import ManualClock, StorageContract

SOON = 10.0
Open = Callable[..., Engine]

_prefixes = itertools.count()


@pytest.fixture(scope="module")
def other_redis() -> Iterator[RedisServer]:
    """A second server, for what the first one does not number."""
    with RedisServer() as server:
        yield server


class TestLmdb(StorageContract):
    @pytest.fixture(autouse=True)
    def _bus(self, redis_server: RedisServer) -> Iterator[None]:
        self.url = redis_server.url
        self.directories: list[tempfile.TemporaryDirectory[str]] = []
        self.engine = self.open()
        yield
        for directory in self.directories:
            directory.cleanup()

    def setup_method(self) -> None:
        """The engine is opened when there is a server."""

    def open(self, **settings: Any) -> Engine:
        self.clock = ManualClock()
        self.directories.append(tempfile.TemporaryDirectory())
        return Engine(
            storage_url=f"lmdb://{self.directories[-1].name}/cache",
            bus_url=self.url,
            prefix=f"lmdb{next(_prefixes)}",
            max_staleness=1000,
            clock=self.clock,
            **settings,
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestRedis(StorageContract):
    @pytest.fixture(autouse=True)
    def _servers(self, redis_server: RedisServer, other_redis: RedisServer) -> None:
        self.bus_url, self.url = redis_server.url, other_redis.url
        self.engine = self.open()

    def setup_method(self) -> None:
        """The engine is opened when there are servers."""

    def open(self, **settings: Any) -> Engine:
        self.store = RedisStore(self.url)
        return self.store.open(bus_url=self.bus_url, max_staleness=1000, **settings)

    def pass_time(self, seconds: float) -> None:
        self.store.pass_time(seconds)


@pytest.mark.parametrize("kind", ["lmdb", "redis", "redis behind a near cache"])
def test_it_agrees_with_the_model(
    tmp_path: Path, redis_url: str, other_redis: RedisServer, kind: str
) -> None:
    class OnIt(SharedStore):
        time_passes = False
        options: ClassVar = {
            **SharedStore.options,
            "bus_url": redis_url,
            "storage_url": f"lmdb://{tmp_path}" if kind == "lmdb" else other_redis.url,
            "near_max_entries": 4 if "near" in kind else None,
        }

    check(OnIt, examples=30)


@pytest.fixture(params=["lmdb", "redis"])
def start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    private_redis: RedisServer,
    other_redis: RedisServer,
) -> Iterator[Open]:
    """Starts engines on one store and one bus, as processes would."""
    store = {"lmdb": f"lmdb://{tmp_path / 'cache'}", "redis": other_redis.url}[request.param]
    prefix = f"shared{next(_prefixes)}"
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        defaults = {
            "storage_url": store,
            "bus_url": private_redis.url,
            "prefix": prefix,
            "max_staleness": 60,
            "socket_timeout": 0.2,
        }
        started.append(Engine(**{**defaults, **settings}))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


def has(engine: Engine, key: str) -> bool:
    return engine.get(key) is not None


def test_entries_are_shared_and_so_are_invalidations(start: Open) -> None:
    one, other = start(), start()
    one.set("k", 1, deps="t")
    assert other.get("k") == 1
    other.set("mine", 2, deps="u")
    assert one.get("mine") == 2
    other.invalidate("t")
    assert not has(other, "k")
    assert wait_until(lambda: not has(one, "k"), SOON)
    one.set("k", 3, deps="t")
    assert other.get("k") == 3


def test_a_process_that_starts_later_finds_the_living_and_not_the_dead(start: Open) -> None:
    first = start()
    first.set("alive", 1, deps="a")
    first.set("dead", 1, deps="b")
    first.invalidate("b")
    late = start()
    assert has(late, "alive")
    assert not has(late, "dead")


def test_an_entry_from_ahead_makes_a_process_catch_up(start: Open) -> None:
    writer, reader = start(), start()
    reader.set("old", 1, deps="t")
    assert has(reader, "old")
    # From now on it hears nothing, and its lease has not ended.
    reader.sequence._follower.close()
    writer.invalidate("t")
    writer.set("new", 2, deps="t")
    assert has(reader, "old"), "it cannot know yet"
    assert has(reader, "new")
    assert not has(reader, "old")


def test_nothing_is_served_without_a_lease(start: Open, private_redis: RedisServer) -> None:
    clock = ManualClock()
    engine = start(clock=clock, max_staleness=5)
    engine.set("k", 1, deps="t")
    for _ in range(4):
        assert has(engine, "k")
    private_redis.freeze()
    clock.advance(4.9)
    assert has(engine, "k")
    clock.advance(0.1)
    assert not has(engine, "k")
    assert engine.get_many(["k"]) == {}


def test_another_bus_means_other_numbers(tmp_path: Path, redis_url: str) -> None:
    store = f"lmdb://{tmp_path / 'cache'}"
    alone = Engine(storage_url=store)
    alone.set("k", 1)
    with pytest.raises(ConfigurationError, match=r"numbered by|authority"):
        Engine(storage_url=store, bus_url=redis_url)
    alone.reset()
    with_bus = Engine(storage_url=store, bus_url=redis_url)
    assert not has(with_bus, "k")
    with_bus.set("k", 2)
    with_bus.reset()
    again = Engine(storage_url=store, bus_url=redis_url)
    assert again.get("k") == 2
    again.reset()
