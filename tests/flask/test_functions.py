"""``cacheable`` with the engine of the current application."""

from __future__ import annotations

import asyncio
import threading

from flask import Flask

from zoocache_flask import ZooCache, cacheable, clear, invalidate, invalidate_async


def test_a_function_and_what_it_exposes(app: Flask) -> None:
    calls = []

    @cacheable(deps=lambda x: f"x:{x}", namespace="double")
    def double(x: int) -> int:
        """Twice as much."""
        calls.append(x)
        return 2 * x

    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    with app.app_context():
        assert [double(1), double(x=1), double(2)] == [2, 2, 4]
        assert calls == [1, 2]
        double.invalidate(1)
        assert double.cached_value(2) == 4
        assert [double(1), double(2)] == [2, 4]
        assert calls == [1, 2, 1]
        double.invalidate_all()
        assert [double(1), double(2)] == [2, 4]
        assert len(calls) == 5
        invalidate("x:2")
        assert [double(1), double(2)] == [2, 4]
        assert len(calls) == 6
        clear()
        assert double(1) == 2
        assert len(calls) == 7
        assert double.uncached(1) == 2
        assert double.key(1) == double.key(x=1)


class Shelf:
    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    def __zoocache_key__(self) -> str:
        return self.name

    @cacheable
    def height(self, unit: str) -> str:
        self.calls += 1
        return f"{self.name} in {unit}"

    @classmethod
    @cacheable
    def kind(cls) -> str:
        return cls.__name__

    @cacheable
    async def width(self) -> str:
        self.calls += 1
        return f"{self.name} wide"


def test_methods(app: Flask) -> None:
    first, second = Shelf("a"), Shelf("b")
    with app.app_context():
        for shelf in (first, second):
            assert [shelf.height("cm") for _ in range(2)] == [f"{shelf.name} in cm"] * 2
            assert shelf.calls == 1
        first.height.invalidate("cm")
        assert (first.height("cm"), second.height("cm")) == ("a in cm", "b in cm")
        assert (first.calls, second.calls) == (2, 1)
        Shelf.height.invalidate(second, "cm")
        second.height("cm")
        assert second.calls == 2
        assert Shelf.kind() == "Shelf"


def test_coroutines_of_several_event_loops(app: Flask) -> None:
    calls = []

    @cacheable(deps="source")
    async def load(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0)
        return x

    shelf = Shelf("c")
    with app.app_context():

        async def both() -> list[int]:
            assert await shelf.width() == "c wide"
            return await asyncio.gather(load(1), load(1), load(2))

        assert asyncio.run(both()) == [1, 1, 2]
        assert asyncio.run(both()) == [1, 1, 2]
        assert calls == [1, 2]
        assert shelf.calls == 1
        asyncio.run(invalidate_async("source"))
        assert asyncio.run(both()) == [1, 1, 2]
        assert calls == [1, 2, 1, 2]


def test_one_computation_for_many_threads(app: Flask) -> None:
    calls, barrier = [], threading.Barrier(6)

    @cacheable
    def slow() -> str:
        calls.append(1)
        return "value"

    def work() -> None:
        with app.app_context():
            barrier.wait(10)
            assert slow() == "value"

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert calls == [1]


def test_the_cache_object_has_it_all(app: Flask) -> None:
    cache = ZooCache()
    calls = []

    @cache.cacheable(deps="n")
    def number() -> int:
        calls.append(1)
        return len(calls)

    with app.app_context():
        assert [number(), number()] == [1, 1]
        cache.invalidate("n")
        assert number() == 2
        assert cache.engine.get("missing", "default") == "default"
        asyncio.run(cache.invalidate_async("n"))
        assert number() == 3
