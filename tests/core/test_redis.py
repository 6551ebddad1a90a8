"""Redis storage: what every storage must show, and what only this one can."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.redis_store import RedisStore
from tests.core.test_state_machine import EngineAgainstModel
from tests.servers import RedisServer, wait_until
from zoocache_core import ConfigurationError, Engine, StorageIsFull
from zoocache_core.globs import name_of
from zoocache_core.missing import MISSING
from zoocache_core.redis.dialogue import Request
from zoocache_core.redis.wire import AsyncWire, Wire
from zoocache_core.testing import StorageContract


class TestRedisStorage(StorageContract):
    @pytest.fixture(autouse=True)
    def _open_on_redis(self, redis_url: str) -> None:
        self.url = redis_url
        self.engine = self.open()

    def setup_method(self) -> None:
        """The engine is opened when there is a server."""

    def open(self, **settings: Any) -> Engine:
        self.store = RedisStore(self.url)
        return self.store.open(**settings)

    def pass_time(self, seconds: float) -> None:
        self.store.pass_time(seconds)


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url)


@pytest.fixture
def engine(store: RedisStore) -> Iterator[Engine]:
    engine = store.open()
    yield engine
    engine.reset()


@pytest.fixture
def other(store: RedisStore) -> Iterator[Engine]:
    """What another process has."""
    engine = store.open()
    yield engine
    engine.reset()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of commands in each round trip."""
    made: list[int] = []

    def counted(self: Wire, request: Any, exchange: Any = Wire.exchange) -> Any:
        made.append(request.commands)
        return exchange(self, request)

    async def acounted(self: AsyncWire, request: Any, exchange: Any = AsyncWire.exchange) -> Any:
        made.append(request.commands)
        return await exchange(self, request)

    monkeypatch.setattr(Wire, "exchange", counted)
    monkeypatch.setattr(AsyncWire, "exchange", acounted)
    return made


def test_the_engine_on_redis_against_a_model(redis_url: str) -> None:
    class OnRedis(EngineAgainstModel):
        def open(self, **settings: Any) -> Engine:
            self.store = RedisStore(redis_url)
            return self.store.open(**settings)

        def pass_time(self, seconds: float) -> None:
            self.store.pass_time(seconds)

    run_state_machine_as_test(
        OnRedis,
        settings=hypothesis_settings(max_examples=30, stateful_step_count=30, deadline=None),
    )


# What a read knows


def test_a_read_knows_every_invalidation_that_returned_before_it(
    engine: Engine, other: Engine
) -> None:
    for number in range(50):
        engine.set("k", number, deps="a:b")
        engine.set("m", number, deps="a:b")
        assert other.get("k") == number
        engine.invalidate("a")
        assert other.get("k") is None
        assert other.get_many(["k", "m"]) == {}


async def test_an_asynchronous_read_does(engine: Engine, other: Engine) -> None:
    for number in range(50):
        await engine.set_async("k", number, deps="a:b")
        assert await other.get_async("k") == number
        await engine.invalidate_async("a")
        assert await other.get_async("k") is None
        assert await other.get_many_async(["k"]) == {}


def test_another_process_finds_what_this_one_stored(engine: Engine, other: Engine) -> None:
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        return 42

    for one in (engine, other, engine):
        assert one.fetch("k", compute) == 42
    assert calls == [1]


def test_a_value_from_before_an_invalidation_elsewhere_is_dead(
    engine: Engine, other: Engine
) -> None:
    assert engine.get("k") is None
    stamp = engine.stamp()
    other.invalidate("t")
    engine.set("k", "old", deps="t", stamp=stamp)
    assert engine.get("k") is None
    assert other.get("k") is None


def test_the_first_value_of_a_process_is_cached(store: RedisStore, other: Engine) -> None:
    other.invalidate("t")
    fresh = store.open()
    assert fresh.set("k", 1, deps="t")
    assert fresh.get("k") == 1
    fresh.reset()


async def test_the_first_value_of_an_asynchronous_process_is_cached(
    store: RedisStore, other: Engine
) -> None:
    await other.invalidate_async("t")
    fresh = store.open()
    assert await fresh.set_async("k", 1, deps="t")
    assert await fresh.get_async("k") == 1
    fresh.reset()


