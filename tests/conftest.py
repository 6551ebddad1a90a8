"""Fixtures for every test: real servers, and Hypothesis without a clock."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.servers import PostgresServer, RedisServer

# A deadline per example measures the machine, not the code. By default every run looks at the same
# examples, so that one that turns red is red because of what has changed; "thorough" looks for new
# ones, and at more.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis that tests share. Do not stop it or freeze it: `private_redis` is for that."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the shared Redis, empty at the beginning of the test."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def private_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, to freeze, kill, restart."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that tests share; each makes its own database with `create_database()`."""
    with PostgresServer() as server:
        yield server
