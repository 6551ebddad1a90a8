"""The extension: where its state is, what it reads, what it refuses, when it ends."""

from __future__ import annotations

import gc
import weakref

import pytest
from flask import Blueprint, Flask

from tests.flask.conftest import MakeApp
from zoocache_core import ConfigurationError, Engine, InvalidTag, NotConfigured
from zoocache_flask import ZooCache, cache_view, cacheable, invalidate
from zoocache_flask.conf import signing_keys


def make(**config: object) -> Flask:
    app = Flask("shop")
    app.config.update(config)
    return app


def test_six_lines_are_enough() -> None:
    app = Flask(__name__)
    cache = ZooCache(app)
    calls = []

    @app.get("/")
    @cache_view
    def index() -> str:
        calls.append(1)
        return "Hello"

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["Hello"] * 2
    assert calls == [1]
    cache.close(app)


def test_nothing_is_kept_on_the_extension() -> None:
    cache = ZooCache()
    before = dict(vars(cache))
    with cache.opened(make()) as app, cache.opened(make()) as other:
        assert vars(cache) == before
        assert cache.engine_of(app) is app.extensions["zoocache"]["default"].engine
        assert cache.engine_of(app) is not cache.engine_of(other)


def test_two_applications_do_not_share_pages_or_values(make_app: MakeApp) -> None:
    @cache_view
    def where() -> str:
        return names[0]

    @cacheable
    def what() -> str:
        return names[0]

    names = ["first"]
    first, second = make_app(), make_app()
    for app in (first, second):
        app.add_url_rule("/", view_func=where)
    for name, app in (("first", first), ("second", second)):
        names[0] = name
        with app.app_context():
            assert what() == name
        assert app.test_client().get("/").text == name
    for name, app in (("first", first), ("second", second)):
        with app.app_context():
            assert what() == name
        response = app.test_client().get("/")
        assert (response.text, response.headers["X-Cache"]) == (name, "HIT")
    with first.app_context():
        what.invalidate()
        where.invalidate()
    assert first.test_client().get("/").headers["X-Cache"] == "MISS"
    assert second.test_client().get("/").headers["X-Cache"] == "HIT"


def test_two_caches_in_one_application() -> None:
    app = make(ZOOCACHE={"max_entries": 10}, ZOOCACHE_PAGES={"max_entries": 20})
    first, pages = ZooCache(app), ZooCache(app, name="pages")
    assert first.engine_of(app).settings.max_entries == 10
    assert pages.engine_of(app).settings.max_entries == 20

    @app.get("/")
    @pages.cache_view
    def index() -> str:
        return "Hello"

    client = app.test_client()
    client.get("/")
    with app.app_context():
        first.clear()
        assert client.get("/").headers["X-Cache"] == "HIT"
        pages.clear()
        assert client.get("/").headers["X-Cache"] == "MISS"
    first.close(app)
    pages.close(app)


def test_a_second_registration_is_refused() -> None:
    with ZooCache().opened(make()) as app:
        with pytest.raises(ConfigurationError, match=r"'shop' has a ZooCache already.*name="):
            ZooCache(app)
        with pytest.raises(ConfigurationError, match="max_entries"):
            ZooCache(app, name="max_entries")


def test_outside_an_application_the_message_says_what_to_do() -> None:
    @cacheable
    def one() -> int:
        return 1

    for use in (one, lambda: invalidate("a"), lambda: ZooCache().engine):
        with pytest.raises(NotConfigured, match="app_context"):
            use()


def test_an_application_without_cache_is_named() -> None:
    with make().app_context(), pytest.raises(NotConfigured, match=r"'shop'.*ZooCache\(app\)"):
        invalidate("a")
    with pytest.raises(NotConfigured, match="named 'pages'"):
        ZooCache(name="pages").engine_of(make())