def test_forgetting_a_pattern_reaches_others_and_those_who_start_later(
    store: RedisStore, engine: Engine, other: Engine
) -> None:
    engine.set_many({"user:1": 1, "user:2": 2, "group:1": 3})
    assert other.get("user:1") == 1
    engine.publish((name_of("user:*"),))
    late = store.open()
    for one in (engine, other, late):
        assert one.get_many(["user:1", "user:2", "group:1"]) == {"group:1": 3}
    late.reset()


def test_clearing_one_prefix_touches_no_other(redis_url: str) -> None:
    engines = [Engine(storage_url=redis_url, prefix=p) for p in ("app", "app:blue", None)]
    for engine in engines:
        engine.set("k", 1, deps="t")
    engines[0].clear()
    assert [engine.get("k") for engine in engines] == [None, 1, 1]
    engines[2].invalidate("t")
    assert [engine.get("k") for engine in engines] == [None, 1, None]
    for engine in engines:
        engine.reset()


# What it costs


def test_a_hit_is_one_round_trip(engine: Engine, trips: list[int]) -> None:
    @engine.cacheable(deps="t", ttl=60)
    def cached() -> str:
        return "value"

    cached()
    trips.clear()
    for _ in range(10):
        assert cached() == "value"
    assert trips == [3] * 10
    trips.clear()
    engine.get("k")
    assert trips == [3]


async def test_an_asynchronous_hit_is_one_round_trip(engine: Engine, trips: list[int]) -> None:
    @engine.cacheable(deps="t", ttl=60)
    async def cached() -> str:
        return "value"

    await cached()
    trips.clear()
    for _ in range(10):
        assert await cached() == "value"
    assert trips == [3] * 10


def test_a_hit_after_invalidations_elsewhere_is_one_round_trip(
    engine: Engine, other: Engine, trips: list[int]
) -> None:
    engine.set("k", 1, deps="t")
    for number in range(20):
        other.invalidate(f"unrelated:{number}")
    trips.clear()
    assert engine.get("k") == 1
    assert len(trips) == 1


def test_many_are_one_round_trip(engine: Engine, trips: list[int]) -> None:
    keys = [f"k{number}" for number in range(100)]
    engine.get("warm")
    trips.clear()
    engine.set_many(dict.fromkeys(keys, 1), ttl=60)
    assert len(engine.get_many(keys)) == 100
    assert len(trips) == 2


def test_an_invalidation_is_one_round_trip(engine: Engine, trips: list[int]) -> None:
    engine.invalidate("warm")
    trips.clear()
    engine.invalidate("a", "b:c")
    assert trips == [2]


def test_the_keyspace_is_never_searched_or_emptied(
    redis_server: RedisServer, store: RedisStore, engine: Engine
) -> None:
    with redis_server.client() as client:
        client.config_resetstat()

        @engine.cacheable(deps="t", ttl=60)
        def cached(number: int) -> int:
            return number

        cached(1), cached(1)
        engine.set_many({"a": 1, "b": 2}, deps="t")
        engine.get_many(["a", "b"])
        engine.touch("a", 5)
        engine.delete("a")
        engine.invalidate("t")
        engine.publish((name_of("b*"),))
        engine.prune(0)
        engine.stats()
        engine.clear()
        engine.reset()
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert not used & {"keys", "scan", "flushdb", "flushall", "randomkey", "dbsize", "hgetall"}


def test_nothing_is_left_behind(store: RedisStore, engine: Engine) -> None:
    @engine.cacheable(deps=lambda number: f"t:{number}", ttl=60)
    def cached(number: int) -> int:
        return number

    for number in range(20):
        cached(number)
    engine.set("by hand", 1, ttl=60)
    entries = {name for name in store.names() if name.startswith(store.keys.entries)}
    assert len(entries) == 21
    store.pass_time(61)
    assert store.names() == set(store.keys.authority)


