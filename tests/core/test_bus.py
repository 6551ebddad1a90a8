"""Memory behind a bus: every process serves its own entries, and forgets what any invalidates."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer, wait_until
from tests.servers.relay import Relay
from zoocache_core.engine import Engine
from zoocache_core.errors import ConfigurationError
from zoocache_core.events import LoggingSink
from zoocache_core.redis.authority import Authority, Heard
from zoocache_core.redis.dialogue import Dialogue, Request, command
from zoocache_core.testing import ManualClock, StorageContract

SOON = 10.0
"""Deadline for what takes milliseconds; less than the staleness that these engines permit."""

Start = Callable[..., Engine]

_prefixes = itertools.count()


@pytest.fixture
def start(redis_server: RedisServer) -> Iterator[Start]:
    """Starts engines that share a bus, as processes would; each is closed in the end."""
    prefix = f"bus{next(_prefixes)}"
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        defaults = {"bus_url": redis_server.url, "prefix": prefix, "max_staleness": 60}
        started.append(Engine(**{**defaults, **settings}))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


def follows(engine: Engine) -> bool:
    """Whether the engine's listener has got an answer of its own."""
    engine.get("anything")
    return any(thread.name == "zoocache-bus" for thread in threading.enumerate())


def has(engine: Engine, key: str) -> bool:
    return engine.get(key) is not None


@pytest.fixture(scope="module", autouse=True)
def _server(redis_server: RedisServer) -> None:
    TestContract.url = redis_server.url


class TestContract(StorageContract):
    """What an engine does on memory, it does with a bus."""

    url: str
    clock: ManualClock

    def open(self, **settings: Any) -> Engine:
        self.clock = ManualClock()
        return Engine(
            bus_url=self.url,
            prefix=f"contract{next(_prefixes)}",
            max_staleness=1000,
            clock=self.clock,
            **settings,
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


# Others' invalidations


def test_what_one_invalidates_the_others_forget(start: Start) -> None:
    writer, reader = start(), start()
    reader.set("k", 1, deps="a:b:c")
    reader.set("other", 2, deps="a:x")
    assert has(reader, "k")
    writer.invalidate("a:b")
    assert wait_until(lambda: not has(reader, "k"), SOON)
    assert has(reader, "other")


def test_wildcards_calls_and_everything(start: Start) -> None:
    writer, reader = start(), start()
    reader.set("wild", 1, deps="a:*")
    has(reader, "wild")
    writer.invalidate("a:b:c")
    assert wait_until(lambda: not has(reader, "wild"), SOON)

    def decorated(engine: Engine) -> Any:
        @engine.cacheable(namespace="call")
        def call(x: int) -> int:
            return x

        return call

    ours, theirs = decorated(reader), decorated(writer)
    ours(1), ours(2)
    theirs.invalidate(1)
    assert wait_until(lambda: not ours.cached_value(1), SOON)
    assert ours.cached_value(2) == 2
    reader.set("plain", 1)
    writer.clear()
    assert wait_until(lambda: not has(reader, "plain"), SOON)


def test_entries_are_not_shared(start: Start) -> None:
    one, other = start(), start()
    one.set("k", 1)
    assert not has(other, "k")


def test_prefixes_do_not_hear_each_other(start: Start) -> None:
    writer, deeper, reader = start(prefix="app"), start(prefix="app:blue"), start(prefix="app")
    deeper.set("k", 1, deps="t")
    reader.set("k", 1, deps="t")
    assert has(deeper, "k")
    assert has(reader, "k")
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "k"), SOON)
    deeper.sequence.catch_up()
    assert has(deeper, "k")


def test_a_process_that_starts_later_knows_what_was_invalidated(start: Start) -> None:
    writer = start()
    writer.invalidate("t")
    late = start()
    late.set("k", "computed before", deps="t", stamp=writer.trie.position - 1)
    assert not has(late, "k")
    late.set("k", "computed after", deps="t")
    assert has(late, "k")


# This process's own


def test_an_invalidation_holds_here_when_it_returns(start: Start) -> None:
    engine = start()
    for number in range(50):
        engine.set("k", number, deps="t")
        assert engine.get("k") == number
        engine.invalidate("t")
        assert not has(engine, "k")


def test_a_value_computed_right_after_an_invalidation_is_kept(start: Start) -> None:
    engine, other = start(), start()
    other.invalidate("t")
    engine.invalidate("t")
    engine.set("k", 1, deps="t")
    assert has(engine, "k")


