"""Redis storage: what every storage must show, and what only this one can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.redis_store import RedisStore
from tests.core.test_state_machine import EngineAgainstModel
from zoocache_core import Engine
from zoocache_core.testing import StorageContract


class TestRedisStorage(StorageContract):
    @pytest.fixture(autouse=True)
    def _open_on_redis(self, redis_url: str) -> None:
        self.url = redis_url
        self.engine = self.open()

    def setup_method(self) -> None:
        """The engine is opened when there is a server."""

    def open(self, **settings: Any) -> Engine:
        self.store = RedisStore(self.url)
        return self.store.open(**settings)

    def pass_time(self, seconds: float) -> None:
        self.store.pass_time(seconds)


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url)


@pytest.fixture
def engine(store: RedisStore) -> Iterator[Engine]:
    engine = store.open()
    yield engine
    engine.reset()


@pytest.fixture
def other(store: RedisStore) -> Iterator[Engine]:
    """What another process has."""
    engine = store.open()
    yield engine
    engine.reset()


def test_the_engine_on_redis_against_a_model(redis_url: str) -> None:
    class OnRedis(EngineAgainstModel):
        def open(self, **settings: Any) -> Engine:
            self.store = RedisStore(redis_url)
            return self.store.open(**settings)

        def pass_time(self, seconds: float) -> None:
            self.store.pass_time(seconds)

    run_state_machine_as_test(
        OnRedis,
        settings=hypothesis_settings(max_examples=30, stateful_step_count=30, deadline=None),
    )
