"""What a cached computation reads through SQLAlchemy is what it depends on: rows, or tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session, aliased, joinedload

from tests.flask.sqlalchemy_fixtures import deps_of, postgres_world, sqlite_world, world
from tests.flask.sqlalchemy_models import Article, Author, Country, Label, Note, Page, labelled
from tests.flask.sqlalchemy_world import World
from zoocache_flask.sqlalchemy import depends_on, row_tags, table_tags

__all__ = ["postgres_world", "sqlite_world", "world"]

_other = aliased(Note)

QUERIES: list[tuple[Callable[[Session], Any], str]] = [
    (lambda s: s.get(Note, 1), "note:1"),
    (lambda s: s.get(Note, 404), "note:404"),
    (lambda s: s.get(Country, "fr"), "country:fr"),
    (lambda s: s.get(Article, 2), "article:2 page:2"),
    (lambda s: s.get(Page, 2), "page:2"),
    (lambda s: s.scalars(select(Note.title).where(Note.id == 1, Note.votes > 0)).all(), "note:1"),
    (lambda s: s.scalars(select(Note).where(Note.id.in_([1, 2]))).all(), "note:1 note:2"),
    (lambda s: s.scalars(select(Note).where(Note.id.in_([]))).all(), ""),
    (lambda s: s.scalars(select(Note).where(Note.id > 1)).all(), "note:*"),
    (lambda s: s.scalars(select(Note).where(~(Note.id == 1))).all(), "note:*"),
    (lambda s: s.query(Note).filter_by(title="x").first(), "note:*"),
    (
        lambda s: s.execute(
            select(Note.title, _other.title)
            .join(_other, _other.author_id == Note.author_id)
            .where(Note.id == 1)
        ).all(),
        "note:*",
    ),
    (lambda s: s.scalars(select(_other).where(_other.id == 1)).all(), "note:*"),
    (lambda s: s.connection().execute(select(func.count()).select_from(Note.__table__)), "note:*"),
    (
        lambda s: s.connection().execute(
            select(labelled).where(labelled.c.note_id == 1, labelled.c.label_id == 2)
        ),
        "labelled:1:2",
    ),
    (
        lambda s: (
            s.scalars(select(Note).where(Note.id == 1).options(joinedload(Note.labels)))
            .unique()
            .all()
        ),
        "label:* labelled:* note:1",
    ),
    (lambda s: s.execute(select(Label.slug).join(Label.notes)).all(), "label:* labelled:* note:*"),
    (lambda s: s.execute(text("SELECT * FROM note WHERE id = 1")).all(), "note:*"),
    (lambda s: s.execute(text("SELECT * FROM titles")).all(), "*"),
    (lambda s: s.connection().exec_driver_sql("SELECT * FROM label").all(), "label:*"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_statements(world: World, query: Callable[[Session], Any], expected: str) -> None:
    with Session(world.engine) as session:
        assert deps_of(world, lambda: query(session)) == set(expected.split())


def test_an_object_that_the_session_holds_is_read_without_a_statement(world: World) -> None:
    with Session(world.engine) as session:
        note = session.get(Note, 1)
        assert deps_of(world, lambda: session.get(Note, 1)) == {"note:1"}
        assert note is not None


def test_what_was_loaded_before_is_read_by_its_attributes(world: World) -> None:
    with Session(world.engine) as session:
        note = session.get_one(Note, 1)
        page = session.get_one(Page, 2)
        assert note.author is not None
        assert note.labels
        assert note.author.notes
        assert deps_of(world, lambda: note.title) == {"note:1"}
        assert deps_of(world, lambda: note.author) == {"note:1", "author:1"}
        assert deps_of(world, lambda: note.labels) == {"note:1", "label:*", "labelled:*"}
        assert deps_of(world, lambda: note.author.notes) == {"note:*", "note:1", "author:1"}
        assert deps_of(world, lambda: note.author.note_count) == {"*", "note:1", "author:1"}
        assert deps_of(world, lambda: page.title) == {"page:2", "article:2"}


def test_a_detached_object_stands_for_its_row(world: World) -> None:
    with Session(world.engine) as session:
        note = session.get_one(Note, 1)
    assert deps_of(world, lambda: note.title) == {"note:1"}


def test_an_object_without_a_row_is_nobodys(world: World) -> None:
    note = Note(title="new")
    assert deps_of(world, lambda: note.title) == set()
    with pytest.raises(ValueError, match="flush"):
        row_tags(note)


def test_a_statement_that_a_listener_changes(world: World) -> None:
    def widen(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        return statement.replace("note.id =", "note.id >="), parameters

    event.listen(world.engine, "before_cursor_execute", widen, retval=True)
    try:
        with Session(world.engine) as session:
            query = select(Note.title).where(Note.id == 1)
            assert deps_of(world, lambda: session.scalars(query).all()) == {"note:*"}
    finally:
        event.remove(world.engine, "before_cursor_execute", widen)


def test_many_objects_are_tables(world: World) -> None:
    with Session(world.behind) as session:
        session.add_all(Note(title="many") for _ in range(150))
        session.commit()
    with Session(world.engine) as session:
        notes = session.scalars(select(Note)).all()
        found = deps_of(world, lambda: [note.title for note in notes])
        assert "note:*" in found
        assert len(found) < 110


def test_tags_by_hand(world: World) -> None:
    (name,) = world.tracking.names
    assert table_tags(Note) == [f"db:{name}:note"]
    assert set(table_tags(Article)) == {f"db:{name}:article", f"db:{name}:page"}
    assert table_tags(labelled) == [f"db:{name}:labelled"]
    with Session(world.engine) as session:
        assert row_tags(session.get_one(Note, 1)) == [f"db:{name}:note:1"]
        author = session.get_one(Author, 1)
        assert deps_of(world, lambda: depends_on(author, Note)) == {"author:1", "note:*"}
    for wrong in (5, "note", object):
        with pytest.raises(TypeError, match="mapped class"):
            table_tags(wrong)
    with pytest.raises(TypeError, match="mapped class"):
        row_tags(Note)
