"""Schemas that are not plain: what the database does by itself, keys of other kinds, many names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    delete,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.schema import CreateSchema

from tests.flask.sqlalchemy_fixtures import postgres_world, sqlite_world, world
from tests.flask.sqlalchemy_models import Note
from tests.flask.sqlalchemy_world import World
from zoocache_core import MISSING

__all__ = ["postgres_world", "sqlite_world", "world"]


class Base(DeclarativeBase):
    pass


class Category(Base):
    """Below each other."""

    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    code: Mapped[str | None] = mapped_column(unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id", ondelete="CASCADE"))
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("category.code", onupdate="CASCADE"))


class Word(Base):
    """Found by a text, of any kind."""

    __tablename__ = "word"
    text: Mapped[str] = mapped_column(String, primary_key=True)
    meaning: Mapped[str]


class Renamed(Base):
    """Mapped by another key than that of its table."""

    __table__ = Table(
        "renamed",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("code", Integer, unique=True),
        Column("name", String),
    )
    __mapper_args__ = {"primary_key": [__table__.c.code]}  # noqa: RUF012


class Seat(Base):
    """Two columns make its key, in another order than they have in the table."""

    __tablename__ = "seat"
    row: Mapped[int] = mapped_column()
    place: Mapped[int] = mapped_column()
    guest: Mapped[str]
    kind: Mapped[str] = mapped_column(default="seat")
    __table_args__ = (PrimaryKeyConstraint("place", "row"),)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "seat"}  # noqa: RUF012


class Cover(Base):
    """Its other end is there only while it is active."""

    __tablename__ = "cover"
    id: Mapped[int] = mapped_column(primary_key=True)
    of_id: Mapped[int | None]
    of: Mapped[Category | None] = relationship(
        primaryjoin="foreign(Cover.of_id) == Category.id", viewonly=True
    )


class Unique(Base):
    __tablename__ = "uniquely"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    __table_args__ = (UniqueConstraint("slug", sqlite_on_conflict="REPLACE"),)


@pytest.fixture
def schema(world: World) -> Iterator[World]:
    with world.behind.begin() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
    with Session(world.behind) as session:
        session.add(Category(id=1, name="plants", code="p"))
        session.flush()
        session.add(Category(id=2, name="trees", parent_id=1, parent_code="p"))
        session.flush()
        session.add(Category(id=3, name="oaks", parent_id=2))
        session.add(Category(id=4, name="stones"))
        session.add(Renamed(id=1, code=77, name="one"))
        session.add(Seat(row=1, place=2, guest="ann"))
        session.add(Seat(row=2, place=1, guest="bob"))
        session.add(Cover(id=1, of_id=9))
        session.add(Word(text="²", meaning="squared"))
        session.add(Unique(id=1, slug="a"))
        session.commit()
    yield world
    with world.behind.begin() as connection:
        Base.metadata.drop_all(connection)


def name_of(world: World, key: int) -> Any:
    def read() -> Any:
        with Session(world.engine) as session:
            category = session.get(Category, key)
            return category and (category.name, category.parent_code)

    return world.cache.fetch(f"name {key}", read)


def known(world: World, key: str) -> bool:
    return world.cache.get(key, MISSING) is not MISSING


class TestCascades:
    def test_rows_of_the_same_table(self, schema: World) -> None:
        for key in (1, 2, 3, 4):
            assert name_of(schema, key) is not None
        with schema.engine.begin() as connection:
            connection.execute(delete(Category).where(Category.id == 1))
        assert [name_of(schema, key) for key in (1, 2, 3)] == [None, None, None]

    def test_rows_of_the_same_table_updated(self, schema: World) -> None:
        assert name_of(schema, 2) == ("trees", "p")
        with schema.engine.begin() as connection:
            connection.execute(update(Category).where(Category.id == 1).values(code="q"))
        assert name_of(schema, 2) == ("trees", "q")

    def test_triggers_on_the_same_table(self, schema: World) -> None:
        from zoocache_flask.sqlalchemy import track

        with track(schema.engine, cache=schema.cache, triggers={"word": ["word"]}):

            def read() -> Any:
                with Session(schema.engine) as session:
                    return session.get(Word, "²") is not None

            schema.cache.fetch("word", read)
            with schema.engine.begin() as connection:
                connection.execute(insert(Word).values(text="b", meaning="b"))
            assert not known(schema, "word")

    @pytest.mark.parametrize("world", ["sqlite"], indirect=True)
    def test_rows_that_a_conflict_replaces(self, schema: World) -> None:
        def read() -> bool:
            with Session(schema.engine) as session:
                return session.get(Unique, 1) is not None

        assert schema.cache.fetch("row", read)
        with Session(schema.engine) as session:
            session.add(Unique(id=2, slug="a"))
            session.commit()
        assert not schema.cache.fetch("row", read)


class TestKeys:
    @pytest.mark.parametrize("key", ["²", "٣", "x" * 300, "a:b", "", " ", "*", "7", "ü\n"])
    def test_texts(self, schema: World, key: str) -> None:
        def read() -> Any:
            with Session(schema.engine) as session:
                word = session.get(Word, key)
                return word and word.meaning

        for value in ("first", "second"):
            with Session(schema.engine) as session:
                session.merge(Word(text=key, meaning=value))
                session.commit()
            assert schema.cache.fetch("word", read) == value
        with schema.engine.begin() as connection:
            connection.execute(update(Word).where(Word.text == "other").values(meaning="x"))
            connection.execute(insert(Word).values(text="other", meaning="x"))
        assert known(schema, "word")

    def test_a_mapper_with_another_key(self, schema: World) -> None:
        with Session(schema.engine) as session:
            held = session.get_one(Renamed, 77)
            schema.cache.fetch("name", lambda: held.name)
            assert known(schema, "name")
        with schema.engine.begin() as connection:
            connection.execute(update(Renamed).where(Renamed.id == 1).values(name="new"))
        assert not known(schema, "name")

    def test_the_order_of_columns(self, schema: World) -> None:
        with Session(schema.engine) as session:
            seats = [session.get_one(Seat, {"row": 1, "place": 2}), session.get_one(Seat, (1, 2))]
            assert [seat.guest for seat in seats] == ["ann", "bob"]
            for seat in seats:
                schema.cache.fetch(seat.guest, lambda seat=seat: seat.guest)
        with schema.engine.begin() as connection:
            change = update(Seat).where(Seat.row == 1, Seat.place == 2).values(guest="cyn")
            connection.execute(change)
        assert not known(schema, "ann")
        assert known(schema, "bob")


class TestRelations:
    def test_nobody_at_the_other_end(self, schema: World) -> None:
        with Session(schema.engine) as session:
            cover = session.get_one(Cover, 1)
            assert cover.of is None
            schema.cache.fetch("of", lambda: cover.of is None)
            with schema.engine.begin() as connection:
                connection.execute(insert(Category).values(id=9, name="new"))
            assert not known(schema, "of")


class TestNames:
    @pytest.mark.parametrize("world", ["postgresql"], indirect=True)
    def test_one_name_in_two_schemas(self, schema: World) -> None:
        elsewhere = Table(
            "note",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("title", String),
            schema="tab",
        )
        with schema.behind.begin() as connection:
            connection.execute(CreateSchema("tab", if_not_exists=True))
            connection.execute(text("CREATE TABLE IF NOT EXISTS tab.note (id int, title text)"))
            connection.execute(text("DELETE FROM tab.note"))
            connection.execute(insert(elsewhere).values(id=1, title="there"))

        def read() -> Any:
            with schema.engine.connect() as connection:
                mine, other = Note.__table__, elsewhere
                both = select(mine.c.title, other.c.title).join_from(
                    mine, other, other.c.id == mine.c.id
                )
                both = both.where(mine.c.id == 1, other.c.id == 1)
                return [tuple(row) for row in connection.execute(both)]

        assert schema.cache.fetch("both", read) == [("note 1", "there")]
        with schema.engine.begin() as connection:
            connection.execute(update(elsewhere).where(elsewhere.c.id == 1).values(title="new"))
        assert schema.cache.fetch("both", read) == [("note 1", "new")]

        translated = schema.engine.execution_options(schema_translate_map={None: "tab"})

        def read_translated() -> Any:
            with translated.connect() as connection:
                return connection.scalar(select(Note.title).where(Note.id == 1))

        assert schema.cache.fetch("translated", read_translated) == "new"
        with translated.begin() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="newer"))
        assert schema.cache.fetch("translated", read_translated) == "newer"


class TestSettings:
    def test_statements_at_the_beginning_of_each_transaction(self, schema: World) -> None:
        def settle(connection: Any) -> None:
            connection.exec_driver_sql("SELECT 1")

        event.listen(schema.engine, "begin", settle)
        try:
            for _ in range(2):
                with Session(schema.engine) as session, session.begin():
                    session.execute(update(Word).values(meaning="new"))
                with Session(schema.engine) as session:
                    session.scalar(select(Note.title))
                    schema.cache.fetch(
                        "word", lambda session=session: session.scalar(select(Word.meaning))
                    )
                    assert known(schema, "word")
                with Session(schema.engine) as session:
                    session.scalar(select(Note.title))
                    assert known(schema, "word")
        finally:
            event.remove(schema.engine, "begin", settle)
