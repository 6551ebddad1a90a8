"""Cached computations depend on their parts and run once."""

from __future__ import annotations

import asyncio
import threading

from zoocache_core.deps import add_deps
from zoocache_core.testing.contract import Contract
from zoocache_core.testing.threads import in_threads

__all__ = ["ComputationsContract"]


class ComputationsContract(Contract):
    """Cached computations depend on their parts and run once."""

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
