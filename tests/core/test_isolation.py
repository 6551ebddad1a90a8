"""Whose the activities in databases are: threads, tasks, and those that inherit a context."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from zoocache_core import Engine, isolation
from zoocache_core.guards import Guard, Guards
from zoocache_core.moments import Moment
from zoocache_core.testing import in_threads
from zoocache_core.transactions import Transaction


class Reading(Transaction):
    """A transaction that has written nothing yet."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engines = (engine,)

    @property
    def engines(self) -> tuple[Engine, ...]:
        return self._engines


class Writing(Reading):
    """A transaction that has written ``row``."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.written.touch("row")
        self.since = Moment(self.engines)


class OfThread(Writing):
    """One whose connection belongs to a thread."""

    by_thread = True


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
    assert engine.stamp() == writing.since.position(engine)
    isolation.end(writing)
    assert engine.stamp() > writing.since.position(engine)


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
    engine.invalidate("something", "else")
    engine.reset()
    engine.configure()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(engine.set, "k", 1, "row").result(20)
        assert pool.submit(engine.get, "k").result(20) == 1
    assert engine.get("k") is None
    assert engine.stamp() == 0
    isolation.end(writing)
    assert engine.get("k") == 1
    assert not engine.guards


def test_one_that_is_configured_in_the_middle(writing: Writing) -> None:
    engine = Engine.unconfigured()
    writing._engines = (engine,)
    isolation.begin(writing)
    engine.configure()
    isolation.reconsider(engine)
    assert engine.set("k", 1, deps="row") is False
    isolation.end(writing)
    assert engine.set("k", 1, deps="row")
    engine.reset()


class TestQuiet:
    """What forbids nothing costs nothing."""

    def test_reading_what_everybody_reads(self, engine: Engine) -> None:
        reading = Reading(engine)
        reading.start()
        assert not engine.guards
        assert engine.get("k") == 1
        assert engine.set("k", 2, deps="row")
        reading.stop()
        assert not engine.guards

    def test_until_it_writes(self, engine: Engine) -> None:
        reading = Reading(engine)
        reading.start()
        reading.touch(["row"])
        assert engine.get("k") is None
        assert engine.get("other") == 2
        assert engine.set("k", 2) is False
        reading.stop()
        assert not engine.guards
        assert engine.get("k") == 1

    @pytest.mark.parametrize("tag", ["known", "new"])
    def test_until_others_write(self, engine: Engine, tag: str) -> None:
        # One has a node already, and takes a shorter way.
        engine.invalidate("known")
        reading = Reading(engine)
        reading.start()
        with ThreadPoolExecutor(1) as pool:
            assert engine.get("k") == 1
            pool.submit(engine.invalidate, tag).result(20)
            pool.submit(engine.set, "k", "newer", "row").result(20)
            assert pool.submit(engine.get, "k").result(20) == "newer"
            # Older than the transaction is not newer than what it reads.
            assert engine.get("other") == 2
            assert engine.get("k") is None
            engine.set("of mine", 1, deps=tag)
            assert pool.submit(engine.get, "of mine").result(20) is None
        reading.stop()
        assert not engine.guards
        assert engine.get("k") == "newer"

    def test_until_another_process_writes(self, tmp_path: Path) -> None:
        """Nobody in this process has heard of it before the position is asked for."""
        mine, theirs = (Engine(storage_url=f"lmdb://{tmp_path}") for _ in range(2))
        reading = Reading(mine)
        reading.start()
        theirs.invalidate("row")
        assert not mine.guards
        assert mine.stamp() == reading.since.position(mine) < theirs.stamp()
        mine.set("k", "older", deps="row")
        assert theirs.get("k") is None
        theirs.set("k", "newer", deps="row")
        assert mine.get("k") is None
        reading.stop()
        assert mine.get("k") == "newer"
        mine.reset()
        theirs.reset()

    def test_a_quiet_one_that_ends_leaves_the_guard_to_the_others(self, engine: Engine) -> None:
        quiet, dirty = Reading(engine), Reading(engine)
        quiet.start()
        dirty.start()
        dirty.touch(["row"])
        quiet.stop()
        assert engine.get("k") is None
        dirty.stop()
        assert not engine.guards

    def test_one_that_has_undone_all_it_wrote_is_quiet_again(self, engine: Engine) -> None:
        first, second = Reading(engine), Reading(engine)
        first.start()
        second.start()
        first.savepoint("s")
        first.touch(["row"])
        first.undo("s")
        second.stop()
        assert not engine.guards
        first.touch(["row"])
        assert engine.get("k") is None
        first.stop()

    def test_one_that_goes_on_to_read_an_older_snapshot(self, engine: Engine) -> None:
        reading = Reading(engine)
        reading.start()
        assert engine.get("k") == 1
        reading.read_older()
        engine.set("k", 2, deps="row")
        assert engine.stamp() == 0
        engine.invalidate("something")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(engine.set, "k", 3, "row").result(20)
        assert engine.get("k") is None
        reading.stop()
        assert engine.get("k") == 3

    def test_one_that_reads_an_older_snapshot_is_not_quiet(self, engine: Engine) -> None:
        engine.invalidate("something")
        engine.set("k", 1, deps="row")
        reading = Reading(engine)
        reading.start()
        reading.read_older()
        assert engine.get("k") is None
        reading.stop()

    def test_a_hit_is_counted_once(self, engine: Engine, writing: Writing) -> None:
        isolation.begin(writing)
        assert (engine.get("k"), engine.get("other")) == (None, 2)
        assert (engine.stats().hits, engine.stats().misses) == (1, 1)
        isolation.end(writing)

    def test_an_end_while_somebody_invalidates_waits_for_nothing(
        self, engine: Engine, writing: Writing
    ) -> None:
        """The garbage collector may end a transaction anywhere."""
        isolation.begin(writing)
        ending = threading.Thread(target=isolation.end, args=(writing,), daemon=True)
        with engine.trie.lock:
            ending.start()
            ending.join(20)
            assert not ending.is_alive()
        assert engine.get("k") == 1
        assert not engine.guards


class TestThreads:
    def test_all_tasks_of_its_thread_are_in_it(self, engine: Engine) -> None:
        writing = OfThread(engine)

        async def begin() -> None:
            isolation.begin(writing)

        async def work() -> None:
            bystander = asyncio.create_task(look())
            await asyncio.create_task(begin())
            go.set()
            assert await bystander is None

        async def look() -> Any:
            await go.wait()
            return engine.get("k")

        go = asyncio.Event()
        asyncio.run(work())
        isolation.end(writing)

    def test_what_a_thread_leaves_behind_is_nobodys(self, engine: Engine) -> None:
        writing = OfThread(engine)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(isolation.begin, writing).result(20)
        assert engine.get("k") == 1
        isolation.join(writing)
        assert engine.get("k") is None
        isolation.end(writing)

    def test_many_that_begin_write_and_end(self, engine: Engine) -> None:
        """In each, nothing is stored while it is dirty; afterwards nothing is left behind."""

        def work(number: int) -> None:
            for turn in range(100):
                one = Reading(engine)
                one.start()
                if turn % 3:
                    one.touch([f"tag:{number}"])
                    assert engine.set("k", 1) is False
                    if turn % 2:
                        engine.invalidate(f"tag:{number}")
                one.stop()
                assert engine.set(f"free {number}", 1)

        in_threads(6, work)
        engine.get("k")
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


class Meanwhile(str):
    """A key at whose lookup, and not before, somebody else commits and stores a newer value."""

    commit: Any = None

    def __hash__(self) -> int:
        commit, self.commit = self.commit, None
        if commit is not None:
            commit()
        return str.__hash__(self)


def test_a_transaction_is_not_given_what_is_committed_and_stored_during_its_lookup(
    engine: Engine,
) -> None:
    reading = Reading(engine)
    reading.start()
    assert not engine.guards

    def commit() -> None:
        engine.invalidate("row")
        engine.set("k", 2, deps="row")

    key = Meanwhile("k")
    with ThreadPoolExecutor(1) as pool:
        key.commit = lambda: pool.submit(commit).result(20)
        assert engine.hit(key) is None
    assert key.commit is None
    reading.stop()
    assert engine.get("k") == 2


def test_a_transaction_is_not_given_what_another_process_has_committed_since(
    tmp_path: Path,
) -> None:
    settings = {"storage_url": f"lmdb://{tmp_path}", "prefix": "isolation"}
    engine, other = Engine(**settings), Engine(**settings)
    try:
        engine.set("k", 1, deps="row")
        reading = Reading(engine)
        reading.start()
        assert engine.get("k") == 1
        other.invalidate("row")
        other.set("k", 2, deps="row")
        # Its own process hears of that in this very lookup.
        assert engine.get("k") is None
        reading.stop()
        assert engine.get("k") == 2
    finally:
        engine.reset()
        other.reset()


class Interrupted:
    """Guards that somebody asks for just before somebody else commits."""

    def __init__(self, guards: Guards, commit: Any) -> None:
        self.guards = guards
        self.commit = commit

    @property
    def active(self) -> tuple[Guard, ...]:
        found = self.guards.active
        commit, self.commit = self.commit, None
        if commit is not None:
            commit()
        return found

    @active.setter
    def active(self, guards: tuple[Guard, ...]) -> None:
        self.guards.active = guards


def test_what_a_transaction_stores_is_not_made_newer_by_a_commit_in_that_moment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(engine)
    reading.start()
    assert not engine.guards
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patches:
        meanwhile = Interrupted(
            engine.guarding, lambda: pool.submit(engine.invalidate, "row").result(20)
        )
        patches.setattr(engine, "guarding", meanwhile)
        engine.set("k", "as the snapshot shows it", deps="row")
        assert meanwhile.commit is None
    reading.stop()
    assert engine.get("k") is None
