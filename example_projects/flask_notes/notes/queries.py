"""What pages and the API read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import joinedload, selectinload

from example_projects.flask_notes.notes.models import Note, Subject, User, db, note_subject


def _notes() -> Select[tuple[Note]]:
    newest_first = select(Note).order_by(Note.written.desc(), Note.id.desc())
    return newest_first.options(joinedload(Note.author), selectinload(Note.subjects))


def recent(count: int = 30) -> Sequence[Note]:
    """The newest notes."""
    return db.session.scalars(_notes().limit(count)).all()


def about(name: str, count: int = 60) -> Sequence[Note]:
    """The newest notes about a subject."""
    query = _notes().where(Note.subjects.any(Subject.name == name))
    return db.session.scalars(query.limit(count)).all()


def of_author(user_id: int, count: int = 60) -> Sequence[Note]:
    """The newest notes of an author."""
    return db.session.scalars(_notes().where(Note.author_id == user_id).limit(count)).all()


def matching(text: str, count: int = 60) -> Sequence[Note]:
    """The newest notes whose title or body contains ``text``."""
    if not text:
        return []
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    found = or_(Note.title.ilike(pattern, escape="\\"), Note.body.ilike(pattern, escape="\\"))
    return db.session.scalars(_notes().where(found).limit(count)).all()


def subjects() -> Sequence[Any]:
    """Every subject with its number of notes, the most frequent first."""
    number = func.count(note_subject.c.note_id)
    query = select(Subject.name, number).outerjoin(note_subject).group_by(Subject.id)
    return db.session.execute(query.order_by(number.desc(), Subject.name)).all()


def busiest(count: int = 10) -> Sequence[Any]:
    """The authors of most text."""
    length = func.sum(func.length(Note.body))
    query = select(User.id, User.name, func.count(Note.id), length).join(Note).group_by(User.id)
    return db.session.execute(query.order_by(length.desc()).limit(count)).all()
