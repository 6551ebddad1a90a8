"""Objects of mapped classes as arguments of cached functions, and as the owners of methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    registry,
)

from zoocache_core import UnsupportedValue
from zoocache_flask import ZooCache, cache_view, cacheable
from zoocache_flask.sqlalchemy import track


class Base(DeclarativeBase):
    """What mapped classes have in common."""


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]

    @cacheable
    def shout(self) -> str:
        return self.title.upper()


class Pair(Base):
    __tablename__ = "pair"
    left: Mapped[int] = mapped_column(primary_key=True)
    right: Mapped[str] = mapped_column(primary_key=True)


class Card(MappedAsDataclass, Base):
    """Has fields, by which other dataclasses are told apart."""

    __tablename__ = "card"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Plain:
    """Mapped without a base class."""

    def __init__(self, id: int) -> None:
        self.id = id


registry(metadata=Base.metadata).map_imperatively(Plain, Card.__table__)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/notes.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Note(id=number, title=f"note {number}") for number in (1, 2)])
        session.add_all([Card(number, f"card {number}") for number in (1, 2)])
        session.add_all([Pair(left=1, right="a"), Pair(left=1, right="b")])
        session.commit()
    yield engine
    engine.dispose()


@cacheable
def title(note: Any) -> str:
    return str(note.title)


@cacheable
def key_of(*objects: Any) -> list[str]:
    return []


def test_a_row_is_the_same_argument_in_every_session(app: Flask, engine: Engine) -> None:
    with app.app_context():
        for number in (1, 2):
            with Session(engine) as session:
                note = session.get_one(Note, number)
                assert title(note) == f"note {number}"
        with Session(engine) as session:
            note = session.get_one(Note, 1)
            assert title.cached_value(note) == "note 1"
            title.invalidate(note)
            assert title.cached_value(note) != "note 1"
            assert title.cached_value(session.get_one(Note, 2)) == "note 2"


def test_what_tells_rows_apart(app: Flask, engine: Engine) -> None:
    with app.app_context(), Session(engine) as session:
        objects: list[Any] = [session.get_one(kind, 1) for kind in (Note, Card, Plain)]
        objects += [session.get_one(Note, 2), *session.query(Pair)]
        assert len({key_of.key(one) for one in objects}) == len(objects) == 6
        card = session.get_one(Card, 1)
        before = key_of.key(card)
        card.text = "other data of the same row"
        assert key_of.key(card) == before
        # A key is made without a look at the database.
        session.commit()
        session.close()
        engine.dispose()
        assert key_of.key(card) == before


def test_methods_of_mapped_classes(app: Flask, engine: Engine) -> None:
    cache = ZooCache().engine_of(app)
    with track(engine, cache=cache), app.app_context(), Session(engine) as session:
        first, second = session.get_one(Note, 1), session.get_one(Note, 2)
        assert [first.shout(), second.shout()] == ["NOTE 1", "NOTE 2"]
        first.title = "renamed"
        session.commit()
        assert [first.shout(), second.shout.cached_value()] == ["RENAMED", "NOTE 2"]


def test_an_object_without_a_row_is_refused(app: Flask, engine: Engine) -> None:
    note = Note(id=3, title="new")
    with app.app_context(), Session(engine) as session:
        for _ in range(2):
            with pytest.raises(
                UnsupportedValue, match=r"'note' of .*title.* Note has no primary key"
            ):
                title(note)
            session.add(note)
        session.flush()
        assert title(note) == "new"


def test_a_row_in_g_tells_visitors_apart_whatever_its_columns(app: Flask, engine: Engine) -> None:
    @app.before_request
    def look_up() -> None:
        with Session(engine) as session:
            g.card = session.get_one(Card, 1)
            g.card.text = str(next(numbers))
            session.expunge(g.card)

    @app.get("/")
    @cache_view
    def view() -> str:
        return f"card {g.card.id}"

    numbers = iter(range(5))
    client = app.test_client()
    assert [client.get("/").headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
