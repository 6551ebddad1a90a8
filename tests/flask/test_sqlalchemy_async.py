"""Asynchronous engines and sessions: what tasks do in transactions is theirs alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.flask.sqlalchemy_models import Author, Base, Note
from tests.servers import PostgresServer
from zoocache_core import MISSING
from zoocache_core import Engine as Cache
from zoocache_flask.sqlalchemy import track


class Library:
    """Two notes in an asynchronous database that is tracked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)
        self.cache = Cache()

    async def title(self, key: int, session: AsyncSession | None = None) -> Any:
        """A note's title, cached."""

        async def read() -> Any:
            if session is not None:
                note = await session.get(Note, key)
                return note and note.title
            async with self.sessions() as fresh:
                return await fresh.scalar(select(Note.title).where(Note.id == key))

        return await self.cache.fetch_async(f"title {key}", read)

    def known(self, key: int) -> Any:
        return self.cache.get(f"title {key}", MISSING)


@pytest.fixture(params=["aiosqlite", "psycopg"])
async def library(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Library]:
    if request.param == "aiosqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/async.db"
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        dsn = postgres.create_database("sqlalchemy_async")
        url = dsn.replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(url)
    library = Library(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with library.sessions() as session:
        session.add_all([Note(id=1, title="one"), Note(id=2, title="two"), Author(name="ann")])
        await session.commit()
    with track(engine, cache=library.cache):
        yield library
    assert not library.cache.guards
    await engine.dispose()


async def test_writes_are_seen_when_they_are_committed(library: Library) -> None:
    assert [await library.title(1), await library.title(2)] == ["one", "two"]
    async with library.sessions() as session:
        note = await session.get_one(Note, 1)
        note.title = "new"
        assert await library.title(1, session) == "new"
        await session.rollback()
    assert library.known(1) == "one"
    async with library.sessions.begin() as session:
        await session.execute(update(Note).where(Note.id == 1).values(title="new"))
        assert await library.title(1, session) == "new"
        assert library.known(1) is MISSING
        assert library.known(2) == "two"
    assert library.known(1) is MISSING
    assert await library.title(1) == "new"


async def test_core_connections_and_savepoints(library: Library) -> None:
    await library.title(1)
    await library.title(2)
    async with library.engine.begin() as connection:
        await connection.execute(update(Note).where(Note.id == 2).values(title="kept"))
        savepoint = await connection.begin_nested()
        await connection.execute(text("UPDATE note SET title = 'never'"))
        await savepoint.rollback()
    assert library.known(1) == "one"
    assert await library.title(2) == "kept"


async def test_a_transaction_is_its_tasks_own(library: Library) -> None:
    wrote, go = asyncio.Event(), asyncio.Event()

    async def writer() -> None:
        async with library.sessions.begin() as session:
            await session.execute(update(Note).where(Note.id == 1).values(title="new"))
            wrote.set()
            await go.wait()
            assert library.known(1) is MISSING

    await library.title(1)
    task = asyncio.create_task(writer())
    await asyncio.wait_for(wrote.wait(), 20)
    # Here nothing is hidden, and what is read may be stored.
    assert library.known(1) == "one"
    assert await library.title(2) == "two"
    assert library.known(2) == "two"
    go.set()
    await task
    assert await library.title(1) == "new"


async def test_child_tasks_belong_to_it(library: Library) -> None:
    await library.title(1)
    async with library.sessions() as session:
        await session.execute(update(Note).where(Note.id == 1).values(title="new"))
        assert await asyncio.wait_for(library.title(1, session), 20) == "new"
        assert await asyncio.create_task(library.title(1, session)) == "new"
        assert library.known(1) is MISSING
    assert library.known(1) == "one"


async def test_a_transaction_that_was_begun_in_a_task_that_has_ended(library: Library) -> None:
    await library.title(1)
    async with library.sessions() as session:
        statement = update(Note).where(Note.id == 1).values(title="new")
        await asyncio.create_task(_execute(session, statement))
        assert library.known(1) is MISSING
        await asyncio.create_task(session.commit())
    assert await library.title(1) == "new"


async def _execute(session: AsyncSession, statement: Any) -> None:
    await session.execute(statement)


async def test_a_cancelled_write_leaves_no_trace(library: Library) -> None:
    await library.title(1)
    started = asyncio.Event()

    async def writer() -> None:
        async with library.sessions.begin() as session:
            await session.execute(update(Note).where(Note.id == 1).values(title="never"))
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(writer())
    await asyncio.wait_for(started.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert library.known(1) == "one"
    assert await library.title(2) == "two"
    assert library.known(2) == "two"


async def test_objects_that_outlive_their_transaction_are_as_old_as_they_are(
    library: Library,
) -> None:
    async with library.sessions() as session:
        note = await session.get_one(Note, 1)
        await session.commit()
        async with library.sessions.begin() as other:
            await other.execute(update(Note).where(Note.id == 1).values(title="new"))
        await session.scalar(select(Author.name))
        # Without the cache, this session would give out its old object as well.
        assert await library.title(1, session) == note.title == "one"
        assert library.known(1) is MISSING
    assert await library.title(1) == "new"
