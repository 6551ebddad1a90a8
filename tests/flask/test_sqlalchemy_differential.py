"""With the cache, no read returns what the same read without it could not have returned.

A session writes in every way there is, in transactions and savepoints that are committed or rolled
back, while another thread commits writes of its own. After every step all reads are made in both
threads, cached first and then without the cache, and compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from tests.flask.sqlalchemy_fixtures import postgres_world, sqlite_world
from tests.flask.sqlalchemy_models import Author, Note
from tests.flask.sqlalchemy_reads import READS
from tests.flask.sqlalchemy_world import World
from tests.flask.sqlalchemy_writes import WRITES
from tests.servers import PostgresServer

__all__ = ["postgres_world", "sqlite_world"]

KEYS = st.integers(1, 4)


class CachedAgainstUncached(RuleBasedStateMachine):
    world: ClassVar[World]
    levels: ClassVar[list[str | None]]

    @initialize(level=st.data())
    def begin(self, level: Any) -> None:
        self.world.fill()
        self.levels_drawn = level
        with Session(self.world.engine) as session:
            self.old = {note.id: note for note in session.scalars(select(Note))}
        self.elsewhere = ThreadPoolExecutor(1)
        self.open_session()

    def open_session(self) -> None:
        level = self.levels_drawn.draw(st.sampled_from(self.levels))
        engine = self.world.engine
        if level is not None:
            engine = engine.execution_options(isolation_level=level)
        expire = self.levels_drawn.draw(st.booleans())
        self.session = Session(engine, expire_on_commit=expire)
        self.savepoints: list[Any] = []
        self.kept: list[object] = []
        self.wrote = False

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
            self.elsewhere.shutdown()
            self.world.rest()

    def attempt(self, action: Callable[[], object]) -> None:
        """What a database or a constraint refuses is rolled back, as applications do."""
        try:
            action()
        except (SQLAlchemyError, StaleDataError):
            self.session.rollback()
            self.savepoints = []
            self.wrote = False

    @rule(name=st.sampled_from(sorted(WRITES)), key=KEYS, other=KEYS)
    def write(self, name: str, key: int, other: int) -> None:
        self.wrote = True
        self.attempt(lambda: WRITES[name](self.session, key, other))

    @rule()
    def flush(self) -> None:
        self.attempt(self.session.flush)

    @rule()
    def commit(self) -> None:
        self.savepoints = []
        self.attempt(self.session.commit)
        self.wrote = False

    @rule()
    def roll_back(self) -> None:
        self.savepoints = []
        self.session.rollback()
        self.wrote = False

    @rule()
    def close(self) -> None:
        self.session.close()
        self.open_session()

    @rule()
    def set_savepoint(self) -> None:
        # Python's sqlite3 begins no transaction for a savepoint, which then is one itself.
        self.wrote = True
        self.attempt(lambda: self.savepoints.append(self.session.begin_nested()))

    @precondition(lambda self: self.savepoints)
    @rule(keep=st.booleans())
    def leave_savepoint(self, keep: bool) -> None:
        savepoint = self.savepoints.pop()
        if savepoint.is_active:
            self.attempt(savepoint.commit if keep else savepoint.rollback)

    @precondition(lambda self: not self.wrote)
    @rule(name=st.sampled_from(sorted(WRITES)), key=KEYS, other=KEYS, keep=st.booleans())
    def write_elsewhere(self, name: str, key: int, other: int, keep: bool) -> None:
        def work() -> None:
            with Session(self.world.engine) as session:
                try:
                    WRITES[name](session, key, other)
                    (session.commit if keep else session.rollback)()
                except SQLAlchemyError:
                    session.rollback()

        self.elsewhere.submit(work).result(30)

    @rule(whole=st.booleans())
    def let_go(self, whole: bool) -> None:
        if whole:
            self.session.expunge_all()
        else:
            self.session.expire_all()

    @precondition(lambda self: self.old)
    @rule(key=KEYS)
    def merge_old(self, key: int) -> None:
        """Objects as old as the beginning come into the session, as out of a cache of its own."""
        self.attempt(lambda: self.session.merge(self.old[key], load=False))

    @rule(names=st.lists(st.sampled_from(sorted(READS)), min_size=1, max_size=4))
    def load(self, names: list[str]) -> None:
        """Objects that are loaded outside of cached computations, and stay in the session."""

        def load() -> None:
            for name in names:
                READS[name](self.session)
            for kind in (Note, Author):
                self.kept += self.session.scalars(select(kind))

        self.attempt(load)

    @invariant()
    def reads_agree(self) -> None:
        if not hasattr(self, "session"):
            return
        self.attempt(lambda: self.compare(self.session, "here"))

        def fresh() -> None:
            with Session(self.world.engine) as session:
                self.compare(session, "elsewhere")

        self.elsewhere.submit(fresh).result(30)

    def compare(self, session: Session, where: str) -> None:
        cache = self.world.cache
        if not session.in_transaction():
            # Between its transactions, a session is given what is newest.
            session.begin()
        for name, read in READS.items():
            # One after the other, since a read may flush what the next one sees.
            cached = cache.fetch(name, lambda read=read: read(session))  # type: ignore[misc]
            assert cached == read(session), f"{name!r} {where}"


def explore(world: World, levels: list[str | None], examples: int, steps: int = 20) -> None:
    class Machine(CachedAgainstUncached):
        pass

    Machine.world, Machine.levels = world, levels
    scale = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 1
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples * scale, stateful_step_count=steps, deadline=None),
    )


LEVELS: list[str | None] = [None, "REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"]


def test_sqlite(sqlite_world: World) -> None:
    explore(sqlite_world, [None], 8)


def test_postgresql(postgres_world: World) -> None:
    explore(postgres_world, LEVELS, 9)


def test_values_in_lmdb(tmp_path: Path) -> None:
    world = World(f"sqlite:///{tmp_path}/shop.db", storage_url=f"lmdb://{tmp_path}/cache")
    try:
        explore(world, [None], 3, steps=8)
    finally:
        world.close()


def test_values_in_redis(postgres: PostgresServer, redis_url: str) -> None:
    dsn = postgres.create_database("sqlalchemy_differential_redis")
    world = World(dsn.replace("postgresql://", "postgresql+psycopg://"), storage_url=redis_url)
    try:
        explore(world, LEVELS, 3, steps=8)
    finally:
        world.close()
