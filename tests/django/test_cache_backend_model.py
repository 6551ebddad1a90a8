"""Random use of Django's LocMemCache and of ours, blocking and asynchronous: no difference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.core.cache.backends.locmem import LocMemCache
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.django.caches import STORAGES, caches_on
from tests.servers import RedisServer
from zoocache_core.testing import ManualClock

KEYS = st.sampled_from(["a", "b", "c"])
VERSIONS = st.sampled_from([None, 1, 2])
VALUES = st.sampled_from([0, 1, -7, 2.5, True, None, "text", [1], {"k": (1,)}])
TIMEOUTS = st.sampled_from([None, -1, 0, 5, 30.5, 100, 1000])
MISSING = "there is none"


def call(name: str, *arguments: Any, **named: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    return name, arguments, named


def stores(name: str) -> st.SearchStrategy[Any]:
    return st.builds(call, st.just(name), KEYS, VALUES, timeout=TIMEOUTS, version=VERSIONS)


def reads(*names: str) -> st.SearchStrategy[Any]:
    return st.builds(call, st.sampled_from(names), KEYS, version=VERSIONS)


SOME_KEYS = st.lists(KEYS, max_size=3)
STEPS = st.one_of(
    st.builds(call, st.just("get"), KEYS, st.just(MISSING), version=VERSIONS),
    stores("set"),
    stores("add"),
    stores("get_or_set"),
    reads("has_key", "delete"),
    st.builds(call, st.sampled_from(["incr", "decr"]), KEYS, st.integers(-3, 3), version=VERSIONS),
    st.builds(call, st.just("touch"), KEYS, TIMEOUTS, version=VERSIONS),
    st.builds(call, st.sampled_from(["get_many", "delete_many"]), SOME_KEYS, version=VERSIONS),
    st.builds(call, st.just("set_many"), st.dictionaries(KEYS, VALUES), TIMEOUTS, VERSIONS),
    st.just(call("clear")),
    st.builds(call, st.just("let pass"), st.sampled_from([4, 10, 50])),
)


class Model(LocMemCache):
    """LocMemCache, except that a value which has expired is not there to be deleted."""

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self.has_key(key, version) and super().delete(key, version)


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (TypeError, ValueError) as error:
        return type(error)


async def aoutcome(function: Callable[[], Any]) -> Any:
    try:
        return await function()
    except (TypeError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("asynchronous", [False, True])
@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=25))
def test_no_difference(
    redis_server: RedisServer, storage: str, asynchronous: bool, steps: list[Any]
) -> None:
    with (
        TemporaryDirectory() as directory,
        caches_on(storage, Path(directory), redis_server.url) as caches,
    ):
        ours: Any = caches.open(KEY_PREFIX=uuid4().hex)
        model: Any = Model(uuid4().hex, {"OPTIONS": {"MAX_ENTRIES": 1000}})
        clock = ManualClock()

        async def compare() -> None:
            for name, arguments, named in steps:
                if name == "let pass":
                    clock.advance(*arguments)
                    caches.let_pass(*arguments)
                    continue
                expected = outcome(lambda: getattr(model, name)(*arguments, **named))  # noqa: B023
                if asynchronous:
                    use = getattr(ours, f"a{name}")
                    got = await aoutcome(lambda: use(*arguments, **named))  # noqa: B023
                else:
                    got = outcome(lambda: getattr(ours, name)(*arguments, **named))  # noqa: B023
                assert got == expected, (name, arguments, named)
                assert type(got) is type(expected)

        with mock.patch("time.time", clock.time):
            asyncio.run(compare())


def test_the_model_sees_the_clock() -> None:
    clock = ManualClock()
    model: Any = Model(uuid4().hex, {})
    with mock.patch("time.time", clock.time):
        model.set("k", 1, 10)
        clock.advance(10)
        assert model.get("k") is None
