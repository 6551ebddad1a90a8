"""The real servers that the project's own tests use."""

from __future__ import annotations

import pytest

from tests.conftest import postgres, redis_server, redis_url
from tests.servers import PostgresServer

__all__ = ["postgres", "postgres_url", "redis_server", "redis_url"]


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresServer) -> str:
    """An empty database; each test leaves it so."""
    dsn = postgres.create_database("notes")
    return dsn.replace("postgresql://", "postgresql+psycopg://")
