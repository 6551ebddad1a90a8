"""A database with the schema of the tests, an engine that is tracked and one that is not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, text
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_models import (
    Article,
    Author,
    Base,
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
from zoocache_core import Engine as Cache
from zoocache_flask.sqlalchemy import Tracking, track


def open_engine(url: str, **options: Any) -> Engine:
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": 0.2}
    engine = create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _enforce_keys)
    return engine


def _enforce_keys(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


class World:
    """Call :meth:`fill` before each use, :meth:`rest` after it, and :meth:`close` at last."""

    tracking: Tracking

    def __init__(self, url: str, **settings: Any) -> None:
        self.engine = open_engine(url)
        # What sets the scene is not what is observed.
        self.behind = open_engine(url)
        self.cache = Cache(**settings)
        with self.behind.begin() as connection:
            Base.metadata.create_all(connection)
            connection.execute(text("DROP VIEW IF EXISTS titles"))
            connection.execute(text("CREATE VIEW titles AS SELECT title FROM note"))

    def fill(self) -> None:
        """The same rows as at the beginning, an empty cache, and a tracked engine."""
        self.tracking = track(self.engine, cache=self.cache)
        with self.behind.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
            if connection.dialect.name == "postgresql":
                for table in ("note", "comment", "label", "topic"):
                    connection.execute(text(f"ALTER SEQUENCE {table}_id_seq RESTART WITH 1000"))
        with Session(self.behind) as session:
            session.add_all([Author(id=1, name="ann"), Author(id=2, name="bob")])
            session.flush()
            session.add_all(
                Note(id=key, title=f"note {key}", votes=key, author_id=author)
                for key, author in ((1, 1), (2, 1), (3, 2), (4, None))
            )
            session.add_all([Label(id=1, slug="red"), Label(id=2, slug="blue")])
            session.add_all([Page(id=1, title="page"), Article(id=2, title="article", body="b")])
            session.add(Country(code="fr", name="France"))
            session.add(Topic(id=1, name="drinks"))
            session.flush()
            session.add(Topic(id=2, name="tea", parent_id=1))
            session.add(Question(id=3, name="with milk?", parent_id=1))
            session.flush()
            session.add(Question(id=4, name="or sugar?", parent_id=2))
            session.flush()
            session.add(Membership(author_id=1, topic_id=2, role="reader"))
            session.add(Membership(author_id=2, topic_id=1, role="writer"))
            session.add(Comment(id=1, text="first", note_id=1))
            session.execute(insert(labelled), [{"note_id": 1, "label_id": 1}])
            session.commit()
        self.cache.clear()

    def rest(self) -> None:
        self.tracking.stop()
        assert not self.cache.guards

    def close(self) -> None:
        self.engine.dispose()
        self.behind.dispose()
        self.cache.reset()