@pytest.mark.parametrize(
    "config",
    [
        {"ZOOCACHE": {"prefix": "shop", "DEFAULT_TTL": 60}},
        {"ZOOCACHE_PREFIX": "shop", "ZOOCACHE_DEFAULT_TTL": 60},
        {"ZOOCACHE": {"PREFIX": "shop"}, "ZOOCACHE_DEFAULT_TTL": 60},
    ],
)
def test_options_in_a_dict_or_as_keys(config: dict[str, object]) -> None:
    cache = ZooCache()
    with cache.opened(make(**config)) as app:
        settings = cache.engine_of(app).settings
        assert (settings.prefix, settings.default_ttl) == ("shop", 60)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ZOOCACHE": []}, "must be a dict"),
        ({"ZOOCACHE": {"prefx": "a"}}, "no option 'prefx'. Did you mean 'prefix'"),
        ({"ZOOCACHE_PREFX": "a"}, "'ZOOCACHE_PREFX'.*Did you mean 'prefix'"),
        ({"ZOOCACHE": {"prefix": "a b"}}, "prefix='a b'"),
        ({"ZOOCACHE": {"prefix": "a", "PREFIX": "b"}}, "'prefix' twice"),
        ({"ZOOCACHE": {"prefix": "a"}, "ZOOCACHE_PREFIX": "b"}, "'prefix' is given twice"),
        ({"ZOOCACHE": {"shared_globals": [1]}}, "shared_globals"),
        ({"ZOOCACHE": {"signals": "yes"}}, "signals='yes'"),
    ],
)
def test_mistakes_are_named(config: dict[str, object], message: str) -> None:
    app = make(**config)
    with pytest.raises(ConfigurationError, match=message):
        ZooCache(app)
    assert not app.extensions["zoocache"]


def test_static_mistakes_are_found_where_they_are_written() -> None:
    with pytest.raises(InvalidTag):
        cacheable(deps="bad tag")(len)
    with pytest.raises(ValueError, match="ttl"):
        cacheable(ttl=-1)(lambda: 1)
    with pytest.raises(ConfigurationError, match="Did you mean 'jitter'"):
        cache_view(jiter=0.1)


def test_values_in_shared_storage_are_signed_with_a_key_of_their_own(redis_url: str) -> None:
    cache = ZooCache()
    app = make(SECRET_KEY="secret", ZOOCACHE={"storage_url": redis_url})
    with cache.opened(app):
        keys = cache.engine_of(app).settings.secret_key
        assert keys == signing_keys(app)
        assert b"secret" not in keys[0]
    with cache.opened(make(SECRET_KEY="another", ZOOCACHE={"storage_url": redis_url})) as other:
        assert cache.engine_of(other).settings.secret_key != keys


def test_an_application_that_is_gone_leaves_nothing() -> None:
    app = make()
    ZooCache(app)
    engine = app.extensions["zoocache"]["default"].engine

    @cacheable
    def one() -> int:
        return 1

    with app.app_context():
        assert one() == 1
    gone = weakref.ref(app)
    assert engine.configured
    del app
    gc.collect()
    assert gone() is None
    assert not engine.configured
    engine_gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert engine_gone() is None


def test_closing_and_opening_again() -> None:
    cache, app = ZooCache(), make()
    with cache.opened(app):
        engine: Engine = cache.engine_of(app)
    assert not engine.configured
    cache.close(app)
    with cache.opened(app):
        assert cache.engine_of(app).configured


def test_views_of_blueprints(make_app: MakeApp) -> None:
    blueprint = Blueprint("shop", "shop")

    @blueprint.get("/<int:pk>")
    @cache_view(deps=lambda pk: f"product:{pk}")
    def product(pk: int) -> dict[str, int]:
        return {"pk": pk}

    app = make_app()
    app.register_blueprint(blueprint, url_prefix="/a")
    app.register_blueprint(blueprint, url_prefix="/b", name="other")
    client = app.test_client()
    for path in ("/a/1", "/b/1", "/a/2"):
        assert client.get(path).headers["X-Cache"] == "MISS"
        assert client.get(path).headers["X-Cache"] == "HIT"
    with app.app_context():
        invalidate("product:1")
    assert [client.get(path).headers["X-Cache"] for path in ("/a/1", "/b/1", "/a/2")] == [
        "MISS",
        "MISS",
        "HIT",
    ]
