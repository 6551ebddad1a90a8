"""The cachelib backend, alone and behind Flask-Caching and Flask-Session."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import cachelib
import flask_caching
import pytest
from flask import Flask, session
from flask_session import Session

from tests.flask.conftest import MakeApp
from zoocache_core import ConfigurationError, Engine, NotConfigured
from zoocache_core.testing import ManualClock
from zoocache_flask import ZooCache, cache_view
from zoocache_flask.cachelib import ZooCacheBackend

Make = Callable[..., cachelib.BaseCache]


@pytest.fixture(params=["simple", "own engine", "shared engine", "redis"])
def make(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes caches; cachelib's own too, for what is true of that has to be true of ours."""
    engines: list[Engine] = []

    def one(**options: Any) -> cachelib.BaseCache:
        if request.param == "simple":
            monkeypatch.setattr("cachelib.simple.time", clock.time)
            return cachelib.SimpleCache(**options)
        if request.param == "shared engine":
            engines.append(Engine(clock=clock, read_extend_ttl=False))
            return ZooCacheBackend(engine=engines[-1], **options)
        if request.param == "redis":
            options.update(
                storage_url=request.getfixturevalue("redis_url"),
                secret_key="a secret for tests only",
            )
            made = ZooCacheBackend(**options)
        else:
            made = ZooCacheBackend(clock=clock, **options)
        engines.append(made.engine)
        return made

    yield one
    for engine in engines:
        engine.reset()


VALUES = {
    "text": "spam",
    "bytes": b"spam",
    "number": 2048,
    "false": False,
    "true": True,
    "empty": {},
    "nested": [{"a": (1, 2)}, {3}],
}


def test_reading_and_storing(make: Make) -> None:
    cache = make()
    assert cache.get("missing") is None
    for key, value in VALUES.items():
        assert cache.set(key, value)
        assert cache.get(key) == value
        assert type(cache.get(key)) is type(value)
        assert cache.has(key)
    assert not cache.has("missing")
    assert cache.get_many("text", "missing", "number") == ["spam", None, 2048]
    assert cache.get_dict("text", "missing") == {"text": "spam", "missing": None}
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert cache.get_many("a", "b") == [1, 2]


def test_a_value_is_the_readers_own(make: Make) -> None:
    cache = make()
    cache.set("list", [1])
    cache.get("list").append(2)
    assert cache.get("list") == [1]


def test_add(make: Make) -> None:
    cache = make()
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.get("a") == 1


def test_deleting(make: Make) -> None:
    cache = make()
    cache.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    assert cache.delete_many("b", "c") == ["b", "c"]
    assert cache.get_many("a", "b", "c", "d") == [None, None, None, 4]
    assert cache.clear()
    assert cache.get("d") is None
    assert cache.add("d", 5)


def test_counting(make: Make) -> None:
    cache = make()
    assert cache.inc("n", 3) == 3
    assert cache.inc("n") == 4
    assert cache.dec("n", 5) == -1
    assert cache.dec("other") == -1
    assert cache.get("n") == -1