def test_async(start: Start) -> None:
    writer, reader = start(), start()

    async def main() -> None:
        await reader.set_async("k", 1, deps="t")
        assert await reader.get_async("k") == 1
        await writer.invalidate_async("t")

        async def forgotten() -> None:
            while await reader.get_async("k") is not None:
                await asyncio.sleep(0.001)

        await asyncio.wait_for(forgotten(), SOON)

    asyncio.run(main())


# What a hit costs


def test_a_hit_asks_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    engine.set("k", 1)
    assert has(engine, "k")

    def refuse(*_: object) -> None:
        raise AssertionError("a hit under a lease took the long way")

    monkeypatch.setattr(type(engine), "find", refuse)
    for _ in range(10):
        assert has(engine, "k")


def test_the_lease_of_an_idle_process_does_not_lapse(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start(bus_url=private_redis.url, max_staleness=0.8)
    engine.get("k")

    def polls() -> int:
        with private_redis.client() as client:
            stats = client.info("commandstats")
        return int(stats.get("cmdstat_xread", {"calls": 0})["calls"])

    leased = engine.sequence.leased
    assert leased is not None
    begun = polls()
    while polls() < begun + 8:
        assert leased()


def test_the_lease_of_a_busy_process_does_not_lapse(start: Start) -> None:
    writer, reader = start(), start(max_staleness=1.0)
    reader.get("k")
    leased = reader.sequence.leased
    assert leased is not None
    quiet = threading.Event()
    for number in range(320):
        writer.invalidate(f"t:{number}")
        assert leased()
        quiet.wait(0.005)


# The lease


def test_without_an_answer_for_max_staleness_nothing_stored_is_served(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    engine = start(bus_url=private_redis.url, max_staleness=3, clock=clock, socket_timeout=0.1)
    engine.set("k", 1, deps="t")
    assert has(engine, "k")
    private_redis.freeze()
    clock.advance(2.9)
    assert has(engine, "k")
    clock.advance(0.1)
    assert not has(engine, "k")
    assert engine.get_many(["k"]) == {}
    assert asyncio.run(engine.get_async("k")) is None
    assert engine.stats().errors > 0
    private_redis.thaw()

    def again() -> bool:
        clock.advance(0.5)
        return has(engine, "k")

    assert wait_until(again, SOON)


def test_cached_functions_run_on_without_the_bus(private_redis: RedisServer, start: Start) -> None:
    engine = start(bus_url=private_redis.url, max_staleness=0.2, socket_timeout=0.1)
    calls = itertools.count()

    @engine.cacheable(deps="t")
    def number() -> int:
        return next(calls)

    assert number() == number() == 0
    private_redis.kill()
    assert wait_until(lambda: number() > 0, SOON)
    assert number() < number()
    private_redis.start()
    assert wait_until(lambda: number() == number(), SOON)


# Lost messages


def cut_off(server: RedisServer) -> None:
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)


def test_nothing_is_lost_over_a_hundred_reconnections(
    private_redis: RedisServer, start: Start
) -> None:
    writer = start(bus_url=private_redis.url, max_staleness=60)
    reader = start(bus_url=private_redis.url, max_staleness=60)
    assert follows(reader)
    for number in range(100):
        reader.set("k", number, deps=f"t:{number}")
        assert reader.get("k") == number
        cut_off(private_redis)
        writer.invalidate(f"t:{number}")
        assert wait_until(lambda: not has(reader, "k"), SOON), number


def test_a_log_trimmed_beyond_what_was_seen(private_redis: RedisServer, start: Start) -> None:
    with Relay(private_redis.port) as relay:
        writer = start(bus_url=private_redis.url)
        reader = start(bus_url=relay.url, socket_timeout=0.5)
        reader.set("dead", 1, deps="t:0")
        reader.set("alive", 2, deps="u")
        assert has(reader, "dead")
        relay.hold()
        relay.cut()
        for number in range(10):
            writer.invalidate(f"t:{number}")
        with private_redis.client() as client:
            client.xtrim(f"zoocache:{{{writer.settings.prefix}}}:log", maxlen=1, approximate=False)
        assert has(reader, "dead")
        relay.release()
        assert wait_until(lambda: not has(reader, "dead"), SOON)
        assert has(reader, "alive")


@pytest.mark.parametrize("key", ["log", "tags", "meta", None])
def test_keys_of_the_bus_that_disappear(
    private_redis: RedisServer, start: Start, key: str | None
) -> None:
    writer = start(bus_url=private_redis.url, max_staleness=60)
    reader = start(bus_url=private_redis.url, max_staleness=60)
    reader.set("k", 1, deps="t")
    assert has(reader, "k")
    with private_redis.client() as client:
        if key is None:
            client.flushall()
        else:
            client.delete(f"zoocache:{{{writer.settings.prefix}}}:{key}")
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "k"), SOON)
    # The reader may lose its copy before it has taken over the new history, and what it stores in
    # between is outdated by that; but it caches again.
    assert wait_until(lambda: reader.set("k", 2, deps="t") and has(reader, "k"), SOON)


