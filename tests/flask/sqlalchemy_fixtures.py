"""Worlds on each kind of database, made once for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_reads import READS
from tests.flask.sqlalchemy_world import World
from tests.servers import PostgresServer
from zoocache_core import MISSING
from zoocache_core.deps import current_scope


@pytest.fixture(scope="module")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path: Path = tmp_path_factory.mktemp("sqlite") / "shop.db"
    world = World(f"sqlite:///{path}")
    yield world
    world.close()


@pytest.fixture(scope="module")
def postgres_world(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[World]:
    dsn = postgres.create_database(request.module.__name__.rpartition(".")[2])
    world = World(dsn.replace("postgresql://", "postgresql+psycopg://"))
    yield world
    world.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    found: World = request.getfixturevalue(
        "sqlite_world" if request.param == "sqlite" else "postgres_world"
    )
    found.fill()
    yield found
    found.rest()


@pytest.fixture
def postgres_only(postgres_world: World) -> Iterator[World]:
    postgres_world.fill()
    yield postgres_world
    postgres_world.rest()


@pytest.fixture
def sqlite_only(sqlite_world: World) -> Iterator[World]:
    sqlite_world.fill()
    yield sqlite_world
    sqlite_world.rest()


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def cached(world: World, name: str, session: Session | None = None) -> Any:
    """What the read of that name gives, out of the cache if it is there."""
    if session is not None:
        return world.cache.fetch(name, lambda: READS[name](session))
    with Session(world.engine) as fresh:
        return world.cache.fetch(name, lambda: READS[name](fresh))


def is_cached(world: World, name: str) -> bool:
    return world.cache.get(name, MISSING) is not MISSING


def deps_of(world: World, read: Any) -> set[str]:
    """What a computation that does ``read()`` depends on, without the name of the database."""
    found: set[str] = set()

    def compute() -> None:
        read()
        scope = current_scope()
        assert scope is not None
        prefix = f"db:{world.tracking.names[0]}:"
        found.update(dep.removeprefix(prefix) for dep in scope.deps if not dep.startswith("="))

    world.cache.fetch("deps", compute, refresh=True)
    return found
