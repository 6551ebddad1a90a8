"""Which engine is behind an alias of `CACHES`, how it is configured, and when it is closed."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import InvalidCacheBackendError, caches, close_caches
from django.test import override_settings

from zoocache_core import Engine, NotConfigured
from zoocache_core.testing import in_threads
from zoocache_django import engines, signing
from zoocache_django.cache import ZooCacheBackend

BACKEND = "zoocache_django.cache.ZooCacheBackend"


def alias(location: str = "", **params: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "LOCATION": location, **params}


def backend(location: Any = "", **params: Any) -> ZooCacheBackend:
    return ZooCacheBackend(location, params)


@pytest.fixture(autouse=True)
def no_engines_left() -> Iterator[None]:
    yield
    engines.close_all()


# One engine for each store


@override_settings(
    CACHES={
        "default": alias(),
        "same": alias(VERSION=2, TIMEOUT=5),
        "other": alias("memory://other"),
        "named": alias("other"),
        "prefix": alias(KEY_PREFIX="p"),
        "bounded": alias(OPTIONS={"MAX_ENTRIES": 10}),
    }
)
def test_aliases_share_an_engine_if_they_mean_one_store() -> None:
    found = {name: caches[name].engine for name in caches.settings}  # type: ignore[attr-defined]
    assert found["default"] is found["same"]
    assert found["other"] is found["named"]
    assert len(set(map(id, found.values()))) == 4
    caches["default"].set("k", 1, version=2)
    assert caches["same"].get("k") == 1
    assert caches["other"].get("k", version=2) is None


@override_settings(CACHES={"default": alias("shared-by-threads")})
def test_threads_and_tasks_share_it_too() -> None:
    caches["default"].set("k", "of the main thread")

    def work(index: int) -> Any:
        close_caches()
        return caches["default"], caches["default"].get("k")

    found = in_threads(3, work)
    assert [value for _, value in found] == ["of the main thread"] * 3
    assert len({id(cache) for cache, _ in found}) == 3, "Django makes one object for each thread"

    async def main() -> Any:
        return await caches["default"].aget("k")

    assert asyncio.run(main()) == "of the main thread"


def test_nothing_is_opened_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_engine(**settings: Any) -> Engine:
        opened.append(settings["storage_url"])
        return Engine()

    monkeypatch.setattr(engines, "Engine", open_engine)
    cache = backend("lmdb:///nowhere/at/all")
    assert opened == []
    cache.get("k")
    cache.get("k")
    assert opened == ["lmdb:///nowhere/at/all"]


def test_threads_that_come_first_together_open_one_engine() -> None:
    barrier = threading.Barrier(4)

    def work(index: int) -> Any:
        cache = backend("memory://first")
        barrier.wait(10)
        return cache.engine

    assert len(set(map(id, in_threads(4, work)))) == 1


# Settings


def test_what_an_engine_is_told() -> None:
    settings = backend(
        "redis://host:1/2",
        KEY_PREFIX="shop",
        TIMEOUT=None,
        OPTIONS={"MAX_STALENESS": 2, "flight_timeout": 5},
    )._alias.settings
    assert settings.storage_url == "redis://host:1/2"
    assert settings.prefix == "django:shop"
    assert settings.max_staleness == 2
    assert settings.flight_timeout == 5
    assert settings.read_extend_ttl is False
    assert settings.verify_values is False
    assert backend()._alias.settings.prefix == "django"
    assert backend(OPTIONS={"MAX_ENTRIES": 5})._alias.settings.cull_frequency == 3
    assert (
        backend(OPTIONS={"MAX_ENTRIES": 5, "CULL_FREQUENCY": 0})._alias.settings.cull_frequency == 0
    )
    finer = backend(OPTIONS={"MAX_ENTRIES": 5, "CULL_FREQUENCY": None})._alias.settings
    assert finer.cull_frequency is None


@pytest.mark.parametrize(
    ("location", "params", "message"),
    [
        ("", {"TIMEOUTS": 5}, "unknown setting 'TIMEOUTS'.*Did you mean 'TIMEOUT'"),
        ("", {"OPTIONS": {"MAX_ENTRYS": 5}}, "'MAX_ENTRYS'.*Did you mean 'MAX_ENTRIES'.*CLOCK"),
        ("", {"OPTIONS": {"client_class": "x"}}, "'client_class', and there is no such option"),
        ("", {"OPTIONS": {"MAX_ENTRIES": 0}}, "max_entries=0"),
        ("", {"OPTIONS": {"MAX_ENTRIES": "many"}}, "max_entries='many'"),
        ("", {"OPTIONS": {"CULL_FREQUENCY": 2}}, "max_entries"),
        ("", {"OPTIONS": {"MAX_ENTRIES": 5, "max_entries": 5}}, "twice"),
        ("", {"OPTIONS": {"STORAGE_URL": "x://"}}, "given by LOCATION"),
        ("", {"OPTIONS": {"default_ttl": 5}}, "given by TIMEOUT"),
        ("", {"OPTIONS": {"PREFIX": "p"}}, "given by KEY_PREFIX"),
        ("", {"OPTIONS": ["MAX_ENTRIES"]}, "must be a dict"),
        ("", {"TIMEOUT": "soon"}, "TIMEOUT='soon'"),
        ("", {"TIMEOUT": float("nan")}, "TIMEOUT=nan"),
        ("", {"TIMEOUT": []}, r"TIMEOUT=\[\]"),
        ("", {"OPTIONS": {"CLOCK": 5}}, "clock=5"),
        ("", {"OPTIONS": {"INVALIDATE_ON_WRITE": "no"}}, "INVALIDATE_ON_WRITE='no'"),
        ("", {"OPTIONS": {"INVALIDATE_ON_WRITES": True}}, "Did you mean 'INVALIDATE_ON_WRITE'"),
        ("localhost:6379", {}, "LOCATION='localhost:6379' is not a URL.*redis://"),
        ("/var/tmp/cache", {}, "is not a URL.*lmdb:///"),
        (["redis://a", "redis://b"], {}, "is not a URL"),
    ],
)
def test_mistakes_are_named(location: Any, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCacheBackendError, match=message):
        backend(location, **params)


def test_a_storage_that_there_is_not_is_reported_on_first_use() -> None:
    with pytest.raises(ValueError, match="memcached://"):
        backend("memcached://host").get("k")


@pytest.mark.parametrize("frequency", [3, 0, None])
def test_culling(frequency: int | None) -> None:
    options = {"MAX_ENTRIES": 30, "CULL_FREQUENCY": frequency}
    cache = backend(f"memory://cull{frequency}", OPTIONS=options)
    for number in range(49):
        cache.set(f"k{number}", number)
    left = cache.get_many([f"k{number}" for number in range(49)])
    assert len(left) == {3: 29, 0: 19, None: 30}[frequency]
    assert left["k48"] == 48


# Keys that sign pickles


@override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
def test_signing_keys_follow_the_secret_key() -> None:
    new, old = signing.secret_keys()
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        assert signing.secret_keys() == (old,)
    assert len({new, old}) == 2
    assert b"new" not in new
    assert backend("redis://host")._alias.settings.secret_key == (new, old)
    own = backend("redis://host", OPTIONS={"SECRET_KEY": "o" * 16})
    assert own._alias.settings.secret_key == (b"o" * 16,)
    assert backend()._alias.settings.secret_key is None, "nobody else can write to this memory"


# Closing


def test_engines_that_settings_do_not_name_any_more_are_closed() -> None:
    with override_settings(CACHES={"default": alias(), "kept": alias("memory://kept")}):
        default, kept = caches["default"], caches["kept"]
        default.set("k", 1)
        kept.set("k", 1)
        with override_settings(CACHES={"default": alias("memory://new"), "kept": alias("kept")}):
            assert caches["default"].get("k") is None
            assert caches["kept"].get("k") == 1
            with pytest.raises(NotConfigured):
                default.get("k")
        assert caches["default"].get("k") is None
        assert caches["kept"].get("k") == 1


def test_an_alias_that_cannot_be_read_closes_nothing_that_others_need() -> None:
    broken = {"BACKEND": "no.such.Backend"}
    with override_settings(CACHES={"default": alias("memory://kept")}):
        caches["default"].set("k", 1)
        changed = {"default": alias("memory://kept"), "broken": broken, "wrong": alias("a:b")}
        with override_settings(CACHES=changed):
            assert caches["default"].get("k") == 1


def test_the_end_of_a_request_closes_nothing() -> None:
    with override_settings(CACHES={"default": alias()}):
        cache = caches["default"]
        cache.set("k", 1)
        close_caches()
        assert cache.get("k") == 1
        assert caches["default"].get("k") == 1


# Methods that do not block


@override_settings(CACHES={"default": alias("memory://async")})
async def test_asynchronous_methods_stay_on_the_event_loop(monkeypatch: Any) -> None:
    def thread(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a thread was asked to do this")

    monkeypatch.setattr("django.core.cache.backends.base.sync_to_async", thread)
    monkeypatch.setattr("asyncio.to_thread", thread)
    monkeypatch.setattr("asyncio.BaseEventLoop.run_in_executor", thread)
    cache: Any = caches["default"]

    async def compute() -> str:
        await asyncio.sleep(0)
        return "computed"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await cache.aset("k", 1, 10, tags=["t"])
        assert await cache.aget("k") == 1
        assert await cache.aadd("k", 2) is False
        assert await cache.aincr("k") == 2
        assert await cache.adecr("k") == 1
        assert await cache.atouch("k", 20) is True
        assert 19 < await cache.attl("k") <= 20
        assert await cache.ahas_key("k") is True
        assert await cache.aincr_version("k") == 2
        assert await cache.adecr_version("k", version=2) == 1
        assert await cache.aset_many({"a": 1, "b": 2}, tags=["u"]) == []
        assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert await cache.aget_or_set("a", 5) == 1
        assert await cache.aget_or_set("d", "default") == "default"
        assert await cache.aget_or_set("e", lambda: "called") == "called"
        assert await cache.aget_or_set("f", compute) == "computed"
        assert await cache.adelete("e") is True
        await cache.adelete_many(["d"])
        await cache.ainvalidate_tags("t")
        assert await cache.aget_many(["k", "a", "b", "d", "e", "f"]) == {
            "a": 1,
            "b": 2,
            "f": "computed",
        }
        await cache.adelete_pattern("[ab]")
        assert await cache.aget_many(["a", "b", "f"]) == {"f": "computed"}
        async with cache.lock("k"):
            assert await cache.lock("k").aacquire(blocking=False) is False
        await cache.aclear()
        assert await cache.aget("f") is None
        await cache.aset("f", 1)
        await cache.aclose()
        assert await cache.aget("f") == 1


@override_settings(CACHES={"default": alias("memory://async-once")})
async def test_tasks_compute_once() -> None:
    calls = []

    async def compute() -> int:
        calls.append(1)
        await asyncio.sleep(0.01)
        return 1

    cache: Any = caches["default"]
    assert await asyncio.gather(*(cache.aget_or_set("k", compute) for _ in range(5))) == [1] * 5
    assert calls == [1]
