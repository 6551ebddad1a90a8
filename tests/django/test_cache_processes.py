"""The cache backend among processes that share a store, and when the store goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import override_settings

from tests.django.caches import STORAGES
from tests.servers import RedisServer, wait_until
from zoocache_core.lock import LockError
from zoocache_django import engines
from zoocache_django.cache import ZooCacheBackend

ROOT = Path(__file__).parents[2]


class Worker:
    """Another process on the same store."""

    def __init__(self, location: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.django.cache_worker", location],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, times: int, method: str, *arguments: Any, **named: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([times, method, arguments, named]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        self.ask(1, method, *arguments, **named)
        return self.answer()[0]

    def end(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0


@pytest.fixture(params=[name for name in STORAGES if name != "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "redis":
        yield request.getfixturevalue("redis_url")
    else:
        yield f"lmdb://{tmp_path}"
    engines.close_all()


@pytest.fixture
def cache(location: str) -> Any:
    return ZooCacheBackend(location, {})


@pytest.fixture
def workers(location: str) -> Iterator[list[Worker]]:
    started = [Worker(location) for _ in range(3)]
    assert [worker.answer() for worker in started] == ["ready"] * 3
    yield started
    for worker in started:
        worker.end()


def test_processes_see_what_others_do(cache: Any, workers: list[Worker]) -> None:
    one, two, _ = workers
    cache.set("k", "mine")
    assert one.call("get", "k") == "mine"
    one.call("set", "k", "theirs", tags=["t:1"])
    assert cache.get("k") == "theirs"
    two.call("invalidate_tags", "t")
    assert cache.get("k") is None
    cache.set_many({"a:1": 1, "a:2": 2, "b": 3})
    one.call("delete_pattern", "a:*")
    assert cache.get_many(["a:1", "a:2", "b"]) == {"b": 3}
    two.call("touch", "b", 5)
    assert cache.ttl("b") <= 5
    cache.clear()
    assert one.call("has_key", "b") is False


def test_a_value_stored_after_anothers_clear_is_there(cache: Any, workers: list[Worker]) -> None:
    for worker in workers:
        # What this process has not asked about since, it does not know of.
        worker.call("clear")
        cache.set("k", 1)
        assert cache.get("k") == 1
        worker.call("clear")
        assert cache.add("k", 2) is True
        assert cache.get("k") == 2
        worker.call("clear")
        assert cache.set_many({"k": 3, "l": 3}) == []
        assert cache.get_many(["k", "l"]) == {"k": 3, "l": 3}
        worker.call("clear")
        assert cache.get_or_set("k", lambda: 4) == 4
        assert worker.call("get", "k") == 4


def test_increments_of_all_processes_are_there(cache: Any, workers: list[Worker]) -> None:
    cache.set("k", 0)
    for worker in workers:
        worker.ask(100, "incr", "k")
    seen = [number for worker in workers for number in worker.answer()]
    assert sorted(seen) == list(range(1, 301))
    assert cache.get("k") == 300


def test_one_process_adds(cache: Any, workers: list[Worker]) -> None:
    for round_number in range(10):
        key = f"k{round_number}"
        for number, worker in enumerate(workers):
            worker.ask(1, "add", key, number)
        answers = [worker.answer()[0] for worker in workers]
        assert answers.count(True) == 1
        assert cache.get(key) == answers.index(True)


def test_a_lock_keeps_other_processes_out(location: str, cache: Any) -> None:
    program = f"""
