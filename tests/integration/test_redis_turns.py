"""Of many processes that miss a key at once, one computes; and if it dies, another does, soon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.core.redis_store import RedisStore
from tests.servers import RedisServer, wait_until
from zoocache_core import Engine
from zoocache_core.redis import leases as leases_module
from zoocache_core.redis.leases import LEASE_MS

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[str]


@contextmanager
def processes(count: int, redis_url: str, log: Path, seconds: float) -> Iterator[list[Process]]:
    """Every other one asynchronous; all ready."""
    started = []
    try:
        for index in range(count):
            options = {
                "settings": {"storage_url": redis_url, "prefix": "turns"},
                "log": str(log),
                "seconds": seconds,
                "asynchronous": bool(index % 2),
            }
            started.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "tests.integration.one_computation"),
                        json.dumps(options),
                    ],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def result(process: Process) -> tuple[int, float]:
    assert process.stdout is not None
    value, waited = json.loads(process.stdout.readline())
    return value, waited


def test_twenty_processes_compute_once(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with processes(20, redis_url, log, seconds=0.5) as started:
        for process in started:
            go(process)
        values = {result(process)[0] for process in started}
    assert values == {int(line) for line in log.read_text().split()}
    assert len(values) == 1


def test_a_holder_that_is_killed_delays_the_others_by_no_more_than_its_lease(
    redis_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        processes(6, redis_url, log, seconds=0.2) as started,
        processes(1, redis_url, log, seconds=60) as (holder,),
    ):
        go(holder)
        assert wait_until(log.exists, 10)
        for process in started:
            go(process)
        time.sleep(0.1)
        os.kill(holder.pid, signal.SIGKILL)
        answers = [result(process) for process in started]
    assert len({value for value, _ in answers}) == 1
    assert len(log.read_text().split()) == 2
    assert max(waited for _, waited in answers) < LEASE_MS / 1000 + 1.5


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url)


@pytest.fixture
def pair(store: RedisStore) -> Iterator[tuple[Engine, Engine]]:
    one, other = store.open(), store.open()
    yield one, other
    one.reset()
    other.reset()


def lease_of(engine: Engine) -> Any:
    assert engine.storage.leases is not None
    return engine.storage.leases


def test_a_lease_is_held_by_one(pair: tuple[Engine, Engine]) -> None:
    mine, theirs = map(lease_of, pair)
    token = mine.acquire("k")
    assert token is not None
    assert theirs.acquire("k") is None
    assert theirs.acquire("other") is not None
    theirs.release("k", b"not the token")
    assert theirs.acquire("k") is None
    mine.release("k", token)
    # Nobody waits for Redis to have heard of it.
    assert wait_until(lambda: theirs.acquire("k") is not None, 10)


async def test_a_lease_is_held_by_one_asynchronously(pair: tuple[Engine, Engine]) -> None:
    mine, theirs = map(lease_of, pair)
    token = await mine.aacquire("k")
    assert await theirs.aacquire("k") is None
    waiting = asyncio.create_task(theirs.await_("k", 30))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await mine.arelease("k", token)
    await asyncio.wait_for(waiting, 10)
    assert await theirs.aacquire("k") is not None


def test_a_lease_lasts_as_long_as_its_holder_lives(
    pair: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "LEASE_MS", 200)
    mine, theirs = map(lease_of, pair)
    mine.acquire("k")
    ends = time.monotonic() + 0.8
    while time.monotonic() < ends:
        assert theirs.acquire("k") is None
        time.sleep(0.01)
    mine.close()
    assert wait_until(lambda: theirs.acquire("k") is not None, 10)


def test_who_waits_is_woken_and_does_not_ask_again_and_again(
    store: RedisStore, pair: tuple[Engine, Engine], redis_server: RedisServer
) -> None:
    mine, theirs = map(lease_of, pair)
    token = mine.acquire("k")
    with redis_server.client() as client:
        client.config_resetstat()
        waiters = [threading.Thread(target=theirs.wait, args=("k", 60)) for _ in range(3)]
        for waiter in waiters:
            waiter.start()
        assert wait_until(lambda: client.info("clients")["blocked_clients"] == 3, 10)
        mine.release("k", token)
        for waiter in waiters:
            waiter.join(1)
            assert not waiter.is_alive(), "it waits for the end of a lease that is over"
        assert client.info("commandstats")["cmdstat_xread"]["calls"] == 3


def test_who_comes_too_late_to_be_woken_does_not_wait(
    store: RedisStore, pair: tuple[Engine, Engine]
) -> None:
    mine, theirs = map(lease_of, pair)
    token = mine.acquire("k")
    assert theirs.acquire("k") is None
    mine.release("k", token)
    began = time.monotonic()
    theirs.wait("k", 60)
    assert time.monotonic() - began < LEASE_MS / 1000 / 2


def test_who_waits_for_the_next_holder_is_not_woken_by_the_one_before(
    pair: tuple[Engine, Engine],
) -> None:
    mine, theirs = map(lease_of, pair)
    mine.release("k", mine.acquire("k"))
    mine.acquire("k")
    began = time.monotonic()
    theirs.wait("k", 0.1)
    assert time.monotonic() - began >= 0.1


def test_nothing_is_left_of_leases(store: RedisStore, pair: tuple[Engine, Engine]) -> None:
    mine, _ = map(lease_of, pair)
    mine.release("k", mine.acquire("k"))
    pair[0].get("k")
    store.pass_time(LEASE_MS / 1000)
    assert store.names() == set(store.keys.authority)


def test_waiting_ends_when_the_server_does(private_redis: RedisServer) -> None:
    engine = RedisStore(private_redis.url).open(socket_timeout=0.2)
    mine = lease_of(engine)
    mine.acquire("k")
    waiter = threading.Thread(target=mine.wait, args=("k", 60))
    waiter.start()
    time.sleep(0.05)
    private_redis.kill()
    waiter.join(5)
    assert not waiter.is_alive()
    engine.reset()
