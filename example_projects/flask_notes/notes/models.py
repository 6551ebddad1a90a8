"""Users, notes and their subjects."""

from __future__ import annotations

from datetime import datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, DateTime, ForeignKey, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """What all models have in common."""


db = SQLAlchemy(model_class=Base)

note_subject = Table(
    "note_subject",
    Base.metadata,
    Column("note_id", ForeignKey("note.id"), primary_key=True),
    Column("subject_id", ForeignKey("subject.id"), primary_key=True, index=True),
)


class User(db.Model):  # type: ignore[name-defined, misc]
    """Somebody who writes notes."""

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    password: Mapped[str] = mapped_column(String(200))
    notes: Mapped[list[Note]] = relationship(back_populates="author")


class Subject(db.Model):  # type: ignore[name-defined, misc]
    """What notes are about."""

    __tablename__ = "subject"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)


class Note(db.Model):  # type: ignore[name-defined, misc]
    """A note."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(120))
    body: Mapped[str] = mapped_column(Text)
    written: Mapped[datetime] = mapped_column(DateTime, index=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    author: Mapped[User] = relationship(back_populates="notes")
    subjects: Mapped[list[Subject]] = relationship(secondary=note_subject, order_by=Subject.name)
