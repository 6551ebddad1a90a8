"""A full cache makes room for many entries at once, where that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoocache_core import ConfigurationError, Engine
from zoocache_core.testing import ManualClock, in_threads

Open = Callable[..., Engine]


@pytest.fixture(params=["memory", "lmdb"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    url = None if request.param == "memory" else f"lmdb://{tmp_path}"
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        started.append(Engine(storage_url=url, **settings))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


@pytest.mark.parametrize(("frequency", "left"), [(None, 30), (1, 19), (3, 29), (0, 19), (40, 30)])
def test_a_share_of_the_entries_goes_at_once(start: Open, frequency: int | None, left: int) -> None:
    engine = start(max_entries=30, cull_frequency=frequency)
    for number in range(49):
        engine.set(f"k{number}", number)
        assert engine.get(f"k{number}") == number, "a new entry is not among those dropped"
    assert len(engine.get_many([f"k{number}" for number in range(49)])) == left
    assert engine.stats().entries == left
    assert engine.stats().evictions == 49 - left


@pytest.mark.parametrize(("frequency", "left"), [(2, 251), (0, 1)])
def test_a_large_share(start: Open, frequency: int, left: int) -> None:
    engine = start(max_entries=500, cull_frequency=frequency)
    engine.set_many({f"k{number}": number for number in range(500)})
    assert engine.stats().entries == 500
    engine.set("k499", "there already")
    assert engine.stats().entries == 500
    engine.set("new", 1)
    assert engine.stats().entries == left
    assert engine.get("new") == 1
    assert engine.stats().evictions == 501 - left


def test_valid_entries_are_spared_where_expired_ones_make_room(start: Open) -> None:
    clock = ManualClock()
    engine = start(max_entries=4, cull_frequency=2, read_extend_ttl=False, clock=clock)
    engine.set("short", 1, ttl=1)
    engine.set_many({"a": 1, "b": 2, "c": 3})
    clock.advance(1)
    engine.set("d", 4)
    assert engine.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 3, "d": 4}
    engine.set("d", 5)
    assert len(engine.get_many(["a", "b", "c", "d"])) == 4, "no new key, nothing to drop"


def test_threads_and_tasks_cull_together(start: Open) -> None:
    engine = start(max_entries=200, cull_frequency=2)

    def work(index: int) -> None:
        for number in range(150):
            engine.set(f"{index}:{number}", number)

    in_threads(4, work)
    assert engine.stats().entries <= 200

    async def main() -> None:
        await asyncio.gather(*(engine.set_async(f"a:{number}", number) for number in range(300)))

    asyncio.run(main())
    assert engine.stats().entries <= 200


def test_a_cull_frequency_needs_a_limit() -> None:
    with pytest.raises(ConfigurationError, match="max_entries"):
        Engine(cull_frequency=3)


def test_redis_has_a_limit_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="maxmemory"):
        Engine(storage_url="redis://localhost", max_entries=3)
