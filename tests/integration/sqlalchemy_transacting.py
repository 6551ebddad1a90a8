"""A process of the differential test that reads and writes through SQLAlchemy, in Flask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.integration.commits import ROWS, part_of
from tests.integration.transacting import LEVELS, Task, serve
from zoocache_core import Stats
from zoocache_flask import ZooCache, cache_view, cacheable
from zoocache_flask.sqlalchemy import table_tags

Rows = dict[int, tuple[int, int]]


class Base(DeclarativeBase):
    """What the models have in common."""


db = SQLAlchemy(model_class=Base)
cache = ZooCache()


class Row(db.Model):  # type: ignore[name-defined,misc]
    __tablename__ = "row_of_test"
    id: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int]
    version: Mapped[int]
    token: Mapped[int]


VALUES = select(Row.id, Row.version, Row.token)


def versions(rows: Any) -> Rows:
    return {pk: (version, token) for pk, version, token in rows}


def objects(rows: Any) -> Rows:
    return {row.id: (row.version, row.token) for row in rows}


@cacheable
def one(row: int) -> Rows:
    return versions(db.session.execute(VALUES.where(Row.id == row)))


@cacheable
def part(number: int) -> Rows:
    return versions(db.session.execute(VALUES.where(Row.part == number)))


@cacheable
def everything() -> Rows:
    return versions(db.session.execute(text("SELECT id, version, token FROM row_of_test")))


@cacheable
def built_of_parts(number: int) -> Rows:
    """Its only statement is that of what it calls."""
    return part(number)


@cacheable
def object_of(row: int) -> Rows:
    return objects([db.session.get_one(Row, row)])


@cacheable
def objects_of(number: int) -> Rows:
    return objects(db.session.scalars(select(Row).where(Row.part == number)))


@cacheable
def elsewhere(number: int) -> Rows:
    """It opens a session of its own, whoever asks."""
    with Session(db.engine) as session:
        return objects(session.scalars(select(Row).where(Row.part == number)))


def by_hand() -> Rows:
    """Looked up, read and stored, in three steps."""
    engine = cache.engine_of(current_app)
    found: Rows | None = engine.get("all by hand")
    if found is None:
        found = versions(db.session.execute(VALUES))
        engine.set("all by hand", found, deps=[f"{tag}:*" for tag in table_tags(Row)])
    return found


def make_app(config: dict[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    cache.init_app(app)
    db.init_app(app)

    @app.get("/<int:row>")
    @cache_view
    def page_of_one(row: int) -> list[Any]:
        found = db.get_or_404(Row, row)
        return [(found.id, found.version, found.token)]

    @app.get("/")
    @cache_view(ttl=60)
    def page_of_all() -> list[Any]:
        return [tuple(row) for row in db.session.execute(VALUES)]

    return app


class SQLAlchemyClient:
    conflicts = (DBAPIError,)
    loaded = frozenset({"function of an object", "function of objects"})
    outside = frozenset({"function with its session", "view of a row", "view of all"})
    app: Flask

    def __init__(self, port: str, database: str) -> None:
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/{database}"
        self.reads = {
            "function of a row": one,
            "function of a part": lambda row: part(part_of(row)),
            "function of all": lambda row: everything(),
            "function of a function": lambda row: built_of_parts(part_of(row)),
            "function of an object": object_of,
            "function of objects": lambda row: objects_of(part_of(row)),
            "by hand": lambda row: by_hand(),
            "function with its session": lambda row: elsewhere(part_of(row)),
            "view of a row": lambda row: self.page(f"/{row}"),
            "view of all": lambda row: self.page("/"),
        }
        of_part = text(
            "UPDATE row_of_test SET version = version + 1, token = :token + id WHERE part = :part"
        )
        self.writes = {
            "flush": self.flush,
            "update": lambda row, token: self.execute(
                update(Row).where(Row.id == row).values(version=Row.version + 1, token=token)
            ),
            "core": lambda row, token: self.execute_in_core(
                update(Row.__table__)
                .where(Row.__table__.c.id == row)
                .values(version=Row.version + 1, token=token)
            ),
            "raw": lambda row, token: self.execute(
                text(
                    "UPDATE row_of_test SET version = version + 1, token = :token WHERE id = :row"
                ),
                {"token": token, "row": row},
            ),
        }
        self.bulk = {
            "flush": self.flush_part,
            "update": lambda part, token: self.execute(
                update(Row)
                .where(Row.part == part)
                .values(version=Row.version + 1, token=token + Row.id)
            ),
            "many": self.execute_many,
            "raw": lambda part, token: self.execute(of_part, {"token": token, "part": part}),
        }

    def page(self, path: str) -> Rows:
        # With a session of its own, as requests have.
        with self.app.app_context():
            return versions(self.app.test_client().get(path).get_json())

    @staticmethod
    def flush(row: int, token: int) -> None:
        found = db.session.get_one(Row, row, with_for_update=True, populate_existing=True)
        found.version += 1
        found.token = token

    @staticmethod
    def flush_part(part: int, token: int) -> None:
        found = select(Row).where(Row.part == part).with_for_update()
        for row in db.session.scalars(found, execution_options={"populate_existing": True}):
            row.version += 1
            row.token = token + row.id

    @staticmethod
    def execute(statement: Any, parameters: Any = None) -> None:
        db.session.execute(statement, parameters)
        # What it has loaded is older.
        db.session.expire_all()

    @staticmethod
    def execute_in_core(statement: Any, parameters: Any = None) -> None:
        db.session.connection().execute(statement, parameters)
        db.session.expire_all()

    def execute_many(self, part: int, token: int) -> None:
        table = Row.__table__
        rows = [{"row": row, "left": token + row} for row in ROWS if part_of(row) == part]
        self.execute_in_core(
            update(table)
            .where(table.c.id == bindparam("row"))
            .values(version=table.c.version + 1, token=bindparam("left")),
            rows,
        )

    def start(self, task: Task) -> None:
        options = "-c deadlock_timeout=20ms -c lock_timeout=2s"
        self.app = make_app(
            {
                "SECRET_KEY": "for tests only",
                "SQLALCHEMY_DATABASE_URI": self.url,
                "SQLALCHEMY_ENGINE_OPTIONS": {"connect_args": {"options": options}},
                "ZOOCACHE": task.settings,
            }
        )
        cache.engine_of(self.app).clear()

    def stop(self) -> None:
        with self.app.app_context():
            db.engine.dispose()
        cache.close(self.app)

    def stats(self) -> Stats:
        return cache.engine_of(self.app).stats()

    def request(self) -> AbstractContextManager[object]:
        return self.app.app_context()

    @contextmanager
    def transaction(self, level: str) -> Iterator[None]:
        # It goes on with what it has found for itself, if it has read before.
        db.session.rollback()
        if level != LEVELS[0]:
            db.session.connection(execution_options={"isolation_level": level})
        try:
            yield
            db.session.commit()
        finally:
            db.session.rollback()

    def savepoint(self) -> Any:
        return db.session.begin_nested()

    def plain(self) -> Rows:
        return versions(db.session.execute(VALUES.where(Row.id.in_(ROWS))))

    def swap(self, row: int, version: int, token: int) -> bool:
        engine = db.engine.execution_options(isolation_level="AUTOCOMMIT")
        statement = update(Row).where(Row.id == row, Row.version == version)
        with engine.connect() as connection:
            return (
                connection.execute(statement.values(version=version + 1, token=token)).rowcount == 1
            )


if __name__ == "__main__":
    serve(SQLAlchemyClient(*sys.argv[1:]))