def test_redis_expires_entries_by_their_ttl(store: RedisStore, engine: Engine) -> None:
    engine.set("k", 1, ttl=dt.timedelta(seconds=2.5))
    engine.set("forever", 1)
    engine.set("longer than Redis can count", 1, ttl=1e300)
    with store.client() as client:
        assert 2400 < client.pttl(store.keys.entries + b"k") <= 2500
        assert client.pttl(store.keys.entries + b"forever") == -1
    assert engine.get("longer than Redis can count") == 1


# A ttl that reads extend


def expirations(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_pexpire", {}).get("calls", 0))


def test_reads_extend_a_ttl_without_a_round_trip_and_no_more_often_than_needed(
    store: RedisStore, redis_server: RedisServer, trips: list[int]
) -> None:
    engine = store.open(tti_flush_secs=30)
    engine.set("k", 1, ttl=1000)
    before = expirations(redis_server)
    for _ in range(20):
        engine.get("k")
    assert expirations(redis_server) == before
    store.pass_time(31)
    moved = expirations(redis_server)
    trips.clear()
    for _ in range(20):
        assert engine.get("k") == 1
    assert len(trips) == 20
    assert expirations(redis_server) == moved + 1
    with store.client() as client:
        assert client.pttl(store.keys.entries + b"k") > 999_000
    engine.reset()


def test_a_short_ttl_is_extended_sooner(store: RedisStore) -> None:
    engine = store.open(tti_flush_secs=3600)
    engine.set("k", 1, ttl=10)
    for _ in range(5):
        store.pass_time(8.5)
        assert engine.get_many(["k", "none"]) == {"k": 1}
    store.pass_time(10)
    assert engine.get("k") is None
    engine.reset()


async def test_an_asynchronous_read_extends_a_ttl(store: RedisStore) -> None:
    engine = store.open()
    await engine.set_async("k", 1, ttl=10)
    for _ in range(5):
        store.pass_time(8.5)
        assert await engine.get_async("k") == 1
        store.pass_time(8.5)
        assert await engine.get_many_async(["k", "none"]) == {"k": 1}
    store.pass_time(10)
    assert await engine.get_async("k") is None
    engine.reset()


def test_a_touched_ttl_is_the_one_that_reads_extend(store: RedisStore, engine: Engine) -> None:
    engine.set("k", 1, ttl=10)
    assert engine.touch("k", 100) is True
    store.pass_time(85)
    assert engine.get("k") == 1
    store.pass_time(85)
    assert engine.get("k") == 1
    assert engine.touch("k", float("inf")) is True
    store.pass_time(10_000)
    assert engine.get("k") == 1


# Values that others wrote


class Point:
    """No plain data: it has to be pickled."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


def test_pickled_values_are_signed_and_keys_can_be_replaced(store: RedisStore) -> None:
    old = store.open(secret_key="old " * 8)
    assert old.set("k", Point(1, 2))
    rotated = store.open(secret_key=["new " * 8, "old " * 8])
    assert rotated.get("k") == Point(1, 2)
    stranger = store.open(secret_key="strange " * 4)
    assert stranger.get("k", MISSING) is MISSING
    assert stranger.stats().errors == 1
    for engine in (old, rotated, stranger):
        engine.reset()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda client, name: client.set(name, b"something else"),
        lambda client, name: client.set(name, b""),
        lambda client, name: client.set(name, client.get(name)[:-1]),
        lambda client, name: client.set(name, client.get(name) + b"x"),
        lambda client, name: client.setrange(name, 0, b"\x63"),
        lambda client, name: (client.delete(name), client.lpush(name, "a list")),
        lambda client, name: (client.delete(name), client.hset(name, "a", "hash")),
    ],
    ids=["foreign", "empty", "truncated", "longer", "another version", "a list", "a hash"],
)
def test_what_is_no_entry_is_a_miss_and_is_replaced(
    store: RedisStore, engine: Engine, spoil: Any
) -> None:
    engine.set("k", {"a": [1, 2]})
    with store.client() as client:
        spoil(client, store.keys.entries + b"k")
    errors = engine.stats().errors
    assert engine.get("k", MISSING) is MISSING
    assert engine.stats().errors == errors + 1
    assert engine.get_many(["k", "other"]) == {}

    @engine.cacheable(key=lambda: "k")
    def cached() -> int:
        return 1

    assert cached() == 1
    assert engine.get("k") == 1


@pytest.mark.parametrize("kind", ["foreign", "list"])
def test_what_is_no_entry_can_be_replaced_atomically(
    store: RedisStore, engine: Engine, kind: str
) -> None:
    from zoocache_core.atomic import add
    from zoocache_core.flows import run

    with store.client() as client:
        name = store.keys.entries + b"k"
        client.set(name, b"foreign") if kind == "foreign" else client.lpush(name, "a list")
    assert run(add(engine, "k", 1)) is True
    assert engine.get("k") == 1


def test_a_key_of_the_authority_of_another_type_breaks_nothing(
    store: RedisStore, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.set("k", 1)
    with store.client() as client:
        client.set(store.keys.log, "not a stream")
    with caplog.at_level(logging.CRITICAL):
        assert engine.get("k") is None
        assert engine.cacheable("f")(lambda: 1)() == 1
    assert engine.stats().errors


# Connections


def test_a_connection_that_died_is_replaced_without_anybody_noticing(
    store: RedisStore, engine: Engine
) -> None:
    engine.set("k", 1)
    for _ in range(3):
        with store.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        assert engine.get("k") == 1
    assert engine.stats().errors == 0


async def test_an_asynchronous_connection_that_died_is_too(
    store: RedisStore, engine: Engine
) -> None:
    await engine.set_async("k", 1)
    for _ in range(3):
        with store.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        assert await engine.get_async("k") == 1
    assert engine.stats().errors == 0


def connections(store: RedisStore) -> int:
    with store.client() as client:
        return len(client.client_list()) - 1


def test_each_event_loop_has_its_connections_and_closes_them(
    store: RedisStore, engine: Engine
) -> None:
    async def request() -> None:
        await asyncio.gather(*(engine.set_async(f"k{n}", n) for n in range(5)))
        assert await engine.get_async("k1") == 1

    asyncio.run(request())
    assert connections(store) == 0
    for _ in range(5):
        asyncio.run(request())
    assert connections(store) == 0


def test_closing_the_engine_closes_its_connections(store: RedisStore) -> None:
    engine = store.open()

    async def use() -> None:
        await engine.set_async("k", 1)
        engine.set("k", 1)
        assert connections(store) >= 2
        engine.reset()
        for _ in range(100):
            if not connections(store):
                break
            await asyncio.sleep(0.01)

    asyncio.run(use())
    assert connections(store) == 0


def test_threads_share_as_many_connections_as_they_need(store: RedisStore, engine: Engine) -> None:
    engine.set("k", 1)
    ready = threading.Barrier(10)

    def read() -> None:
        ready.wait(10)
        for _ in range(20):
            assert engine.get("k") == 1

    threads = [threading.Thread(target=read) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= connections(store) <= 10


def test_what_is_stored_while_a_read_is_answered_is_understood(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.set("a", "old", deps=["t"])

    def slowly(self: Wire, request: Any, exchange: Any = Wire.exchange) -> Any:
        # The server answers what it was asked first, and the rest after others had their turn.
        asked = request.packed.split(b"*2\r\n$3\r\nGET", 1)
        if len(asked) == 1 or not asked[0]:
            return exchange(self, request)
        news = exchange(self, Request(asked[0], request.commands - 2))
        monkeypatch.undo()
        other.invalidate("t")
        other.set("a", "new", deps=["t"])
        return news + exchange(self, Request(b"*2\r\n$3\r\nGET" + asked[1], 2))

    monkeypatch.setattr(Wire, "exchange", slowly)
    assert engine.get("a") == "new"


def test_a_request_may_be_larger_than_what_the_system_takes_at_once(store: RedisStore) -> None:
    engine = store.open(compress_min_bytes=None)
    value = bytes(16_000_000) + b"end"
    engine.set("a", value)
    assert engine.get("a") == value
    engine.reset()


def test_an_interrupted_exchange_spoils_nothing_for_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.set_many({"a": "a", "b": "b"})

    def interrupt(self: Wire) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Wire, "_receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.get("a")
    assert engine.get("b") == "b"


async def test_a_cancelled_read_spoils_nothing_for_the_next(
    private_redis: RedisServer,
) -> None:
    engine = RedisStore(private_redis.url).open()
    await engine.set_many_async({"a": "a", "b": "b"})
    private_redis.freeze()
    read = asyncio.create_task(engine.get_async("a"))
    await asyncio.sleep(0.02)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    private_redis.thaw()
    assert await engine.get_async("b") == "b"
    engine.reset()


# Settings


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://localhost:port", "port"),
        ("redis://localhost/db", "'db' is not a number"),
        ("redis://localhost?colour=red", "colour"),
        ("unix://", "path"),
        ("redis+sentinel://host", "service"),
        ("redis+sentinel://host:x/service", "'host:x'"),
        ("redis+sentinel:///service", "sentinels"),
    ],
)
def test_a_malformed_url_is_refused_at_once(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"storage_url|Redis URL") as refused:
        Engine(storage_url=url)
    assert complaint in str(refused.value)


def test_a_password_is_not_shown(private_redis: RedisServer) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Engine(storage_url="redis://user:hush-hush@localhost:port")
    assert "hush" not in str(refused.value)


def test_configuring_needs_no_server() -> None:
    engine = Engine(storage_url="redis://127.0.0.1:1")
    assert engine.configured
    assert engine.stats().errors == 0
    engine.reset()


def test_the_server_may_be_named_as_the_bus_too(redis_url: str, trips: list[int]) -> None:
    engine = Engine(storage_url=redis_url, bus_url=redis_url.removesuffix("/0"))
    engine.set("k", 1)
    trips.clear()
    assert engine.get("k") == 1
    assert trips == [3]
    engine.reset()


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("zoocache_core.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(ConfigurationError, match=r'pip install "zoocache-frameworks\[redis\]"'):
        Engine(storage_url="redis://localhost")


# No room


def test_a_full_server_refuses_and_the_function_still_runs() -> None:
    with RedisServer(["maxmemory 3mb", "maxmemory-policy noeviction"]) as server:
        engine = RedisStore(server.url).open(compress_min_bytes=None)
        with pytest.raises(StorageIsFull, match="maxmemory"):
            for number in range(1000):
                engine.set(f"filler {number}", "x" * 100_000)

        @engine.cacheable
        def cached() -> str:
            return "x" * 100_000

        assert cached() == cached() == "x" * 100_000
        engine.reset()


def test_an_invalidation_is_not_lost_for_want_of_memory() -> None:
    with RedisServer(["maxmemory-policy noeviction"]) as server, server.client() as client:
        store = RedisStore(server.url)
        engine, other = store.open(), store.open()
        engine.set("k", "old", deps="t")
        assert other.get("k") == "old"
        client.config_set("maxmemory", 1)
        engine.invalidate("t")
        assert other.get("k") is None
        client.config_set("maxmemory", 0)
        assert wait_until(lambda: other.set("probe", 1) and other.get("probe") == 1, 10)
        assert other.get("k") is None
        engine.reset(), other.reset()


def test_eviction_costs_misses_and_nothing_else() -> None:
    with RedisServer(["maxmemory 3mb", "maxmemory-policy allkeys-random"]) as server:
        store = RedisStore(server.url)
        engine, other = store.open(compress_min_bytes=None), store.open()
        for number in range(300):
            key = f"k{number % 7}"
            engine.set(key, number, deps=f"t:{key}")
            assert other.get(key) in (number, None)
            other.invalidate(f"t:{key}")
            assert engine.get(key) is None
            engine.set(f"filler {number}", "x" * 50_000)
        with server.client() as client:
            assert client.info("stats")["evicted_keys"]
        assert engine.stats().errors == other.stats().errors == 0
        engine.reset(), other.reset()


def test_the_number_of_entries_is_not_asked_for(engine: Engine, trips: list[int]) -> None:
    engine.set("k", 1)
    trips.clear()
    assert engine.stats().entries == 0
    assert trips == []
