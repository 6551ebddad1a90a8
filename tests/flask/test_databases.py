"""The databases of an application are tracked without anybody asking for it."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from zoocache_core import ConfigurationError
from zoocache_flask import ZooCache, cache_view, cacheable
from zoocache_flask.sqlalchemy.databases import all_databases


class Base(DeclarativeBase):
    """What the models have in common."""


db = SQLAlchemy(model_class=Base)


class Product(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Entry(db.Model):  # type: ignore[name-defined,misc]
    __bind_key__ = "archive"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def _application(directory: Path, **config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{directory}/shop.db",
        SQLALCHEMY_BINDS={"archive": f"sqlite:///{directory}/archive.db"},
        TESTING=True,
        **config,
    )

    @app.get("/")
    @cache_view
    def names() -> str:
        shown = [*db.session.scalars(select(Product.name)), *db.session.scalars(select(Entry.name))]
        return " ".join(shown)

    @app.get("/rename/<kind>/<name>")
    def rename(kind: str, name: str) -> str:
        model = {"product": Product, "entry": Entry}[kind]
        db.session.get_one(model, 1).name = name
        db.session.commit()
        return "done"

    return app


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def make(**config: Any) -> Flask:
        made.append(_application(tmp_path, **config))
        return made[-1]

    yield make
    for app in made:
        for name in list(app.extensions.get("zoocache", ())):
            ZooCache(name=name).close(app)
        if "sqlalchemy" in app.extensions:
            with app.app_context():
                for engine in db.engines.values():
                    engine.dispose()
    assert not all_databases()


def fill(app: Flask) -> None:
    with app.app_context():
        db.create_all()
        db.session.add_all([Product(id=1, name="chair"), Entry(id=1, name="old")])
        db.session.commit()


def page(app: Flask) -> tuple[str, str]:
    response = app.test_client().get("/")
    return response.text, response.headers["X-Cache"]


def is_tracked(app: Flask) -> bool:
    """Whether a page notices what another request writes, in either database."""
    page(app)
    found = []
    for kind in ("product", "entry"):
        before, outcome = page(app)
        assert outcome == "HIT"
        app.test_client().get(f"/rename/{kind}/{kind}-renamed")
        found.append(f"{kind}-renamed" in page(app)[0].split())
        assert found[-1] or page(app)[0] == before
    assert found[0] == found[1]
    return found[0]


def cache_first(app: Flask) -> None:
    ZooCache(app)
    db.init_app(app)


def cache_last(app: Flask) -> None:
    db.init_app(app)
    ZooCache(app)


def within_a_context(app: Flask) -> None:
    with app.app_context():
        ZooCache(app)
        db.init_app(app)


def after_a_context(app: Flask) -> None:
    ZooCache(app)
    with app.app_context():
        assert not all_databases()
    db.init_app(app)


def named(app: Flask) -> None:
    ZooCache(app, db=db)
    db.init_app(app)


ORDERS = [cache_first, cache_last, within_a_context, after_a_context, named]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_pages_notice_writes_in_whatever_order_things_are_set_up(
    make: Callable[..., Flask], order: Callable[[Flask], None]
) -> None:
    app = make()
    order(app)
    fill(app)
    assert {one.name for one in all_databases()} == {"shop.db", "archive.db"}
    assert is_tracked(app)


def test_a_context_that_was_there_before_is_enough(make: Callable[..., Flask]) -> None:
    first, second = make(), make()
    with first.app_context():
        db.init_app(first)
        ZooCache(first)
        assert all_databases()
        ZooCache().close(first)
    assert not all_databases()
    with second.app_context():
        ZooCache(second)
        db.init_app(second)
        # Whoever uses the cache before anything else has happened.
        assert ZooCache().engine.configured
        assert all_databases()


@pytest.mark.parametrize(
    "config", [{"ZOOCACHE": {"sqlalchemy": False}}, {"ZOOCACHE_SQLALCHEMY": False}]
)
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_it_can_be_switched_off(
    make: Callable[..., Flask], order: Callable[[Flask], None], config: dict[str, Any]
) -> None:
    app = make(**config)
    order(app)
    fill(app)
    assert not all_databases()
    assert not is_tracked(app)


def test_what_is_written_before_anything_is_read_counts(
    make: Callable[..., Flask], tmp_path: Path
) -> None:
    # Another process has the page; this one has only ever written.
    shared = {"ZOOCACHE": {"storage_url": f"lmdb://{tmp_path}/pages"}}
    reader, writer = make(**shared), make(**shared)
    for app in (reader, writer):
        cache_first(app)
    fill(reader)
    assert [page(reader)[0] for _ in range(2)] == ["chair old"] * 2
    with writer.app_context():
        db.session.execute(text("UPDATE product SET name = 'table'"))
        db.session.commit()
    assert page(reader) == ("table old", "MISS")


def test_every_cache_of_every_application_is_told(make: Callable[..., Flask]) -> None:
    first, second = make(), make()
    for app in (first, second):
        cache_first(app)
    ZooCache(first, name="reports")

    @ZooCache(name="reports").cacheable
    def report() -> list[str]:
        return list(db.session.scalars(select(Product.name)))

    @cacheable
    def names() -> list[str]:
        return list(db.session.scalars(select(Product.name)))

    fill(first)
    with first.app_context():
        assert report() == names() == ["chair"]
    with second.app_context():
        assert names() == ["chair"]
    first.test_client().get("/rename/product/table")
    with first.app_context():
        assert report() == names() == ["table"]
    with second.app_context():
        assert names() == ["table"]
    ZooCache().close(second)
    first.test_client().get("/rename/product/bed")
    with first.app_context():
        assert report() == names() == ["bed"]


def test_plain_sqlalchemy_is_named(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/plain.db")
    Base.metadata.create_all(engine)
    cache = ZooCache(db=engine)
    with cache.opened(Flask("plain")) as app, app.app_context():

        @cacheable
        def name() -> str | None:
            with Session(engine) as session:
                return session.scalar(select(Product.name))

        with Session(engine) as session:
            session.add(Product(id=1, name="chair"))
            session.commit()
        assert name() == name.cached_value() == "chair"
        with engine.begin() as connection:
            connection.execute(update(Product).values(name="table"))
        assert name() == "table"
    assert not all_databases()
    engine.dispose()


class Lite:
    """The attributes of Flask-SQLAlchemy-Lite's extension that matter here."""

    def __init__(self) -> None:
        self.initialised: list[Flask] = []
        self.engine = create_engine("sqlite:///never-opened.db")

    @property
    def engines(self) -> dict[str, Engine]:
        if not self.initialised:
            raise RuntimeError("not initialised")
        return {"default": self.engine}

    @property
    def async_engines(self) -> dict[str, Any]:
        return {"other": SimpleNamespace(sync_engine=self.engine)}