def test_counts_of_many_threads_are_all_there(make: Make) -> None:
    cache, barrier = make(), threading.Barrier(4)

    def count() -> None:
        barrier.wait(10)
        for _ in range(50):
            cache.inc("n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cache.get("n") == 200


# Redis has a clock of its own.
@pytest.mark.parametrize("make", ["simple", "own engine", "shared engine"], indirect=True)
def test_timeouts(make: Make, clock: ManualClock) -> None:
    cache = make(default_timeout=10)
    cache.set("default", 1)
    cache.set("short", 1, timeout=5)
    # Not every cachelib has its own caches take a timedelta.
    takes_deltas = isinstance(cache, ZooCacheBackend)
    cache.set("delta", 1, timeout=timedelta(seconds=5) if takes_deltas else 5)
    cache.set("forever", 1, timeout=0)
    cache.set("past", 1, timeout=-1)
    names = ("default", "short", "delta", "forever", "past")
    assert cache.get_many(*names) == [1, 1, 1, 1, None]
    clock.advance(4)
    assert cache.get_many(*names) == [1, 1, 1, 1, None]
    clock.advance(2)
    assert cache.get_many(*names) == [1, None, None, 1, None]
    assert cache.add("short", 2)
    clock.advance(1000)
    assert cache.get_many(*names) == [None, None, None, 1, None]
    forever = make(default_timeout=0)
    forever.set("default", 1)
    clock.advance(1e9)
    assert forever.get("default") == 1


def test_what_cannot_be_pickled_is_refused(clock: ManualClock) -> None:
    cache = ZooCacheBackend(clock=clock)
    with pytest.raises(pickle.PickleError):
        cache.set("a", lambda: 1)
    assert not cache.has("a")


def test_tags(clock: ManualClock) -> None:
    cache = ZooCacheBackend(clock=clock)
    cache.set("a", 1, tags="x:1")
    cache.set_many({"b": 1, "c": 1}, tags=["x:2", "y"])
    assert cache.add("d", 1, tags="x")
    cache.invalidate_tags("x:1")
    assert cache.get_many("a", "b", "c", "d") == [None, 1, 1, 1]
    cache.invalidate_tags("x")
    assert cache.get_many("a", "b", "c", "d") == [None] * 4


def test_clearing_touches_nothing_else_of_the_engine(clock: ManualClock) -> None:
    engine = Engine(clock=clock, read_extend_ttl=False)
    one = ZooCacheBackend(engine=engine, key_prefix="one*")
    two = ZooCacheBackend(engine=engine, key_prefix="two")
    for cache in (one, two):
        cache.set("key", 1)
    engine.set("key", 1)
    engine.set("cachelib:one2key", 1)
    one.clear()
    assert one.get("key") is None
    assert two.get("key") == 1
    assert engine.get_many(["key", "cachelib:one2key"]) == {"key": 1, "cachelib:one2key": 1}
    two.set_many({"a:1": 1, "a:2": 1, "b": 1})
    two.delete_many_with_prefix("a:")
    assert two.get_many("a:1", "a:2", "b") == [None, None, 1]
    engine.reset()


def test_mistakes_are_named(clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'prefix'"):
        ZooCacheBackend(prefx="a")
    with pytest.raises(TypeError, match="either an engine or"):
        ZooCacheBackend(engine=Engine(clock=clock), max_entries=3)
    with pytest.raises(ConfigurationError, match="read_extend_ttl=False"):
        ZooCacheBackend(engine=Engine(clock=clock))
    with pytest.raises(TypeError, match="timeout='soon'"):
        ZooCacheBackend().set("a", 1, timeout="soon")  # type: ignore[arg-type]


def caching(app: Flask, **config: Any) -> flask_caching.Cache:
    config.setdefault("CACHE_TYPE", "zoocache_flask.cachelib.ZooCacheBackend")
    return flask_caching.Cache(app, config=config)


def test_behind_flask_caching() -> None:
    app = Flask("caching")
    cache = caching(app, CACHE_OPTIONS={"max_entries": 50}, CACHE_DEFAULT_TIMEOUT=30)
    runs: list[str] = []

    @app.get("/")
    @cache.cached()
    def index() -> str:
        runs.append("index")
        return "text"

    @cache.memoize()
    def double(x: int) -> int:
        runs.append("double")
        return 2 * x

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["text"] * 2
    with app.app_context():
        assert isinstance(cache.cache, ZooCacheBackend)
        assert cache.cache.engine.settings.max_entries == 50
        assert cache.cache.default_timeout == 30
        assert [double(2), double(2)] == [4, 4]
        assert runs == ["index", "double"]
        cache.delete_memoized(double, 2)
        assert double(2) == 4
    assert runs == ["index", "double", "double"]


def test_as_flask_caching_before_2_5_makes_it(redis_url: str) -> None:
    # It asks for `factory`, which it does not do of classes that are none of its own kind.
    assert issubclass(ZooCacheBackend, flask_caching.backends.base.BaseCache)
    app = Flask("caching")
    app.secret_key = "a secret for tests only"
    config = {"CACHE_KEY_PREFIX": "shop/"}
    options = {"default_timeout": 30, "storage_url": redis_url}
    cache = ZooCacheBackend.factory(app, config, [], options)
    assert cache.default_timeout == 30
    assert cache.set("object", {1, 2})
    assert cache.get("object") == {1, 2}
    assert cache.engine.get("shop/object") == {1, 2}
    assert cache.engine.settings.secret_key is not None
    cache.engine.reset()


def test_flask_caching_in_the_applications_own_storage(make_app: MakeApp, redis_url: str) -> None:
    app = make_app(storage_url=redis_url, prefix="shop")
    cache = caching(app, CACHE_TYPE="zoocache_flask.caching.backend", CACHE_KEY_PREFIX="mine")
    bare = caching(app, CACHE_TYPE="zoocache_flask.caching.backend")
    with app.app_context():
        cache.set("a", 1)
        own = ZooCache().engine
        own.set("kept", 2)
        assert cache.cache.engine.settings.storage_url == redis_url
        assert cache.get("a") == 1
        cache.clear()
        assert cache.get("a") is None
        assert own.get("kept") == 2
        assert not cache.cache.engine.settings.read_extend_ttl
        assert cache.cache.engine.settings.prefix == "shop:flask-caching"
        bare.clear()
        assert own.get("kept") == 2
        cache.set("object", Flask)
        assert cache.get("object") is Flask


def test_flask_caching_without_the_applications_cache() -> None:
    with pytest.raises(NotConfigured, match=r"ZooCache\(app\)"):
        caching(Flask("bare"), CACHE_TYPE="zoocache_flask.caching.backend")


def test_behind_flask_session(make_app: MakeApp, redis_url: str) -> None:
    app = make_app()
    app.config["SESSION_TYPE"] = "cachelib"
    app.config["SESSION_CACHELIB"] = ZooCacheBackend(storage_url=redis_url, prefix="sessions")
    Session(app)

    @app.get("/count")
    def count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/key")
    @cache_view
    def key() -> str:
        return str(session.sid)  # type: ignore[attr-defined]

    first, second = app.test_client(), app.test_client()
    assert [first.get("/count").text for _ in range(3)] == ["1", "2", "3"]
    assert second.get("/count").text == "1"
    keys = [client.get("/key").text for client in (first, second, first)]
    assert keys[0] == keys[2] != keys[1]
    assert "session=" in first.get("/count").headers["Set-Cookie"]
