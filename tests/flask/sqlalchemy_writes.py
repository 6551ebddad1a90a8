"""Every way to write, as functions of a session and of two small numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from sqlalchemy import bindparam, column, delete, insert, literal, select, table, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_models import (
    Article,
    Author,
    Comment,
    Country,
    Label,
    Membership,
    Note,
    Page,
    Question,
    Topic,
    labelled,
)

Write = Callable[[Session, int, int], None]

_fresh = itertools.count(100)
_titles = itertools.count()


def _title() -> str:
    return f"t{next(_titles)}"


def _change(session: Session, key: int, other: int) -> None:
    note = session.get(Note, key)
    if note is not None:
        note.title = _title()


def _change_two(session: Session, key: int, other: int) -> None:
    for note in session.scalars(select(Note).where(Note.id.in_([key, other]))):
        note.votes += 1


def _rekey(session: Session, key: int, other: int) -> None:
    session.execute(update(Note).where(Note.id == 9).values(id=next(_fresh)))
    session.execute(
        update(Note).where(Note.id == key, ~Note.comments.any(), ~Note.labels.any()).values(id=9)
    )


def _add(session: Session, key: int, other: int) -> None:
    session.add(Note(title=_title(), author_id=None, votes=other))


def _add_with_key(session: Session, key: int, other: int) -> None:
    if session.get(Note, 9) is None:
        session.add(Note(id=9, title=_title()))


def _delete(session: Session, key: int, other: int) -> None:
    note = session.get(Note, key)
    if note is not None:
        session.delete(note)


def _delete_author(session: Session, key: int, other: int) -> None:
    session.execute(delete(Author).where(Author.id == key))


def _move(session: Session, key: int, other: int) -> None:
    note, author = session.get(Note, key), session.get(Author, other)
    if note is not None:
        note.author = author


def _collect(session: Session, key: int, other: int) -> None:
    author, note = session.get(Author, key), session.get(Note, other)
    if author is not None and note is not None and note not in author.notes:
        author.notes.append(note)


def _label(session: Session, key: int, other: int) -> None:
    note, label = session.get(Note, key), session.get(Label, other)
    if note is not None and label is not None:
        (note.labels.remove if label in note.labels else note.labels.append)(label)


def _comment(session: Session, key: int, other: int) -> None:
    note = session.get(Note, key)
    if note is not None:
        if len(note.comments) > 1:
            note.comments.pop()
        else:
            note.comments.append(Comment(text=_title()))


def _rename_author(session: Session, key: int, other: int) -> None:
    session.execute(update(Author).where(Author.id == key).values(name=_title()))


def _update_where(session: Session, key: int, other: int) -> None:
    session.execute(
        update(Note).where(Note.votes <= other).values(title=_title()),
        execution_options={"synchronize_session": "fetch"},
    )


def _update_by_keys(session: Session, key: int, other: int) -> None:
    session.connection().execute(
        update(Note).where(Note.id == bindparam("k")).values(title=bindparam("t")),
        [{"k": key, "t": _title()}, {"k": other, "t": _title()}],
    )
    session.expire_all()


def _bulk_update(session: Session, key: int, other: int) -> None:
    keys = list(session.scalars(select(Note.id).where(Note.id.in_([key, other]))))
    if keys:
        session.execute(update(Note), [{"id": one, "votes": other} for one in keys])


def _bulk_mappings(session: Session, key: int, other: int) -> None:
    session.bulk_insert_mappings(
        Note, [{"id": next(_fresh), "title": _title(), "votes": key} for _ in range(2)]
    )


def _bulk_save(session: Session, key: int, other: int) -> None:
    session.bulk_save_objects([Note(title=_title(), votes=other), Note(title=_title(), votes=key)])


def _insert_many(session: Session, key: int, other: int) -> None:
    session.execute(insert(Note), [{"title": _title(), "votes": 0} for _ in range(2)])


def _insert_values(session: Session, key: int, other: int) -> None:
    rows = [{"title": _title(), "votes": other} for _ in range(2)]
    session.execute(insert(Note).values(rows))


def _insert_returning(session: Session, key: int, other: int) -> None:
    session.execute(insert(Note).values(title=_title(), votes=1).returning(Note.id)).all()


def _insert_from_select(session: Session, key: int, other: int) -> None:
    names = select(Author.name, literal(key).label("votes")).where(Author.id == other)
    session.connection().execute(insert(Note).from_select(["title", "votes"], names))


def _upsert(session: Session, key: int, other: int) -> None:
    made = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = made.insert(Label).values(id=next(_fresh), slug=["red", "blue"][key % 2])
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["slug"], set_={"slug": "changed" if other > 2 else "red"}
        ).returning(Label.id)
        if key != other
        else statement.on_conflict_do_nothing()
    )
    session.expire_all()


def _core_delete(session: Session, key: int, other: int) -> None:
    session.connection().execute(delete(labelled).where(labelled.c.note_id == key))
    session.expire_all()


def _text(session: Session, key: int, other: int) -> None:
    session.execute(text("UPDATE note SET votes = votes + 1 WHERE id = :key"), {"key": key})
    session.expire_all()


def _driver_sql(session: Session, key: int, other: int) -> None:
    session.connection().exec_driver_sql(f"DELETE FROM comment WHERE note_id = {key}")
    session.expire_all()


def _country(session: Session, key: int, other: int) -> None:
    country = session.get(Country, "fr")
    if country is None:
        session.add(Country(code="fr", name=_title()))
    elif other > 2:
        session.delete(country)
    else:
        country.name = _title()


def _page(session: Session, key: int, other: int) -> None:
    page = session.get(Page, key)
    if isinstance(page, Article) and other > 2:
        page.body = _title()
    elif page is not None:
        page.title = _title()


def _writing_cte(session: Session, key: int, other: int) -> None:
    if session.get_bind().dialect.name == "postgresql":
        gone = delete(Comment).where(Comment.note_id == key).returning(Comment.id).cte("gone")
        session.connection().execute(select(gone))
        session.expire_all()


def _topic(session: Session, key: int, other: int) -> None:
    topic = session.get(Topic, key)
    if topic is not None:
        topic.name = _title() * other


def _delete_topic(session: Session, key: int, other: int) -> None:
    topic = session.get(Topic, key)
    if topic is not None and other > 2:
        session.delete(topic)
    elif topic is not None:
        session.connection().execute(delete(Topic).where(Topic.__table__.c.id == key))
        session.expire_all()


def _below(session: Session, key: int, other: int) -> None:
    topic, child = session.get(Topic, key), session.get(Topic, other)
    if topic is not None and child is not None and key < other:
        topic.below.add(child)
    elif topic is not None:
        topic.below.add(Question(name=_title()))


def _membership(session: Session, key: int, other: int) -> None:
    found = session.get(Membership, (key, other))
    if found is not None:
        found.role = _title()
    elif session.get(Author, key) is not None and session.get(Topic, other) is not None:
        session.add(Membership(author_id=key, topic_id=other, role=_title()))


def _merge(session: Session, key: int, other: int) -> None:
    session.merge(Note(id=key, title=_title(), votes=other))


def _without_metadata(session: Session, key: int, other: int) -> None:
    notes = table("note", column("id"), column("title"))
    session.connection().execute(update(notes).where(notes.c.id == key).values(title=_title()))
    session.expire_all()


def _by_the_driver(session: Session, key: int, other: int) -> None:
    connection = session.connection()
    connection.exec_driver_sql(f"UPDATE note SET votes = votes + {other} WHERE id = {key}")
    session.flush()
    connection.connection.commit()
    session.expire_all()


def _nothing(session: Session, key: int, other: int) -> None:
    session.execute(update(Note).where(Note.id == 77).values(title="never"))


WRITES: dict[str, Write] = {
    function.__name__.strip("_"): function
    for function in (
        _change, _change_two, _rekey, _add, _add_with_key, _delete, _delete_author, _move, _collect,
        _label, _comment, _rename_author, _update_where, _update_by_keys, _bulk_update,
        _bulk_mappings, _bulk_save, _insert_many, _insert_values, _insert_returning,
        _insert_from_select, _upsert,
        _core_delete, _text, _driver_sql, _country, _page, _writing_cte, _nothing,
        _topic, _delete_topic, _below, _membership, _merge, _without_metadata, _by_the_driver,
    )
}  # fmt: skip