def test_another_extension_is_waited_for_until_the_first_request() -> None:
    lite, app = Lite(), Flask("lite")
    app.testing = True
    cache = ZooCache(app, db=lite)
    with app.app_context():
        assert not all_databases()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"'lite'.*init_app"):
            app.test_client().get("/")
    lite.initialised.append(app)
    app.test_client().get("/")
    assert [one.name for one in all_databases()] == ["never-opened.db"]
    cache.close(app)
    assert not all_databases()


def test_arguments_of_track(make: Callable[..., Flask]) -> None:
    app = make(
        ZOOCACHE={"sqlalchemy": {"name": "one", "triggers": {"product": ["entry"]}}},
    )
    cache_first(app)
    fill(app)
    (database,) = all_databases()
    assert database.name == "one"
    assert database.triggered(["product"]) == {"product", "entry"}


@pytest.mark.parametrize("value", [1, "yes", {"names": "a"}, ["a"]])
def test_mistakes_are_named(make: Callable[..., Flask], value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlalchemy=.*True, False, or a dict"):
        ZooCache(make(ZOOCACHE={"sqlalchemy": value}))


def test_databases_that_cannot_share_a_name_are_reported(
    make: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app, other = make(), make()
    cache_last(app)
    with app.app_context():
        all_databases()[0].dialect = "postgresql"
    cache_last(other)
    message = "ZOOCACHE_SQLALCHEMY = False"
    with other.app_context():
        assert message in caplog.text
        with pytest.raises(ConfigurationError, match=message):
            ZooCache().engine.clear()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=message):
            other.test_client().get("/rename/product/table")


def test_an_extension_that_cannot_be_tracked_is_warned_of_once(
    make: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make()
    app.extensions["sqlalchemy"] = SimpleNamespace(db="of Flask-SQLAlchemy 2")
    ZooCache(app)
    with caplog.at_level(logging.WARNING, "zoocache.flask"):
        for _ in range(2):
            with app.app_context():
                assert ZooCache().engine.configured
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Flask-SQLAlchemy 3" in caplog.text
    del app.extensions["sqlalchemy"]


def test_an_application_without_a_database_is_not_looked_at_again(
    make: Callable[..., Flask],
) -> None:
    app = make()
    ZooCache(app)

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    databases = app.extensions["zoocache"]["default"].databases
    with app.app_context():
        assert databases.awaited
    app.test_client().get("/nothing")
    assert not databases.awaited


def test_an_application_that_is_gone_is_tracked_no_longer(tmp_path: Path) -> None:
    app = _application(tmp_path)
    cache_first(app)
    with app.app_context():
        db.create_all()
        engines = list(db.engines.values())
    assert all_databases()
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
    assert not all_databases()
    for engine in engines:
        engine.dispose()
