"""For tests: a clock moved by hand, and the behaviour that every storage must show.

:class:`StorageContract` is a set of pytest test methods written against an :class:`Engine`. A
storage's own tests subclass it and say how an engine on that storage is opened; applications and
third-party storages may do the same.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from zoocache_core.atomic import add, discard, update
from zoocache_core.deps import add_deps
from zoocache_core.engine import Engine
from zoocache_core.errors import InvalidTag
from zoocache_core.flows import arun, run
from zoocache_core.lock import Lock, LockError
from zoocache_core.missing import MISSING

__all__ = ["ManualClock", "StorageContract"]


class ManualClock:
    """A clock that stands still until :meth:`advance` is called."""

    def __init__(self, monotonic: float = 1_000.0, time: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._time = time

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._time

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._monotonic += seconds
        self._time += seconds


def in_threads(count: int, work: Callable[[int], Any], timeout: float = 30) -> list[Any]:
    """Run ``work(0)`` … ``work(count - 1)`` at once; their results, or the first exception."""
    results: list[Any] = [MISSING] * count
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            results[index] = work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"a thread did not finish within {timeout} seconds")
    if errors:
        raise errors[0]
    return results


class StorageContract:
    """What an engine does on any storage. Subclasses implement :meth:`open` and :meth:`pass_time`.

    ``second`` opens another engine on the same store, as another process would; ``None`` where
    entries are not shared.
    """

    ttl: float = 10.0
    """A lifetime that :meth:`pass_time` can let pass."""

    engine: Engine

    def open(self, **settings: Any) -> Engine:
        """An engine on an empty store."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass for the storage."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self.engine = self.open()

    def teardown_method(self) -> None:
        self.engine.reset()

    def reopen(self, **settings: Any) -> Engine:
        """The engine of this test anew, with other settings."""
        self.engine.reset()
        self.engine = self.open(**settings)
        return self.engine

    # Values

    def test_a_value_comes_back_equal_and_of_its_type(self) -> None:
        values = [
            None,
            True,
            0,
            -(2**80),
            1.5,
            "text",
            b"bytes",
            (1, (2, "x")),
            [1, [2.0]],
            {"a": 1, 2: (3,)},
            {1, 2},
            frozenset({"x"}),
            decimal.Decimal("1.10"),
            uuid.UUID(int=7),
            dt.datetime(2024, 2, 29, 12, 30, 1, 999_999, tzinfo=dt.timezone.utc),
            dt.date(2024, 2, 29),
            dt.time(23, 59, 59, 1),
            dt.timedelta(days=-1, microseconds=1),
        ]
        for number, value in enumerate(values):
            self.engine.set(f"k{number}", value)
            back = self.engine.get(f"k{number}", MISSING)
            assert back == value
            assert type(back) is type(value)

    def test_changing_a_value_does_not_change_the_cache(self) -> None:
        original: dict[str, list[int]] = {"list": [1]}
        self.engine.set("k", original)
        original["list"].append(2)
        self.engine.get("k")["list"].append(3)
        assert self.engine.get("k") == {"list": [1]}

    def test_a_value_that_cannot_be_stored_is_returned_and_not_cached(self) -> None:
        calls = []

        @self.engine.cacheable
        def lock() -> Any:
            calls.append(1)
            return threading.Lock()

        first, second = lock(), lock()
        assert first is not second
        assert len(calls) == 2

    # Keys

    def test_none_is_a_hit(self) -> None:
        self.engine.set("k", None)
        assert self.engine.get("k", "default") is None
        assert self.engine.get("other", "default") == "default"

    def test_keys_of_any_length_and_script(self) -> None:
        keys = ["k", "k" * 5000, "k" * 5001, "schlüssel ☃", "with space\nand newline"]
        self.engine.set_many({key: number for number, key in enumerate(keys)})
        assert self.engine.get_many(keys) == {key: n for n, key in enumerate(keys)}

    def test_delete(self) -> None:
        self.engine.set("k", 1)
        assert self.engine.delete("k") is True
        assert self.engine.delete("k") is False
        assert self.engine.get("k") is None

    def test_get_many_leaves_out_what_is_missing_or_stale(self) -> None:
        self.engine.set_many({"a": None, "b": 2}, deps="t:1")
        self.engine.set("c", 3, deps="t:2")
        self.engine.invalidate("t:2")
        assert self.engine.get_many(["a", "b", "c", "d"]) == {"a": None, "b": 2}

    # Invalidation

    def test_an_invalidation_reaches_what_depends_on_the_tag_or_below(self) -> None:
        for hit in ("a:b:c", "a:b", "a"):
            self.engine.set("k", 1, deps="a:b:c")
            self.engine.invalidate(hit)
            assert self.engine.get("k") is None, hit

    def test_an_invalidation_spares_siblings_parents_and_children_of_other_names(self) -> None:
        self.engine.set("parent", 1, deps="a")
        self.engine.set("sibling", 2, deps="a:x")
        self.engine.set("longer", 3, deps="a:bc")
        self.engine.set("free", 4)
        self.engine.invalidate("a:b")
        assert self.engine.get_many(["parent", "sibling", "longer", "free"]) == {
            "parent": 1,
            "sibling": 2,
            "longer": 3,
            "free": 4,
        }

    def test_a_wildcard_dep_is_reached_from_below(self) -> None:
        for hit in ("a", "a:b", "a:b:c", "a:b:c:d"):
            self.engine.set("k", 1, deps="a:b:*")
            self.engine.invalidate(hit)
            assert self.engine.get("k") is None, hit
        self.engine.set("k", 1, deps="a:b:*")
        self.engine.invalidate("a:c", "b")
        assert self.engine.get("k") == 1

    def test_clear_forgets_everything(self) -> None:
        self.engine.set_many({"a": 1, "b": 2})
        self.engine.clear()
        assert self.engine.get_many(["a", "b"]) == {}
        self.engine.set("a", 3)
        assert self.engine.get("a") == 3

    def test_a_value_stored_after_an_invalidation_but_read_before_it_is_dead(self) -> None:
        stamp = self.engine.stamp()
        self.engine.invalidate("t")
        self.engine.set("k", "old", deps="t", stamp=stamp)
        assert self.engine.get("k") is None

    def test_set_is_as_old_as_the_miss_before_it(self) -> None:
        assert self.engine.get("k") is None
        self.engine.invalidate("t")
        self.engine.set("k", "read before the invalidation", deps="t")
        assert self.engine.get("k") is None

    def test_a_value_computed_right_after_an_invalidation_is_cached(self) -> None:
        self.engine.invalidate("t")
        self.engine.set("k", 1, deps="t")
        assert self.engine.get("k") == 1

    def test_an_invalidation_during_the_computation_makes_its_result_unusable(self) -> None:
        source = ["old"]

        @self.engine.cacheable(deps="t")
        def read() -> str:
            value = source[0]
            if value == "old":
                source[0] = "new"
                self.engine.invalidate("t")
            return value

        assert read() == "old"
        assert read() == "new"
        assert read.cached_value() == "new"

    def test_prune_never_resurrects(self) -> None:
        self.engine.set("dead", 1, deps="a:b")
        self.engine.invalidate("a:b", "a:c")
        self.pass_time(self.ttl)
        self.engine.prune(self.ttl / 2)
        assert self.engine.get("dead") is None
        self.engine.set("k", 2, deps="a:b")
        assert self.engine.get("k") == 2

    def test_malformed_tags_invalidate_nothing(self) -> None:
        self.engine.set("k", 1, deps="good")
        try:
            self.engine.invalidate("good", "bad tag")
        except InvalidTag:
            pass
        else:
            raise AssertionError("a malformed tag was accepted")
        assert self.engine.get("k") == 1

    # Lifetime

    def test_a_ttl_passes(self) -> None:
        self.reopen(read_extend_ttl=False)
        self.engine.set("k", 1, ttl=self.ttl)
        self.engine.set("kept", 2)
        assert self.engine.get("k") == 1
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None
        assert self.engine.get("kept") == 2

    def test_reading_restarts_a_ttl(self) -> None:
        self.engine.set("k", 1, ttl=self.ttl)
        for _ in range(4):
            self.pass_time(self.ttl * 0.6)
            assert self.engine.get("k") == 1
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None

    def test_touch(self) -> None:
        self.reopen(read_extend_ttl=False)
        self.engine.set_many({"k": 1, "other": 2}, ttl=self.ttl)
        self.pass_time(self.ttl * 0.6)
        assert self.engine.touch("k", self.ttl) is True
        assert self.engine.touch("missing", self.ttl) is False
        self.pass_time(self.ttl * 0.6)
        assert self.engine.get("k") == 1
        assert self.engine.get("other") is None
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None

    def test_default_ttl_and_its_exception(self) -> None:
        self.reopen(read_extend_ttl=False, default_ttl=self.ttl)
        self.engine.set("default", 1)
        self.engine.set("forever", 2, ttl=float("inf"))
        self.pass_time(self.ttl)
        assert self.engine.get("default") is None
        assert self.engine.get("forever") == 2

    # Read-modify-write

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

    # Cached computations

    def test_a_page_depends_on_its_parts_hit_or_miss(self) -> None:
        source = {"part": 1}

        @self.engine.cacheable
        def part() -> int:
            add_deps(["part"])
            return source["part"]

        @self.engine.cacheable
        def page(name: str) -> tuple[str, int]:
            return name, part()

        assert page("miss") == ("miss", 1)
        assert page("hit") == ("hit", 1)
        source["part"] = 2
        self.engine.invalidate("part")
        assert page("miss") == ("miss", 2)
        assert page("hit") == ("hit", 2)

    def test_forgetting_one_call_forgets_what_used_it_and_nothing_else(self) -> None:
        count = {"inner": 0, "outer": 0}

        @self.engine.cacheable
        def inner(x: int) -> int:
            count["inner"] += 1
            return x

        @self.engine.cacheable
        def outer(x: int) -> int:
            count["outer"] += 1
            return inner(x)

        for _ in range(2):
            outer(1), outer(2)
        assert count == {"inner": 2, "outer": 2}
        inner.invalidate(1)
        outer(1), outer(2)
        assert count == {"inner": 3, "outer": 3}
        inner.invalidate_all()
        outer(1), outer(2)
        assert count == {"inner": 5, "outer": 5}

    def test_one_computation_for_many_threads(self) -> None:
        calls: list[int] = []
        barrier = threading.Barrier(8)

        @self.engine.cacheable
        def slow(x: int) -> list[int]:
            calls.append(x)
            return [x]

        def work(index: int) -> list[int]:
            barrier.wait(10)
            return slow(1)

        results = in_threads(8, work)
        assert results == [[1]] * 8
        assert calls == [1]
        assert len({id(result) for result in results}) == 8, "each caller gets its own copy"

    def test_async(self) -> None:
        calls: list[int] = []

        @self.engine.cacheable(deps=lambda x: f"t:{x}")
        async def slow(x: int) -> int:
            calls.append(x)
            await asyncio.sleep(0)
            return x

        async def main() -> None:
            assert await asyncio.gather(*(slow(1) for _ in range(5))) == [1] * 5
            assert calls == [1]
            await self.engine.invalidate_async("t:1")
            assert await slow(1) == 1
            assert calls == [1, 1]
            await self.engine.set_async("k", 1, ttl=self.ttl)
            assert await self.engine.get_async("k") == 1
            assert await self.engine.touch_async("k", self.ttl) is True
            await self.engine.set_many_async({"a": 1, "b": 2})
            assert await self.engine.get_many_async(["a", "b", "c"]) == {"a": 1, "b": 2}
            assert await self.engine.delete_async("k") is True
            await self.engine.clear_async()
            assert await self.engine.get_async("a") is None

        asyncio.run(main())

    def test_stats_tell_what_happened(self) -> None:
        self.engine.get("k")
        self.engine.set("k", 1, deps="t")
        self.engine.get("k")
        self.engine.invalidate("t")
        self.engine.get("k")
        stats = self.engine.stats()
        assert (stats.hits, stats.misses, stats.stale) == (1, 2, 1)
        assert (stats.sets, stats.invalidations, stats.errors) == (1, 1, 0)
