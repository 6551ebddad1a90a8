"""A small schema with every kind of relation: what is tracked in the tests of SQLAlchemy."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Column, Computed, ForeignKey, String, Table, func, select
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    WriteOnlyMapped,
    column_property,
    mapped_column,
    relationship,
)


class Base(DeclarativeBase):
    pass


labelled = Table(
    "labelled",
    Base.metadata,
    Column("note_id", ForeignKey("note.id", ondelete="CASCADE"), primary_key=True),
    Column("label_id", ForeignKey("label.id", ondelete="CASCADE"), primary_key=True),
)


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    notes: Mapped[list[Note]] = relationship(back_populates="author", passive_deletes=True)


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
    votes: Mapped[int] = mapped_column(default=0)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id", ondelete="SET NULL"))
    author: Mapped[Author | None] = relationship(back_populates="notes")
    labels: Mapped[list[Label]] = relationship(
        secondary=labelled, back_populates="notes", passive_deletes=True
    )
    comments: Mapped[list[Comment]] = relationship(
        back_populates="note", cascade="all, delete-orphan"
    )
    slugs: AssociationProxy[list[str]] = association_proxy("labels", "slug")

    @hybrid_property
    def popular(self) -> bool:
        return self.votes > 2


class Label(Base):
    __tablename__ = "label"
    slug: Mapped[str] = mapped_column(String(20), unique=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[list[Note]] = relationship(
        secondary=labelled, back_populates="labels", passive_deletes=True
    )


class Comment(Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50))
    note_id: Mapped[int] = mapped_column(ForeignKey("note.id", ondelete="CASCADE"))
    note: Mapped[Note] = relationship(back_populates="comments")


class Country(Base):
    """A row that is found by a text."""

    __tablename__ = "country"
    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Page(Base):
    """The base of rows that are spread over two tables."""

    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    title: Mapped[str] = mapped_column(String(50))
    __mapper_args__: ClassVar[dict[str, str]] = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "page",
    }


class Article(Page):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(ForeignKey("page.id"), primary_key=True)
    body: Mapped[str] = mapped_column(String(50))
    __mapper_args__: ClassVar[dict[str, str]] = {"polymorphic_identity": "article"}


class Topic(Base):
    """Below each other, with versions, some of a subclass in the same table."""

    __tablename__ = "topic"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    kind: Mapped[str] = mapped_column(String(10))
    version: Mapped[int] = mapped_column()
    length: Mapped[int] = mapped_column(Computed("length(name)"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("topic.id", ondelete="CASCADE"))
    below: WriteOnlyMapped[Topic] = relationship(passive_deletes=True)
    above: Mapped[Topic | None] = relationship(remote_side="Topic.id", viewonly=True)
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_on": "kind",
        "polymorphic_identity": "topic",
        "version_id_col": version,
    }


class Question(Topic):
    __mapper_args__: ClassVar[dict[str, str]] = {"polymorphic_identity": "question"}


class Membership(Base):
    """Two columns make its key."""

    __tablename__ = "membership"
    author_id: Mapped[int] = mapped_column(
        ForeignKey("author.id", ondelete="CASCADE"), primary_key=True
    )
    topic_id: Mapped[int] = mapped_column(
        ForeignKey("topic.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str] = mapped_column(String(50))
    topic: Mapped[Topic] = relationship()


Author.note_count = column_property(
    select(func.count(Note.id)).where(Note.author_id == Author.id).scalar_subquery()
)