# Telemetry, settings, lifecycle


class Lags(LoggingSink):
    def __init__(self) -> None:
        super().__init__()
        self.lags: list[float] = []

    def bus_lag(self, seconds: float) -> None:
        self.lags.append(seconds)


def test_sinks_are_told_how_long_an_invalidation_took(start: Start) -> None:
    sink = Lags()
    writer, reader = start(), start(events=[sink])
    assert follows(reader)
    reader.set("k", 1, deps="t")
    assert has(reader, "k")
    assert wait_until(lambda: writer.publish(["t"]) and bool(sink.lags), SOON)
    assert not has(reader, "k")
    assert all(0 <= lag < SOON for lag in sink.lags)


def test_they_are_told_of_what_comes_between_two_times_of_listening_as_well(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(self: Authority, seconds: float) -> Dialogue[Heard]:
        yield Request(command("PING"), 1)
        return Heard(0, False)

    monkeypatch.setattr(Authority, "listen", deaf)
    sink = Lags()
    writer, reader = start(), start(events=[sink])
    reader.get("k")
    assert wait_until(lambda: writer.publish(["t"]) and bool(sink.lags), SOON)


def test_a_malformed_url_is_refused() -> None:
    for url in ("amqp://localhost", "redis://localhost/zero", "redis://localhost?no_such_option=1"):
        with pytest.raises(ConfigurationError, match="not understood"):
            Engine(bus_url=url)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("zoocache_core.redis.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "zoocache_core.bus", raising=False)
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(ConfigurationError, match=r"zoocache-frameworks\[redis\]"):
        Engine(bus_url="redis://localhost")


def test_reset_ends_the_listener_and_its_connections(
    private_redis: RedisServer, start: Start
) -> None:
    def clients() -> int:
        with private_redis.client() as client:
            return len(client.client_list()) - 1

    for _ in range(3):
        engine = start(bus_url=private_redis.url, max_staleness=600)
        engine.set("k", 1)
        assert has(engine, "k")
        assert wait_until(lambda: clients() >= 2, SOON)
        engine.reset()
        assert not any(thread.name.startswith("zoocache") for thread in threading.enumerate())
        assert wait_until(lambda: clients() == 0, SOON)


def test_an_engine_that_is_not_used_opens_nothing(private_redis: RedisServer, start: Start) -> None:
    start(bus_url=private_redis.url)
    with private_redis.client() as client:
        assert len(client.client_list()) == 1
    assert not any(thread.name.startswith("zoocache") for thread in threading.enumerate())


def test_a_forked_child_follows_by_itself(private_redis: RedisServer, start: Start) -> None:
    program = """
        import os, sys, threading
        from tests.servers import wait_until
        from zoocache_core.engine import Engine

        engine = Engine(bus_url=sys.argv[1], max_staleness=60)
        engine.set("k", 1, deps="t")
        engine.set("mine", 1, deps="u")
        assert engine.get("k") == 1
        assert wait_until(lambda: threading.active_count() == 2, 10)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            assert threading.active_count() == 1
            assert engine.get("k") == 1
            assert threading.active_count() == 2
            engine.invalidate("u")
            os.write(theirs, b".")
            os._exit(0 if wait_until(lambda: engine.get("k") is None, 10) else 1)
        os.read(ours, 1)
        assert wait_until(lambda: engine.get("mine") is None, 10)
        engine.invalidate("t")
        _, status = os.waitpid(child, 0)
        assert engine.get("k") is None
        assert engine.stats().errors == 0
        engine.reset()
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), private_redis.url]
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