from django.conf import settings
settings.configure(SECRET_KEY="for tests only")
from zoocache_django.cache import ZooCacheBackend
cache = ZooCacheBackend({location!r}, {{}})
print(cache.lock("name", timeout=60).acquire(blocking=False))
"""

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()

    with cache.lock("name", timeout=60):
        assert other() == "False"
    assert other() == "True"
    assert cache.lock("name").acquire(blocking=False) is False, "it died with the lock in its hand"


def test_a_forked_child_goes_on(cache: Any) -> None:
    cache.set("k", 1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cache.incr("k")
            cache.set("child", cache.get("k"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get_many(["k", "child"]) == {"k": 2, "child": 2}
    assert cache.incr("k") == 3


class Thing:
    """Nothing that plain data could stand for."""


def test_objects_are_trusted_only_if_this_project_has_pickled_them(location: str) -> None:
    def cache() -> Any:
        return ZooCacheBackend(location, {})

    with override_settings(SECRET_KEY="old"):
        cache().set_many({"object": Thing(), "plain": [1]})
        assert isinstance(cache().get("object"), Thing)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert isinstance(cache().get("object"), Thing)
        cache().set("new", Thing())
    with override_settings(SECRET_KEY="new"):
        assert cache().get("object") is None
        assert cache().get("plain") == [1]
        assert isinstance(cache().get("new"), Thing)
        assert cache().engine.stats().errors == 1


# Redis


@pytest.fixture
def on_redis(redis_url: str) -> Iterator[Any]:
    yield ZooCacheBackend(redis_url, {"KEY_PREFIX": "p"})
    engines.close_all()


def test_methods_for_many_keys_make_one_round_trip(on_redis: Any, monkeypatch: Any) -> None:
    on_redis.set("warm", "up")
    on_redis.invalidate_tags("warm")  # Redis knows the script from now on
    link = on_redis.engine.storage.link
    made: list[int] = []

    def exchange(request: Any, exchange: Any = link.exchange) -> Any:
        made.append(request.commands)
        return exchange(request)

    monkeypatch.setattr(link, "exchange", exchange)
    values = {f"k{number}": number for number in range(50)}
    for use in (
        lambda: on_redis.set_many(values, 50),
        lambda: on_redis.get_many(values),
        lambda: on_redis.delete_many(values),
        lambda: on_redis.get("k"),
        lambda: on_redis.set("k", 1),
        lambda: on_redis.delete_pattern("*"),
        on_redis.clear,
    ):
        made.clear()
        use()
        assert len(made) == 1


def test_what_belongs_to_others_in_redis_is_left_alone(on_redis: Any, redis_url: str) -> None:
    other = ZooCacheBackend(redis_url, {"KEY_PREFIX": "p:1"})
    with redis.Redis.from_url(redis_url, retry=None) as client:
        client.set(":1:k", "of the application")
        client.set("p:1:k", "of the application")
        other.set("k", "of another prefix", tags=["t"])
        on_redis.set("k", 1, tags=["t"])
        before = set(client.keys())
        on_redis.delete_many(["k"])
        on_redis.delete_pattern("*")
        on_redis.invalidate_tags("t")
        on_redis.clear()
        after = set(client.keys())
        assert client.get(":1:k") == client.get("p:1:k") == b"of the application"
        assert other.get("k") == "of another prefix"
        gone = before - after
        assert len(gone) == 1, "its own entry"
        assert all(name.startswith(b"zoocache:{django:p}:") for name in gone | (after - before))


# Without the store


@pytest.fixture
def outage(private_redis: RedisServer) -> Iterator[tuple[RedisServer, Any]]:
    options = {"SOCKET_TIMEOUT": 0.2}
    yield private_redis, ZooCacheBackend(private_redis.url, {"OPTIONS": options})
    engines.close_all()


def test_a_cache_without_its_store_is_empty_and_breaks_nothing(outage: Any) -> None:
    server, cache = outage
    cache.set("k", 1)
    server.kill()
    assert cache.get("k", "default") == "default"
    cache.set("k", 2)
    assert cache.set_many({"k": 3, "l": 3}) == ["k", "l"]
    assert cache.add("k", 4) is False
    assert cache.get_many(["k"]) == {}
    assert cache.has_key("k") is False
    assert cache.touch("k") is False
    assert cache.delete("k") is False
    assert cache.ttl("k") == 0
    assert cache.get_or_set("k", 5) == 5
    assert cache.get_or_set("k", lambda: 6) == 6
    cache.delete_many(["k"])
    cache.clear()
    cache.invalidate_tags("t")
    cache.delete_pattern("*")
    for change in (cache.incr, cache.incr_version):
        with pytest.raises(ValueError, match="not found"):
            change("k")
    with pytest.raises(LockError, match="does not answer"):
        cache.lock("k").acquire()
    assert cache.engine.stats().errors > 0


@pytest.mark.parametrize("lost", ["delete", "delete_many", "set", "set_many", "set_tagged"])
def test_what_was_deleted_or_replaced_in_an_outage_does_not_come_back(
    outage: Any, lost: str
) -> None:
    server, cache = outage
    cache.set("k", "old", None)
    cache.set("other", "stays", None)
    server.freeze()
    uses = {
        "delete": lambda: cache.delete("k"),
        "delete_many": lambda: cache.delete_many(["k"]),
        "set": lambda: cache.set("k", "new"),
        "set_many": lambda: cache.set_many({"k": "new"}),
        "set_tagged": lambda: cache.set("k", "new", tags=["t"]),
    }
    uses[lost]()
    server.thaw()
    assert wait_until(lambda: cache.get("other") == "stays", 10)
    assert cache.get("k") != "old"
    # Nor for others.
    other = Worker(server.url)
    assert other.answer() == "ready"
    assert wait_until(lambda: other.call("get", "other") == "stays", 10)
    assert other.call("get", "k") != "old"
    other.end()
