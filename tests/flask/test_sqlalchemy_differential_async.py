"""The differential test with asynchronous engines: one task writes, another one reads meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import NullPool

from tests.flask.sqlalchemy_reads import READS
from tests.flask.sqlalchemy_world import World
from tests.flask.sqlalchemy_writes import WRITES
from tests.servers import PostgresServer
from zoocache_flask.sqlalchemy import track

KEYS = st.integers(1, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(set(WRITES) - {"by_the_driver"})), KEYS, KEYS),
        st.sampled_from(["commit", "rollback", "close"]).map(lambda end: (end, 0, 0)),
    ),
    min_size=2,
    max_size=8,
)


@pytest.fixture(params=["sqlite+aiosqlite", "postgresql+psycopg"])
def asynchronous(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, str]]:
    if request.param.startswith("sqlite"):
        url = f"sqlite:///{tmp_path}/async.db"
        world = World(url)
        yield world, url.replace("sqlite", request.param, 1)
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        dsn = postgres.create_database("sqlalchemy_differential_async")
        url = dsn.replace("postgresql://", "postgresql+psycopg://")
        world = World(url)
        yield world, url
    world.close()


def compare(session: Session, world: World, where: str) -> None:
    for name, read in READS.items():
        cached = world.cache.fetch(name, lambda read=read: read(session))  # type: ignore[misc]
        assert cached == read(session), f"{name!r} {where}"


async def walk(world: World, url: str, steps: list[tuple[str, int, int]]) -> None:
    # Without a pool, because each example has an event loop of its own.
    engine = create_async_engine(url, poolclass=NullPool)
    turn, done = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def reader() -> None:
        for _ in steps:
            await turn.acquire()
            async with AsyncSession(engine) as session:
                await session.run_sync(compare, world, "elsewhere")
            done.release()

    async def writer() -> None:
        async with AsyncSession(engine) as session:
            for name, key, other in steps:
                try:
                    if name in WRITES:
                        await session.run_sync(WRITES[name], key, other)
                    else:
                        await getattr(session, name)()
                    await session.run_sync(compare, world, "here")
                except (SQLAlchemyError, StaleDataError):
                    await session.rollback()
                turn.release()
                await done.acquire()

    with track(engine, cache=world.cache, name=world.tracking.names[0]):
        tasks = [asyncio.create_task(reader()), asyncio.create_task(writer())]
        try:
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
        finally:
            for task in tasks:
                task.cancel()
    await engine.dispose()


def test_tasks(asynchronous: tuple[World, str]) -> None:
    world, url = asynchronous

    @settings(max_examples=4, deadline=None)
    @given(STEPS)
    def explore(steps: list[tuple[str, int, int]]) -> None:
        world.fill()
        try:
            asyncio.run(walk(world, url, steps))
        finally:
            world.rest()

    explore()
