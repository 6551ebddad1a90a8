"""The bus frozen, killed, cut off, restarted empty or from an older state: late, never wrong."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.servers import RedisServer, wait_until
from tests.servers.relay import Relay
from zoocache_core.engine import Engine
from zoocache_core.errors import BusUnavailable
from zoocache_core.testing import ManualClock

SOON = 15.0
Start = Callable[..., Engine]

_prefixes = itertools.count()


@pytest.fixture
def start(private_redis: RedisServer) -> Iterator[Start]:
    """Starts engines that share a bus, as processes would; each is closed in the end."""
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        defaults = {"bus_url": private_redis.url, "max_staleness": 60, "socket_timeout": 0.1}
        started.append(Engine(**{**defaults, **settings}))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


def has(engine: Engine, key: str) -> bool:
    return engine.get(key) is not None


def test_a_partitioned_process_serves_no_longer_than_max_staleness(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    with Relay(private_redis.port) as relay:
        writer = start()
        reader = start(bus_url=relay.url, max_staleness=5, clock=clock)
        reader.set("k", "old", deps="t")
        assert has(reader, "k")
        relay.hold()
        writer.invalidate("t")
        clock.advance(4.9)
        assert has(reader, "k"), "within the limit it serves what it has"
        clock.advance(0.1)
        assert not has(reader, "k")
        # A value that is computed meanwhile is returned, and never served afterwards as if it
        # were known to be valid.
        reader.set("k", "meanwhile", deps="t")
        assert not has(reader, "k")
        relay.release()

        def trusts_again() -> bool:
            clock.advance(0.5)
            reader.set("probe", 1)
            return has(reader, "probe")

        assert wait_until(trusts_again, SOON)
        assert not has(reader, "k"), "it was computed by a process that did not know of t"


def test_an_invalidation_during_an_outage_holds_here_and_is_delivered(
    private_redis: RedisServer, start: Start
) -> None:
    writer, reader = start(), start()
    for engine in (writer, reader):
        engine.set("k", 1, deps="t")
        engine.set("other", 2, deps="u")
        assert has(engine, "k")
    private_redis.freeze()
    writer.invalidate("t")
    assert not has(writer, "k")
    writer.set("k", "computed during the outage", deps="t")
    assert not has(writer, "k")
    assert has(writer, "other")
    with pytest.raises(BusUnavailable, match="'u'"):
        writer.invalidate("u", strict=True)
    assert not has(writer, "other")
    assert has(reader, "k")
    private_redis.thaw()
    assert wait_until(lambda: not has(reader, "k") and not has(reader, "other"), SOON)

    def keeps_again() -> bool:
        writer.set("k", "after the outage", deps="t")
        return has(writer, "k")

    assert wait_until(keeps_again, SOON)


def test_what_was_invalidated_during_a_long_outage_is_not_served_after_it(
    private_redis: RedisServer, start: Start
) -> None:
    # The writer finds the server again later than the reader does: its relay is still held.
    clock = ManualClock()
    with Relay(private_redis.port) as relay:
        writer = start(bus_url=relay.url)
        reader = start(max_staleness=5, clock=clock)
        writer.invalidate("anything")
        reader.set("k", "old", deps="t")
        assert has(reader, "k")
        private_redis.freeze()
        relay.hold()
        writer.invalidate("t")
        clock.advance(60)
        assert not has(reader, "k")
        private_redis.thaw()

        def has_got_an_answer() -> bool:
            reader.sequence.catch_up()
            return bool(reader.sequence._lease.asked_since(clock.monotonic()))

        assert wait_until(has_got_an_answer, SOON)
        assert not has(reader, "k")
        relay.release()

        def delivered() -> bool:
            writer.set("probe", 1, deps="t")
            return has(writer, "probe")

        def trusts_again() -> bool:
            clock.advance(0.2)
            return bool(reader.sequence.catch_up())

        assert wait_until(delivered, SOON)
        assert wait_until(trusts_again, SOON)
        assert not has(reader, "k")


@pytest.mark.parametrize("how", ["killed", "emptied", "an older state"])
def test_a_server_that_restarts(private_redis: RedisServer, start: Start, how: str) -> None:
    writer, reader = start(), start()
    writer.invalidate("before")
    snapshot = private_redis.save()
    for tag in ("t", "u"):
        reader.set(tag, 1, deps=tag)
    assert has(reader, "t")
    writer.invalidate("v")
    if how == "killed":
        private_redis.kill()
        private_redis.start()
    elif how == "emptied":
        private_redis.restart(empty=True)
    else:
        private_redis.restart_from(snapshot)
    writer.invalidate("t")
    assert wait_until(lambda: not has(reader, "t"), SOON)

    def all_well() -> bool:
        reader.set("t", 2, deps="t")
        if not has(reader, "t"):
            return False
        writer.invalidate("t")
        return wait_until(lambda: not has(reader, "t"), SOON)

    assert wait_until(all_well, SOON)
    assert writer.trie.position >= reader.trie.position > 0


def test_invalidations_made_while_it_was_down_survive_an_empty_restart(
    private_redis: RedisServer, start: Start
) -> None:
    writer, reader = start(), start()
    reader.set("k", 1, deps="t")
    assert has(reader, "k")
    private_redis.kill()
    writer.invalidate("t")
    private_redis.restart(empty=True)
    assert wait_until(lambda: not has(reader, "k"), SOON)


def test_a_process_that_starts_while_the_bus_is_down(
    private_redis: RedisServer, start: Start
) -> None:
    private_redis.kill()
    engine = start()
    calls = itertools.count()

    @engine.cacheable(deps="t")
    def number() -> int:
        return next(calls)

    assert number() < number()
    engine.invalidate("t")
    assert engine.get("k") is None
    private_redis.start()
    assert wait_until(lambda: number() == number(), SOON)


def test_an_outage_is_told_once_and_so_is_its_end(
    private_redis: RedisServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start(max_staleness=0.2)
    engine.get("k")
    caplog.set_level(logging.WARNING, logger="zoocache")

    def told(words: str, times: int) -> bool:
        return sum("'bus'" in text and words in text for text in caplog.messages) == times

    for incident in (1, 2):
        private_redis.kill()
        assert wait_until(partial(told, "failed", incident), SOON)
        for _ in range(20):
            engine.get("k")
        private_redis.start()
        assert wait_until(partial(told, "works again", incident), SOON)
        assert told("failed", incident)
    assert engine.stats().errors >= 2


def test_reads_do_not_wait_for_a_server_that_is_known_to_be_down(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    engine = start(clock=clock, max_staleness=5, socket_timeout=1.0)
    engine.get("k")
    private_redis.freeze()
    clock.advance(5)
    assert not has(engine, "k")
    # Each of these would take a second if it asked.
    assert not wait_until(lambda: has(engine, "k"), 0.5)
    assert engine.stats().errors > 10


def test_without_the_bus_nobody_waits_for_a_computation_that_began_too_long_ago(
    private_redis: RedisServer, start: Start
) -> None:
    clock = ManualClock()
    engine = start(clock=clock, max_staleness=5)
    source, began, go_on = ["old"], threading.Event(), threading.Event()
    answers: list[str] = []

    @engine.cacheable(deps="t")
    def read() -> str:
        value = source[0]
        if value == "old":
            began.set()
            assert go_on.wait(SOON)
        return value

    leader = threading.Thread(target=lambda: answers.append(read()))
    leader.start()
    assert began.wait(SOON)
    private_redis.freeze()
    # Elsewhere the data change and are invalidated, which cannot be known here.
    source[0] = "new"
    clock.advance(5)
    assert read() == "new"
    go_on.set()
    leader.join()
    assert answers == ["old"]
