"""Whose the activities in databases are: threads, tasks, and those that inherit a context."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from zoocache_core import Engine, isolation


class Writing:
    """A transaction that has written ``row``, since the position it began at."""

    def __init__(self, engine: Engine) -> None:
        self.engines = (engine,)
        self.owners: set[Any] = set()
        self.began = engine.stamp()

    def hides(self, engine: Engine, deps: Collection[str], stamp: int) -> bool:
        return "row" in deps

    def uncommitted(self) -> bool:
        return True

    def stamp(self, engine: Engine) -> int | None:
        return self.began


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    engine.set("k", 1, deps="row")
    engine.set("other", 2, deps="another.row")
    yield engine
    engine.reset()


@pytest.fixture
def writing(engine: Engine) -> Iterator[Writing]:
    writing = Writing(engine)
    yield writing
    isolation.end(writing)


def test_it_is_the_business_of_the_thread_that_began_it(engine: Engine, writing: Writing) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(engine.get, "k").result(20)
        isolation.begin(writing)
        assert engine.get("k") is None
        assert engine.get("other") == 2
        assert engine.set("k", 2) is False
        assert pool.submit(engine.get, "k").result(20) == 1
        isolation.end(writing)
        assert engine.get("k") == 1
        assert not engine.guards


def test_a_thread_may_join_it(engine: Engine, writing: Writing) -> None:
    with ThreadPoolExecutor(1) as pool:
        isolation.begin(writing)
        pool.submit(isolation.join, writing).result(20)
        assert pool.submit(engine.get, "k").result(20) is None
        isolation.end(writing)
        assert pool.submit(engine.get, "k").result(20) == 1
        pool.submit(isolation.join, writing).result(20)
        assert pool.submit(engine.get, "k").result(20) == 1


def test_a_copied_context_inherits_it(engine: Engine, writing: Writing) -> None:
    with ThreadPoolExecutor(1) as pool:
        isolation.begin(writing)
        inherited = copy_context()
        assert pool.submit(inherited.run, engine.get, "k").result(20) is None
        isolation.end(writing)
        assert pool.submit(inherited.run, engine.get, "k").result(20) == 1


def test_what_was_left_by_a_thread_that_has_ended_is_everybodys(
    engine: Engine, writing: Writing
) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(isolation.begin, writing).result(20)
        assert engine.get("k") == 1
    assert engine.get("k") is None


async def test_tasks_of_one_thread_are_apart(engine: Engine, writing: Writing) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        isolation.begin(writing)
        assert engine.get("k") is None
        began.set()
        await go.wait()
        assert await asyncio.create_task(engine.get_async("k")) is None

    task = asyncio.create_task(write())
    await began.wait()
    assert engine.get("k") == 1
    go.set()
    await task
    assert engine.get("k") is None


def test_what_it_reads_is_as_old_as_itself(engine: Engine, writing: Writing) -> None:
    isolation.begin(writing)
    engine.invalidate("something")
    assert engine.stamp() == writing.began
    isolation.end(writing)
    assert engine.stamp() > writing.began


def test_engines_that_it_does_not_concern(engine: Engine, writing: Writing) -> None:
    other = Engine()
    other.set("k", 1, deps="row")
    isolation.begin(writing)
    assert other.get("k") == 1
    assert not other.guards
    isolation.end(writing)
    other.reset()


def test_the_guard_stays_for_the_last_of_them(engine: Engine, writing: Writing) -> None:
    second = Writing(engine)
    isolation.begin(writing)
    isolation.begin(second)
    isolation.end(writing)
    isolation.end(writing)
    assert engine.get("k") is None
    isolation.end(second)
    assert not engine.guards


def test_what_is_dropped_without_an_end(engine: Engine, writing: Writing) -> None:
    dropped = Writing(engine)
    isolation.begin(dropped)
    assert engine.get("k") is None
    del dropped
    gc.collect()
    assert engine.get("k") == 1
    isolation.begin(writing)
    isolation.end(writing)
    assert not engine.guards


def test_an_engine_that_is_configured_anew(engine: Engine, writing: Writing) -> None:
    isolation.begin(writing)
    engine.reset()
    engine.configure()
    engine.set("k", 1, deps="row", stamp=0)
    isolation.join(writing)
    assert engine.guards
    isolation.end(writing)
    assert not engine.guards


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_none_of_its_parents(engine: Engine, writing: Writing) -> None:
    isolation.begin(writing)
    child = os.fork()
    if child == 0:
        os._exit(0 if engine.get("k") == 1 and not engine.guards else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert engine.get("k") is None
