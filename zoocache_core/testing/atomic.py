"""Entries change as a whole, whoever else changes them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any

from zoocache_core.atomic import add, discard, update
from zoocache_core.flows import arun, run
from zoocache_core.lock import Lock, LockError
from zoocache_core.missing import MISSING
from zoocache_core.testing.contract import Contract
from zoocache_core.testing.threads import in_threads

__all__ = ["AtomicContract"]


class AtomicContract(Contract):
    """Entries change as a whole, whoever else changes them."""

    def test_add_stores_only_what_is_not_there(self) -> None:
        self.reopen(read_extend_ttl=False)
        assert run(add(self.engine, "k", "first", ("t:1",), self.ttl)) is True
        assert run(add(self.engine, "k", "second")) is False
        assert self.engine.get("k") == "first"
        self.engine.invalidate("t")
        assert run(add(self.engine, "k", "after the invalidation", (), self.ttl)) is True
        assert self.engine.get("k") == "after the invalidation"
        self.pass_time(self.ttl)
        assert run(add(self.engine, "k", None)) is True
        assert run(add(self.engine, "k", "third")) is False
        self.engine.clear()
        assert run(add(self.engine, "k", "after the clearing")) is True
        assert self.engine.get("k") == "after the clearing"

    def test_update_keeps_deps_and_lifetime(self) -> None:
        self.reopen(read_extend_ttl=False)
        self.engine.set("k", [1], deps="t:1", ttl=self.ttl)
        self.pass_time(self.ttl * 0.6)
        assert run(update(self.engine, "k", lambda value: [*value, 2])) == [1, 2]
        assert self.engine.get("k") == [1, 2]
        self.pass_time(self.ttl * 0.6)
        assert self.engine.get("k") is None
        assert run(update(self.engine, "k", lambda value: value)) is MISSING
        self.engine.set("k", 1, deps="t:1")
        assert run(update(self.engine, "k", lambda value: value + 1)) == 2
        self.engine.invalidate("t")
        assert run(update(self.engine, "k", lambda value: value + 1)) is MISSING
        assert self.engine.get("k") is None

    def test_an_update_does_not_outlive_an_invalidation_that_comes_in_between(self) -> None:
        self.engine.set("k", 1, deps="t")

        def change(value: int) -> int:
            self.engine.invalidate("t")
            return value + 1

        run(update(self.engine, "k", change))
        assert self.engine.get("k") is None

    def test_a_record_that_changed_is_not_replaced(self) -> None:
        storage = self.engine.storage
        self.engine.set("k", "old", ttl=self.ttl)
        seen = storage.get_strong("k")
        self.engine.set("k", "new", ttl=self.ttl)
        entry = self.engine.entry(*storage.freeze("k", "mine"), (), self.engine.stamp(), None)
        assert storage.replace("k", seen, entry) is False
        assert storage.replace("k", None, entry) is False
        assert storage.replace("k", seen, None) is False
        assert self.engine.get("k") == "new"
        assert storage.replace("other", seen, entry) is False
        assert storage.replace("k", storage.get_strong("k"), entry) is True
        assert self.engine.get("k") == "mine"
        assert storage.replace("k", storage.get_strong("k"), None) is True
        assert self.engine.get("k", MISSING) is MISSING

    def test_discard_removes_only_what_is_wanted(self) -> None:
        self.engine.set("k", 1)
        assert run(discard(self.engine, "k", lambda value: value == 2)) is False
        assert self.engine.get("k") == 1
        assert run(discard(self.engine, "k", lambda value: value == 1)) is True
        assert run(discard(self.engine, "k", lambda value: value == 1)) is False
        assert self.engine.get("k") is None

    def test_updates_of_many_threads_are_all_there(self) -> None:
        self.engine.set("k", 0)
        barrier = threading.Barrier(4)

        def work(index: int) -> list[int]:
            barrier.wait(10)
            return [run(update(self.engine, "k", lambda value: value + 1)) for _ in range(50)]

        seen = in_threads(4, work)
        assert sorted(number for numbers in seen for number in numbers) == list(range(1, 201))
        assert self.engine.get("k") == 200

    def test_one_of_many_threads_adds(self) -> None:
        for number in range(20):
            barrier = threading.Barrier(4)

            def work(index: int, key: str = f"k{number}", gate: Any = barrier) -> bool:
                gate.wait(10)
                return run(add(self.engine, key, index))

            added = in_threads(4, work)
            assert added.count(True) == 1
            assert self.engine.get(f"k{number}") == added.index(True)

    def test_read_modify_write_for_asynchronous_callers(self) -> None:
        async def main() -> None:
            engine = self.engine
            assert await arun(add(engine, "k", 1)) is True
            assert await arun(add(engine, "k", 2)) is False
            changes = [arun(update(engine, "k", lambda value: value + 1)) for _ in range(20)]
            assert sorted(await asyncio.gather(*changes)) == list(range(2, 22))
            assert await arun(discard(engine, "k", lambda value: value == 21)) is True
            assert await engine.storage.aremaining("k") is None

        asyncio.run(main())

    def test_a_lock_is_held_by_one_at_a_time(self) -> None:
        inside: list[int] = []
        most = 0

        def work(index: int) -> None:
            nonlocal most
            for _ in range(5):
                with Lock(self.engine, "name", timeout=60):
                    inside.append(index)
                    most = max(most, len(inside))
                    time.sleep(0)
                    inside.remove(index)

        in_threads(4, work)
        assert most == 1
        assert inside == []

    def test_a_lock_ends_by_itself(self) -> None:
        first = Lock(self.engine, "name", timeout=self.ttl, blocking_timeout=0)
        second = Lock(self.engine, "name", timeout=self.ttl, blocking_timeout=0)
        assert first.acquire() is True
        self.pass_time(self.ttl * 0.6)
        assert second.acquire() is False
        first.extend()
        self.pass_time(self.ttl * 0.6)
        assert second.acquire() is False
        self.pass_time(self.ttl * 0.6)
        assert second.acquire() is True
        for lost in (first.extend, first.release):
            try:
                lost()
            except LockError:
                continue
            raise AssertionError("a lock that ended was taken for held")
        assert Lock(self.engine, "name", self.ttl).acquire(blocking=False) is False
        second.release()
        assert first.acquire() is True

    def test_remaining_lifetime(self) -> None:
        self.reopen(read_extend_ttl=False)
        storage = self.engine.storage
        self.engine.set("k", 1, ttl=self.ttl)
        self.engine.set("forever", 2)
        left = storage.remaining("k")
        assert left is not None
        assert self.ttl * 0.9 < left <= self.ttl
        assert storage.remaining("forever") == math.inf
        assert storage.remaining("missing") is None
        self.pass_time(self.ttl)
        assert storage.remaining("k") is None
