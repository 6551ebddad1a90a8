"""Redis frozen, killed, restarted empty or from an older state, out of order: late, never wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.core.redis_store import RedisStore
from tests.servers import RedisServer, wait_until
from tests.servers.relay import Relay
from zoocache_core import BusUnavailable, Engine
from zoocache_core.testing import in_threads

SOON = 15.0
TIMEOUT = 0.2
BOUND = 3 * TIMEOUT + 0.5
"""A connection attempt, an exchange, a second exchange; and a machine that is busy."""

Start = Callable[..., Engine]


@pytest.fixture
def store(private_redis: RedisServer) -> RedisStore:
    return RedisStore(private_redis.url)


@pytest.fixture
def start(store: RedisStore) -> Iterator[Start]:
    """Starts engines on one store, as processes would; each is closed in the end."""
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        started.append(store.open(**{"socket_timeout": TIMEOUT, **settings}))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


class Source:
    """What a cached function reads, and how often it did."""

    def __init__(self, engine: Engine) -> None:
        self.value = "first"
        self.reads = 0
        self.read = engine.cacheable(key=lambda: "source", deps="t")(self._read)
        self.aread = engine.cacheable(key=lambda: "source", deps="t")(self._aread)

    def _read(self) -> str:
        self.reads += 1
        return self.value

    async def _aread(self) -> str:
        self.reads += 1
        return self.value


def took(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def caches_again(engine: Engine) -> bool:
    engine.set("probe", 1)
    return engine.get("probe") == 1


# Frozen


def test_a_frozen_server_costs_one_bounded_delay_and_no_error(
    private_redis: RedisServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start()
    source = Source(engine)
    source.read()
    private_redis.freeze()
    source.value = "second"
    assert took(source.read) < BOUND
    assert source.read() == "second", "what cannot be checked is not served"
    # While it is known to be down, nobody waits for it.
    assert took(lambda: [source.read() for _ in range(100)]) < TIMEOUT
    assert took(lambda: engine.get("k")) < TIMEOUT
    assert took(lambda: engine.get_many(["a", "b"])) < TIMEOUT
    assert engine.set("k", 1) is False
    assert engine.touch("k") is False
    assert engine.delete("k") is False
    assert engine.stats().errors > 100
    complaints = [r for r in caplog.records if "'get' failed" in r.getMessage()]
    assert len(complaints) == 1, "one incident, one line"
    private_redis.thaw()
    assert wait_until(lambda: caches_again(engine), SOON)
    assert any("'get' works again" in r.getMessage() for r in caplog.records)


def test_many_threads_wait_for_a_frozen_server_once(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    source = Source(engine)
    source.read()
    in_threads(10, lambda index: engine.get("warm"))
    private_redis.freeze()
    slowest = max(in_threads(10, lambda index: took(lambda: [source.read() for _ in range(20)])))
    assert slowest < 2 * BOUND
    private_redis.thaw()


def test_the_event_loop_goes_on_while_the_server_is_frozen(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    source = Source(engine)

    async def main() -> float:
        await source.aread()
        private_redis.freeze()
        ticks = [time.monotonic()]

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.005)
                ticks.append(time.monotonic())

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        assert await source.aread() == "first"
        await engine.invalidate_async("t")
        await engine.set_async("k", 1)
        await asyncio.gather(*(engine.get_async("k") for _ in range(10)))
        assert time.monotonic() - began < 2 * BOUND
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        return max(later - earlier for earlier, later in itertools.pairwise(ticks))

    assert asyncio.run(main()) < TIMEOUT
    private_redis.thaw()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    engine.set_many({"a": "a", "b": "b"})
    private_redis.freeze()
    assert engine.get("a") is None
    private_redis.thaw()
    assert wait_until(lambda: caches_again(engine), SOON)
    for _ in range(5):
        assert engine.get("b") == "b"
        assert engine.get("a") == "a"


# Gone, and back


def test_a_killed_server_that_comes_back_empty(private_redis: RedisServer, start: Start) -> None:
    engine, other = start(), start()
    source = Source(engine)
    source.read()
    assert other.get("source") == "first"
    private_redis.kill()
    source.value = "second"
    engine.invalidate("t")
    assert took(source.read) < BOUND
    assert source.read() == "second"
    private_redis.start()
    assert wait_until(lambda: caches_again(engine), SOON)
    assert source.read() == "second"
    assert wait_until(lambda: caches_again(other), SOON)
    assert other.get("source") in ("second", None)


def test_a_server_that_restarts_with_an_older_state_is_not_believed(
    private_redis: RedisServer, start: Start
) -> None:
    engine, other = start(), start()
    engine.set("k", "old", deps="t")
    engine.set("unrelated", "old too")
    snapshot = private_redis.save()
    engine.invalidate("t")
    private_redis.restart_from(snapshot)
    late = start()
    for one in (late, engine, other):
        assert wait_until(lambda one=one: caches_again(one), SOON)
        assert one.get("k") is None
        assert one.get("unrelated") is None, "nobody knows what else was lost"


def test_an_older_state_is_not_believed_by_those_who_only_start_later(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    engine.set("k", "old", deps="t")
    snapshot = private_redis.save()
    engine.invalidate("t")
    engine.reset()
    private_redis.restart_from(snapshot)
    assert start().get("k") is None


def test_a_restart_that_lost_nothing_costs_misses_only(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    engine.set("k", 1)
    private_redis.restart(empty=False)
    assert wait_until(lambda: caches_again(engine), SOON)
    assert engine.set("k", 2)
    assert engine.get("k") == 2


def test_the_log_as_of_a_snapshot_with_the_same_server_running(
    private_redis: RedisServer, store: RedisStore, start: Start
) -> None:
    """As behind a proxy that changes servers under open connections."""
    engine = start()
    engine.set("k", "old", deps="t")
    with private_redis.client() as client:
        names = [*store.keys.authority, store.keys.entries + b"k"]
        earlier = {name: client.dump(name) for name in names}
        engine.invalidate("t")
        assert engine.get("k") is None
        for name, content in earlier.items():
            client.restore(name, 0, content, replace=True)
    assert engine.get("k") is None
    assert engine.get("anything") is None
    assert start().get("k") is None
    assert caches_again(engine)


# Invalidations meanwhile


def test_an_invalidation_during_an_outage_is_delivered_before_anything_is_trusted(
    private_redis: RedisServer, start: Start
) -> None:
    writer, reader = start(), start()
    source = Source(writer)
    source.read()
    assert reader.get("source") == "first"
    private_redis.freeze()
    source.value = "second"
    assert took(lambda: writer.invalidate("t")) < BOUND
    with pytest.raises(BusUnavailable, match="'u'"):
        writer.invalidate("u", strict=True)
    assert writer.get("source") is None
    private_redis.thaw()
    # From the first moment on at which the writer finds anything in Redis again.
    assert wait_until(lambda: caches_again(writer), SOON)
    assert writer.get("source") is None
    assert reader.get("source") is None
    assert source.read() == "second"
    assert reader.get("source") == "second"


def test_what_was_invalidated_during_an_outage_is_dead_for_those_who_start_later(
    private_redis: RedisServer, start: Start
) -> None:
    writer = start()
    writer.set("k", "old", deps="t")
    private_redis.freeze()
    writer.invalidate("t")
    private_redis.thaw()
    assert wait_until(lambda: caches_again(writer), SOON)
    assert start().get("k") is None


def test_a_process_that_ends_delivers_what_it_can(private_redis: RedisServer, start: Start) -> None:
    writer, reader = start(), start()
    writer.set("k", "old", deps="t")
    with private_redis.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        writer.invalidate("t")
        client.execute_command("REPLICAOF", "NO", "ONE")
    writer.reset()
    assert reader.get("k") is None


def test_who_is_cut_off_follows_no_computation_that_began_before(
    private_redis: RedisServer, start: Start
) -> None:
    with Relay(private_redis.port) as relay:
        here, elsewhere = start(storage_url=relay.url), start()
        source, begun, go_on = Source(here), threading.Event(), threading.Event()

        def slow() -> str:
            value = source.value
            begun.set()
            assert go_on.wait(SOON)
            return value

        here.get("warm")
        slowly = threading.Thread(target=here.fetch, args=("k", slow), kwargs={"deps": "t"})
        slowly.start()
        assert begun.wait(SOON)
        relay.hold()
        source.value = "second"
        elsewhere.invalidate("t", strict=True)
        # Nobody here can know of that. So nobody may be given what began before he asked.
        assert here.fetch("k", source.read.uncached, deps="t") == "second"
        assert asyncio.run(here.fetch_async("k", source.aread.uncached, deps="t")) == "second"
        go_on.set()
        slowly.join()
        relay.release()
        assert wait_until(lambda: caches_again(here), SOON)
        assert here.get("k") != "first"


# There, and of no use


@contextlib.contextmanager
def writes_refused(server: RedisServer, directory: Path) -> Iterator[None]:
    """MISCONF: the last snapshot failed, for its directory is gone."""
    with server.client() as client:
        client.config_set("save", "3600 1")
        shutil.rmtree(directory)
        with contextlib.suppress(redis.RedisError):
            client.bgsave()
        assert wait_until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", SOON
        )
        yield
        client.config_set("save", "")


def test_a_server_that_takes_no_writes_still_answers_reads(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    with RedisServer([f"dir {directory}"]) as server:
        store = RedisStore(server.url)
        engine, late = store.open(), store.open()
        engine.set("k", "old", deps="t")
        engine.set("other", "kept")
        with writes_refused(server, directory):
            assert engine.get("k") == "old"
            assert engine.set("new", 1) is False
            engine.invalidate("t")
            assert engine.get("k") is None, "it holds here at once"
            assert engine.get("other") == "kept"
            assert engine.cacheable(key=lambda: "f")(lambda: 1)() == 1
        assert wait_until(lambda: caches_again(engine), SOON)
        assert wait_until(lambda: late.get("k") is None, SOON)
        assert late.get("other") == "kept"
        engine.reset(), late.reset()


def test_a_server_that_has_become_a_replica_is_left_alone(
    private_redis: RedisServer, start: Start
) -> None:
    engine = start()
    source = Source(engine)
    source.read()
    with private_redis.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        source.value = "second"
        engine.invalidate("t")
        assert source.read() == "second"
        assert engine.set("k", 1) is False
        assert start().get("source") is None, "a replica may be behind"
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert wait_until(lambda: caches_again(engine), SOON)
    assert source.read() == "second"


def is_loading(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    return False


def test_a_server_that_is_loading_its_data() -> None:
    with RedisServer(["rdbcompression no"]) as server:
        store = RedisStore(server.url)
        engine = store.open(socket_timeout=TIMEOUT)
        source = Source(engine)
        with server.client() as client:
            for number in range(400):
                client.set(f"filler {number}", "x" * 100_000)
        source.read()
        snapshot = server.save()
        server.config = (*server.config, "key-load-delay 5000")
        server.kill()
        shutil.copy(snapshot, server.directory / "dump.rdb")
        server.answers = lambda: True  # type: ignore[method-assign]
        server.start()
        assert wait_until(lambda: is_loading(server), SOON)
        source.value = "second"
        assert took(source.read) < BOUND
        assert source.read() == "second"
        assert is_loading(server)
        assert wait_until(lambda: caches_again(engine), SOON)
        engine.reset()


def test_a_server_busy_with_an_endless_script(private_redis: RedisServer, start: Start) -> None:
    engine = start()
    source = Source(engine)
    source.read()
    with private_redis.client() as client, private_redis.client() as killer:
        client.config_set("lua-time-limit", 10)
        with contextlib.suppress(redis.TimeoutError):
            endless = private_redis.client(socket_timeout=0.05)
            endless.eval("while true do end", 0)
        source.value = "second"
        assert took(source.read) < 2 * BOUND
        assert source.read() == "second"
        engine.invalidate("t")
        killer.script_kill()
        endless.close()
    assert wait_until(lambda: caches_again(engine), SOON)
    assert source.read() == "second"


def test_a_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(password="right") as server:
        wrong = server.url.replace("right", "wrong-secret")
        engine = Engine(storage_url=wrong, socket_timeout=TIMEOUT)
        source = Source(engine)
        assert source.read() == source.read() == "first"
        assert source.reads == 2
        assert engine.stats().errors
        assert "wrong-secret" not in caplog.text
        engine.reset()


def test_a_password_that_is_set_while_running(private_redis: RedisServer, start: Start) -> None:
    engine = start()
    source = Source(engine)
    source.read()
    with private_redis.client() as client:
        client.config_set("requirepass", "secret")
        client.client_kill_filter(_type="normal", skipme=True)
        assert took(source.read) < BOUND
        assert source.read() == "first"
        client.config_set("requirepass", "")
    assert wait_until(lambda: caches_again(engine), SOON)


def test_no_server_at_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    engine = Engine(storage_url="redis://127.0.0.1:1", socket_timeout=TIMEOUT)
    source = Source(engine)
    assert source.read() == "first"
    engine.invalidate("t")
    assert source.read() == "first"
    assert asyncio.run(source.aread()) == "first"
    assert took(engine.reset) < BOUND
