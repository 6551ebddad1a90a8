"""Locks for tasks, and what goes wrong with them. Their exclusiveness is part of the contract."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest

from zoocache_core import Engine
from zoocache_core.lock import Lock, LockError
from zoocache_core.storage.base import StorageUnavailable
from zoocache_core.testing import ManualClock


async def test_tasks_hold_it_one_at_a_time() -> None:
    engine = Engine()
    inside = 0

    async def work() -> None:
        nonlocal inside
        async with Lock(engine, "name", timeout=60):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(10)))


async def test_a_task_can_extend_it_and_lose_it() -> None:
    clock = ManualClock()
    engine = Engine(clock=clock)
    lock = Lock(engine, "name", timeout=10)
    async with lock:
        clock.advance(9)
        await lock.aextend(30)
        clock.advance(29)
        assert await Lock(engine, "name", timeout=1).aacquire(blocking=False) is False
    assert await lock.aacquire(blocking=False) is True
    clock.advance(10)
    with pytest.raises(LockError, match="not held any more"):
        await lock.arelease()


async def test_waiting_ends() -> None:
    engine = Engine()
    with Lock(engine, "name", timeout=60):
        impatient = Lock(engine, "name", timeout=60, blocking_timeout=0.01)
        with pytest.raises(LockError, match="not free within"), impatient:
            pass
        with pytest.raises(LockError, match="not free within"):
            async with impatient:
                pass
        assert Lock(engine, "other", timeout=60).acquire(blocking=False) is True


def test_an_object_is_not_reentrant() -> None:
    lock = Lock(Engine(), "name", timeout=60)
    with lock, pytest.raises(LockError, match="already"):
        lock.acquire()
    with lock:
        pass


def test_reads_do_not_prolong_it() -> None:
    clock = ManualClock()
    engine = Engine(clock=clock, read_extend_ttl=True)
    Lock(engine, "name", timeout=10).acquire()
    other = Lock(engine, "name", timeout=10)
    clock.advance(6)
    assert other.acquire(blocking=False) is False
    clock.advance(6)
    assert other.acquire(blocking=False) is True


def test_a_storage_that_is_down_is_no_free_lock_and_no_held_one() -> None:
    engine = Engine()
    lock = Lock(engine, "name", timeout=60)
    down = StorageUnavailable("down")
    unreadable = mock.patch.object(engine.storage, "get_strong", side_effect=down)
    with unreadable, pytest.raises(LockError, match="down"):
        lock.acquire()
    lock.acquire()
    unwritable = mock.patch.object(engine.storage, "replace", side_effect=down)
    with unwritable, pytest.raises(LockError, match="down"):
        lock.release()


@pytest.mark.parametrize("timeout", [0, -1, None, "1"])
def test_a_timeout_is_a_number_of_seconds(timeout: object) -> None:
    with pytest.raises(ValueError, match="timeout="):
        Lock(Engine(), "name", timeout=timeout)  # type: ignore[arg-type]
