"""Beginning and ending to track, what can be tracked, and Flask-SQLAlchemy."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine, event, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import Mapped, Session, mapped_column, scoped_session, sessionmaker
from sqlalchemy.orm.attributes import InstrumentedAttribute

import zoocache_core
from tests.flask.sqlalchemy_models import Base, Note
from zoocache_core import MISSING, ConfigurationError
from zoocache_core import Engine as Cache
from zoocache_flask.sqlalchemy import instances, sessions, track
from zoocache_flask.sqlalchemy.databases import all_databases


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/notes.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Note(id=1, title="one"), Note(id=2, title="two")])
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def cache() -> Iterator[Cache]:
    cache = Cache()
    yield cache
    cache.reset()


def title(cache: Cache, engine: Engine) -> Any:
    def read() -> Any:
        with Session(engine) as session:
            return session.get_one(Note, 1).title

    return cache.fetch("title", read)


def rename(engine: Engine, to: str) -> None:
    with engine.begin() as connection:
        connection.execute(update(Note).where(Note.id == 1).values(title=to))


def changed_by_us(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = dict(engine.dialect.__dict__)
    found["lookup"] = Session.__dict__["_identity_lookup"]
    found["get"] = InstrumentedAttribute.__dict__["__get__"]
    for owner, name, listener in (*instances.LISTENERS, *sessions.LISTENERS):
        found[listener.__name__] = event.contains(owner, name, listener)
    return found


def test_everything_is_taken_back(engine: Engine, cache: Cache) -> None:
    before = changed_by_us(engine)
    with track(engine, cache=cache) as tracking:
        assert changed_by_us(engine) != before
        assert title(cache, engine) == "one"
        rename(engine, "two")
        assert title(cache, engine) == "two"
    assert changed_by_us(engine) == before
    tracking.stop()
    rename(engine, "three")
    assert title(cache, engine) == "two"


def test_several_caches_of_one_database(engine: Engine, cache: Cache) -> None:
    other = Cache()
    with track(engine, cache=other), track(engine, cache=cache):
        first = track(engine, cache=cache)
        assert title(cache, engine) == title(other, engine) == "one"
        first.stop()
        rename(engine, "two")
        assert title(cache, engine) == title(other, engine) == "two"
    other.reset()


def test_engines_of_one_database_share_their_tags(engine: Engine, cache: Cache) -> None:
    replica = create_engine(engine.url)
    with track([engine, replica], cache=cache) as tracking:
        assert set(tracking.names) == {"notes.db"}
        assert title(cache, engine) == "one"
        rename(replica, "two")
        assert title(cache, engine) == "two"
    replica.dispose()


def test_the_default_cache_may_be_configured_later(engine: Engine) -> None:
    default = zoocache_core.default_engine
    with track(engine):
        rename(engine, "unnoticed")
        zoocache_core.configure()
        try:
            assert title(default, engine) == "unnoticed"
            with Session(engine) as session:
                session.get_one(Note, 1)
                zoocache_core.reset()
                zoocache_core.configure()
                session.execute(update(Note).where(Note.id == 1).values(title="two"))
                assert title(default, engine) == "unnoticed"
                assert default.get("title", MISSING) is MISSING
                session.commit()
            assert title(default, engine) == "two"
        finally:
            zoocache_core.reset()


def test_what_can_be_tracked(engine: Engine, cache: Cache, tmp_path: Path) -> None:
    asynchronous = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/notes.db")
    factory = sessionmaker(engine)
    targets: list[Any] = [
        engine,
        factory,
        factory(),
        scoped_session(factory),
        sessionmaker(binds={Note: engine}),
        asynchronous,
        async_sessionmaker(asynchronous),
        async_sessionmaker(asynchronous)(),
        [engine, asynchronous],
    ]
    for target in targets:
        with track(target, cache=cache) as tracking:
            assert set(tracking.names) == {"notes.db"}


@pytest.mark.parametrize("target", [5, "sqlite://", None, Session, sessionmaker(), []])
def test_what_cannot_be_tracked(target: Any, cache: Cache) -> None:
    with pytest.raises(TypeError, match="track"):
        track(target, cache=cache)


def test_names(engine: Engine, cache: Cache) -> None:
    memory = create_engine("sqlite://")
    with track(memory, cache=cache) as tracking:
        assert tracking.names == ("memory",)
    with track(memory, cache=cache, name="shop") as tracking:
        assert tracking.names == ("shop",)
        postgres = create_engine("postgresql+psycopg://nobody@127.0.0.1/shop")
        with pytest.raises(ConfigurationError, match="shop_postgresql"):
            track(postgres, cache=cache)
        with pytest.raises(ConfigurationError, match="tracked as 'shop'"):
            track(memory, cache=cache, name="other")
        assert "other" not in {one.name for one in all_databases()}
    memory.dispose()


def test_a_method_replaced_by_another_is_not_undone(engine: Engine, cache: Cache) -> None:
    tracking = track(engine, cache=cache)
    ours = engine.dialect.do_execute
    engine.dialect.do_execute = lambda *arguments: ours(*arguments)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="do_execute"):
        tracking.stop()
    engine.dialect.do_execute = ours  # type: ignore[method-assign]
    tracking.stop()
    assert "do_execute" not in engine.dialect.__dict__


def test_a_session_that_is_left_behind_forbids_nothing(engine: Engine, cache: Cache) -> None:
    with track(engine, cache=cache):
        session = Session(engine)
        session.get_one(Note, 1).title = "never flushed"
        assert cache.guards
        del session
        gc.collect()
        with Session(engine) as other:
            other.get(Note, 2)
        assert not cache.guards


@pytest.mark.parametrize("careful", [True, False])
def test_a_session_with_shards(engine: Engine, cache: Cache, tmp_path: Path, careful: bool) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    Base.metadata.create_all(other)

    def choose(mapper: Any, instance: Any, clause: Any = None) -> str:
        # Of no use where there is no object to look at.
        return "one" if careful and instance is None else str(instance.title)

    sessions = sessionmaker(
        class_=ShardedSession,
        shards={"one": engine, "two": other},
        shard_chooser=choose,
        identity_chooser=lambda *arguments, **options: ["one", "two"],
        execute_chooser=lambda context: ["one", "two"],
    )
    with track([engine, other], cache=cache), sessions() as session:
        session.add(Note(id=7, title="two"))
        session.commit()
        notes = session.scalars(select(Note).order_by(Note.id)).all()
        for note in notes:
            cache.fetch(str(note.id), lambda note=note: note.title)
        rename(engine, "new")
        assert cache.get("1", MISSING) is MISSING
        assert cache.get("7", MISSING) == "two"
        with other.begin() as connection:
            connection.execute(update(Note).where(Note.id == 7).values(title="new"))
        assert cache.get("7", MISSING) is MISSING
    other.dispose()


def test_a_session_that_binds_by_statement(engine: Engine, cache: Cache) -> None:
    class Routed(Session):
        def get_bind(self, *arguments: Any, clause: Any = None, **options: Any) -> Engine:
            return {True: engine}[clause is not None]

    with track(engine, cache=cache), Routed() as session:
        note = session.scalars(select(Note).where(Note.id == 1)).one()
        assert cache.fetch("title", lambda: note.title) == "one"
        rename(engine, "two")
        assert cache.get("title", MISSING) is MISSING


def test_flask_sqlalchemy(tmp_path: Path, cache: Cache) -> None:
    db = SQLAlchemy()

    class Product(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Event(db.Model):  # type: ignore[name-defined,misc]
        __bind_key__ = "archive"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/shop.db"
    app.config["SQLALCHEMY_BINDS"] = {"archive": f"sqlite:///{tmp_path}/archive.db"}
    db.init_app(app)

    def names(model: Any) -> Any:
        def read() -> Any:
            return db.session.scalars(select(model.name).order_by(model.id)).all()

        return cache.fetch(model.__name__, read)

    with app.app_context():
        db.create_all()
        with track(db, cache=cache) as tracking:
            assert set(tracking.names) == {"shop.db", "archive.db"}
            assert names(Product) == names(Event) == []
            db.session.add(Product(name="chair"))
            db.session.commit()
            assert cache.get("Event", MISSING) == []
            assert names(Product) == ["chair"]
            db.session.add(Event(name="opened"))
            db.session.commit()
            assert cache.get("Product", MISSING) == ["chair"]
            assert names(Event) == ["opened"]
            db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
