"""Transactions that are ended in other ways than by SQLAlchemy's own methods, or badly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_fixtures import (
    cached,
    elsewhere,
    is_cached,
    postgres_only,
    postgres_world,
    sqlite_only,
    sqlite_world,
    world,
)
from tests.flask.sqlalchemy_models import Author, Note
from tests.flask.sqlalchemy_world import World
from zoocache_flask.sqlalchemy import transactions

__all__ = [
    "elsewhere", "postgres_only", "postgres_world", "sqlite_only", "sqlite_world", "world",
]  # fmt: skip

RENAME = update(Note).where(Note.id == 1).values(title="new")


class TestTheDriver:
    def test_a_commit_by_the_driver(self, world: World) -> None:
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.execute(RENAME)
            connection.connection.commit()
        assert cached(world, "get 1")[1] == "new"

    def test_a_commit_by_the_driver_before_another_statement(
        self, world: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.execute(RENAME)
            connection.connection.commit()
            connection.scalar(select(Author.name))
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "new"

    def test_a_rollback_by_the_pool(self, world: World) -> None:
        cached(world, "get 1")
        connection = world.engine.connect()
        connection.execute(RENAME)
        connection.close()
        assert is_cached(world, "get 1")


@pytest.fixture(params=["a driver that tells", "one that cannot"])
def telling(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the driver can say that a transaction is in progress."""
    if request.param == "one that cannot":
        monkeypatch.setattr(transactions, "in_progress", lambda connection: None)


@pytest.mark.usefixtures("telling")
class TestSeveralStatements:
    """Only drivers of PostgreSQL take several statements at once."""

    def test_a_commit_among_them(self, postgres_only: World) -> None:
        world = postgres_only
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE note SET title = 'new' WHERE id = 1; COMMIT")
            assert cached(world, "get 1")[1] == "new"
            connection.rollback()
        assert cached(world, "get 1")[1] == "new"

    def test_a_beginning_among_them(
        self, postgres_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
        for end in ("COMMIT", "COMMIT; SELECT 1", "SELECT 1; END"):
            world.cache.clear()
            title = world.cache.fetch("before", lambda: cached(world, "get 1")[1])
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN; UPDATE note SET votes = 7 WHERE id = 1")
                connection.execute(RENAME.values(title=end))
                # Others still see what was there before, and store it.
                assert elsewhere.submit(cached, world, "get 1").result(20)[1] == title
                connection.exec_driver_sql(end)
                assert elsewhere.submit(cached, world, "get 1").result(20)[1] == end

    def test_a_transaction_in_one_text(self, postgres_only: World) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
        cached(world, "get 1")
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN; UPDATE note SET votes = 7 WHERE id = 1; COMMIT")
            assert cached(world, "get 1")[2] == 7
            connection.execute(RENAME)
        assert cached(world, "get 1")[1] == "new"

    def test_a_commit_that_begins_the_next_transaction(
        self, postgres_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("COMMIT AND CHAIN")
            connection.execute(RENAME)
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "note 1"
            connection.exec_driver_sql("COMMIT")
        assert cached(world, "get 1")[1] == "new"


class TestHooks:
    def test_hooks_after_the_commit_see_it(self, world: World) -> None:
        seen: list[Any] = []
        cached(world, "get 1")
        with Session(world.engine) as session:

            @event.listens_for(session, "after_commit")
            def after_commit(session: Session) -> None:
                seen.append((is_cached(world, "get 1"), cached(world, "get 1")[1]))

            session.get_one(Note, 1).title = "new"
            session.commit()
        assert seen == [(False, "new")]
        assert cached(world, "get 1")[1] == "new"

    @pytest.mark.parametrize("hook", ["before_flush", "after_flush", "after_flush_postexec"])
    def test_hooks_that_write(self, world: World, hook: str) -> None:
        for name in ("get 1", "get 2", "column property"):
            cached(world, name)
        with Session(world.engine) as session:

            @event.listens_for(session, hook, once=True)
            def write(session: Session, *arguments: Any) -> None:
                session.connection().execute(update(Author).values(name="changed"))

            session.get_one(Note, 1).title = "new"
            session.commit()
        assert not is_cached(world, "get 1")
        assert not is_cached(world, "column property")
        assert is_cached(world, "get 2")


class TestFailures:
    def test_a_commit_of_unknown_outcome(self, postgres_only: World) -> None:
        world = postgres_only
        cached(world, "get 1")
        with pytest.raises(DBAPIError), Session(world.engine) as session:
            session.get_one(Note, 1).title = "new"
            session.flush()
            raw = session.connection().connection.dbapi_connection

            def lose(*arguments: Any) -> None:
                # The server has done it, and nobody is told.
                raw.commit()
                raw.close()

            event.listen(session.connection(), "commit", lose)
            session.commit()
        assert cached(world, "get 1")[1] == "new"
        assert not world.cache.guards

    def test_a_connection_that_is_lost_in_between(self, postgres_only: World) -> None:
        world = postgres_only
        cached(world, "get 1")
        with Session(world.engine) as session:
            session.get_one(Note, 1).title = "never"
            session.flush()
            backend = session.scalar(text("SELECT pg_backend_pid()"))
            with world.behind.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": backend})
            with pytest.raises(DBAPIError):
                session.scalar(select(Note.title))
            session.rollback()
            assert cached(world, "get 1", session)[1] == "note 1"
        assert is_cached(world, "get 1")


class TestExternalTransactions:
    @pytest.mark.parametrize(
        "mode", ["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"]
    )
    @pytest.mark.parametrize("kept", [True, False])
    def test_modes_of_joining(
        self, world: World, elsewhere: ThreadPoolExecutor, mode: Any, kept: bool
    ) -> None:
        cached(world, "get 1")
        cached(world, "get 2")
        with world.engine.connect() as connection:
            transaction = connection.begin()
            if world.engine.dialect.name == "sqlite":
                # A savepoint would else be the transaction.
                connection.exec_driver_sql("UPDATE note SET votes = votes WHERE id = 404")
            with Session(connection, join_transaction_mode=mode) as session:
                session.get_one(Note, 1).title = "new"
                session.commit()
                assert cached(world, "get 1", session)[1] == "new"
                committed = mode == "control_fully"
                if not committed:
                    assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "note 1"
            if transaction.is_active:
                (transaction.commit if kept else transaction.rollback)()
        with Session(world.behind) as session:
            title = session.get_one(Note, 1).title
        assert cached(world, "get 1")[1] == title == ("new" if kept or committed else "note 1")
        assert is_cached(world, "get 2")
