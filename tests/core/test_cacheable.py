"""The decorator: keys, deps, methods, lifetimes, and what it refuses."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import inspect
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from zoocache_core import (
    MISSING,
    Engine,
    InvalidTag,
    NotConfigured,
    UnsupportedValue,
    add_deps,
)
from zoocache_core.deps import current_scope
from zoocache_core.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock: ManualClock) -> Iterator[Engine]:
    engine = Engine(clock=clock)
    yield engine
    engine.reset()


# Keys


def test_bound_arguments_make_the_key(engine: Engine) -> None:
    @engine.cacheable
    def f(x: Any, y: Any = 2) -> Any:
        return object.__repr__(x), y

    assert f(1) == f(x=1) == f(1, 2) == f(1, y=2)
    assert f.key(1) == f.key(x=1) == f.key(1, 2)
    assert f.key(1, 3) != f.key(1)


def test_equal_values_of_different_types_are_different_calls(engine: Engine) -> None:
    @engine.cacheable
    def kind(x: Any) -> str:
        return repr(x)

    values = [1, 1.0, True, "1", 0, 0.0, -0.0, False, None, (), [], (1,), [1], b"1", 1 + 0j]
    assert [kind(value) for value in values * 2] == [repr(value) for value in values * 2]


def test_types_inside_containers_matter_and_order_in_dicts_and_sets_does_not(
    engine: Engine,
) -> None:
    calls: list[Any] = []

    @engine.cacheable
    def f(x: Any) -> str:
        calls.append(x)
        return repr(x)

    assert f([1, True]) != f([True, 1])
    assert f({"a": 1, "b": 2}) == f({"b": 2, "a": 1})
    assert f({1, 2, 3}) == f({3, 2, 1})
    assert len(calls) == 4


def test_wrong_arguments_raise_what_the_function_would(engine: Engine) -> None:
    @engine.cacheable
    def f(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="argument"):
        f()  # type: ignore[call-arg]


def test_an_argument_that_cannot_be_a_key_is_named(engine: Engine) -> None:
    @engine.cacheable
    def f(request: Any) -> None:
        return None

    with pytest.raises(UnsupportedValue, match="request"):
        f(object())


def test_two_closures_of_one_factory_do_not_share(engine: Engine) -> None:
    def factory(n: int) -> Any:
        @engine.cacheable
        def multiply(x: int) -> int:
            return x * n

        return multiply

    double, triple = factory(2), factory(3)
    assert (double(5), triple(5), double(5)) == (10, 15, 10)
    assert factory(2)(5) == 10


def test_a_closure_variable_that_is_rebound_makes_another_key(engine: Engine) -> None:
    factor = 2

    @engine.cacheable
    def multiply(x: int) -> int:
        return x * factor

    assert multiply(5) == 10
    factor = 3
    assert multiply(5) == 15


def test_two_lambdas_do_not_share(engine: Engine) -> None:
    one, two = engine.cacheable(lambda x: x + 1), engine.cacheable(lambda x: x + 2)
    assert (one(1), two(1)) == (2, 3)


def test_key_overrides_and_joins_functions(engine: Engine) -> None:
    @engine.cacheable(key=lambda user: f"user-{user}")
    def one(user: int) -> str:
        return "one"

    @engine.cacheable(key=lambda user: f"user-{user}")
    def two(user: int) -> str:
        return "two"

    assert one(1) == two(1) == "one"
    assert one.key(1) == "user-1"
    assert engine.get("user-1") == "one"
    one.invalidate_all()
    assert two(1) == "two"


def test_namespace(engine: Engine) -> None:
    @engine.cacheable(namespace="catalogue")
    def f() -> int:
        return 1

    assert f.key().startswith("catalogue:")


def test_a_mutable_default_is_part_of_the_key(engine: Engine) -> None:
    shared = [1]

    @engine.cacheable
    def f(x: int, items: list[int] = shared) -> list[int]:
        return [*items, x]

    assert f(0) == [1, 0]
    shared.append(2)
    assert f(0) == [1, 2, 0]


# Methods


class Account:
    engine = Engine.unconfigured()

    def __init__(self, number: int) -> None:
        self.number = number
        self.runs = 0

    def __zoocache_key__(self) -> int:
        return self.number

    @engine.cacheable(deps=lambda self, year: f"account:{self.number}")
    def balance(self, year: int) -> int:
        """The balance."""
        self.runs += 1
        return self.number * year

    @engine.cacheable
    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @engine.cacheable
    @staticmethod
    def add(a: int, b: int) -> int:
        return a + b

    @engine.cacheable
    async def fetch(self) -> int:
        self.runs += 1
        return self.number


class Savings(Account):
    pass


class Keyless:
    engine = Account.engine

    @engine.cacheable
    def f(self) -> int:
        return 1


@pytest.fixture
def accounts() -> Iterator[Engine]:
    Account.engine.configure()
    yield Account.engine
    Account.engine.reset()


def test_methods_know_their_object(accounts: Engine) -> None:
    one, two = Account(1), Account(2)
    assert (one.balance(10), two.balance(10), one.balance(10)) == (10, 20, 10)
    assert one.runs == 1
    assert Account(1).balance(10) == 10
    one.balance.invalidate(10)
    assert (one.balance(10), one.runs) == (10, 2)
    assert two.runs == 1
    assert two.balance.cached_value(10) == 20
    assert two.balance.cached_value(11) is MISSING
    assert Account.balance(one, year=10) == 10
    assert one.balance.key(10) == Account.balance.key(one, 10)
    assert one.balance.uncached(3) == 3
    assert Account.balance.__doc__ == "The balance."


def test_methods_of_subclasses_do_not_share(accounts: Engine) -> None:
    assert Account(1).balance.key(1) != Savings(1).balance.key(1)
    assert (Account.kind(), Savings.kind(), Account(1).kind()) == ("Account", "Savings", "Account")


def test_static_and_async_methods(accounts: Engine) -> None:
    assert Account.add(1, 2) == Account(1).add(1, 2) == 3
    account = Account(4)

    async def main() -> None:
        assert [await account.fetch(), await account.fetch()] == [4, 4]

    asyncio.run(main())
    assert account.runs == 1


def test_an_object_without_a_key_is_refused_with_the_remedy(accounts: Engine) -> None:
    with pytest.raises(UnsupportedValue, match="__zoocache_key__"):
        Keyless().f()


# Deps


def test_deps_static_iterable_and_callable(engine: Engine) -> None:
    @engine.cacheable(deps="a")
    def one() -> None:
        return None

    @engine.cacheable(deps=["a", "b"])
    def two() -> None:
        return None

    @engine.cacheable(deps=lambda x: [f"x:{x}"])
    def three(x: int) -> None:
        return None

    for tag, gone in [("a", {"one", "two"}), ("b", {"two"}), ("x:1", {"three"}), ("x:2", set())]:
        one(), two(), three(1)
        engine.invalidate(tag)
        left = {
            name
            for name, value in [
                ("one", one.cached_value()),
                ("two", two.cached_value()),
                ("three", three.cached_value(1)),
            ]
            if value is MISSING
        }
        assert left == gone


def test_static_deps_are_checked_at_decoration() -> None:
    engine = Engine.unconfigured()
    with pytest.raises(InvalidTag, match="'!'"):
        engine.cacheable(deps=["good", "bad!"])(lambda: None)


def test_deps_of_a_callable_are_checked_at_the_call(engine: Engine) -> None:
    @engine.cacheable(deps=lambda: "bad tag")
    def f() -> None:
        return None

    with pytest.raises(InvalidTag):
        f()


def test_add_deps_from_threads_and_tasks_with_a_copied_context(engine: Engine) -> None:
    @engine.cacheable
    def threaded() -> int:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(add_deps, ["thread"]))
        thread.start()
        thread.join()
        return 1

    @engine.cacheable
    async def tasked() -> int:
        async def child() -> None:
            add_deps("task")

        await asyncio.gather(child(), asyncio.to_thread(add_deps, "to_thread"))
        return 1

    for tag in ("task", "to_thread"):
        asyncio.run(tasked())
        assert tasked.cached_value() == 1
        engine.invalidate(tag)
        assert tasked.cached_value() is MISSING
    threaded()
    engine.invalidate("thread")
    assert threaded.cached_value() is MISSING


def test_add_deps_outside_of_a_computation_does_nothing_but_checks() -> None:
    add_deps("a")
    with pytest.raises(InvalidTag):
        add_deps("a b")


def test_a_page_depends_on_the_values_it_gets_by_key(engine: Engine) -> None:
    engine.set("part", 1, deps="p")

    @engine.cacheable
    def page() -> Any:
        return engine.get("part")

    assert page() == 1
    engine.invalidate("p")
    assert page.cached_value() is MISSING


def test_deps_flow_through_three_levels_and_mixed_colours(engine: Engine) -> None:
    @engine.cacheable(deps="deep")
    def inner() -> int:
        return 1

    @engine.cacheable
    async def middle() -> int:
        return inner()

    @engine.cacheable
    def outer() -> int:
        return asyncio.run(middle())

    for _ in range(2):
        assert outer() == 1
        engine.invalidate("deep")
        assert outer.cached_value() is MISSING
        inner()


def test_an_outer_exception_leaves_inner_results_and_scopes_alone(engine: Engine) -> None:
    @engine.cacheable
    def inner() -> int:
        return 1

    @engine.cacheable(deps="outer")
    def outer() -> int:
        inner()
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        outer()
    assert inner.cached_value() == 1
    add_deps("leaks:nowhere")
    engine.invalidate("outer")
    assert inner.cached_value() == 1


# Lifetime


def test_ttl(engine: Engine, clock: ManualClock) -> None:
    runs: list[int] = []

    @engine.cacheable(ttl=dt.timedelta(minutes=1))
    def f() -> None:
        runs.append(1)

    f()
    clock.advance(59)
    f()
    clock.advance(59)
    f()
    assert len(runs) == 1, "each read restarts the ttl"
    clock.advance(60)
    f()
    assert len(runs) == 2


@pytest.mark.parametrize("ttl", [0, -1, True, "60", float("nan"), dt.timedelta(0)])
def test_a_ttl_that_is_none_is_refused(engine: Engine, ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl="):
        engine.cacheable(ttl=ttl)(lambda: None)
    with pytest.raises(ValueError, match="ttl="):
        engine.set("k", 1, ttl=ttl)


# Decoration


def test_decorating_before_configure_is_fine_and_calling_says_what_to_do() -> None:
    engine = Engine.unconfigured()

    @engine.cacheable(deps="t", ttl=5)
    def f() -> int:
        return 1

    with pytest.raises(NotConfigured, match=r"zoocache.configure\(\)"):
        f()
    engine.configure()
    assert f() == 1
    engine.reset()
    with pytest.raises(NotConfigured):
        f()
    with pytest.raises(NotConfigured):
        engine.get("k")
    with pytest.raises(NotConfigured):
        engine.invalidate("k")
    with pytest.raises(NotConfigured):
        engine.stats()


def test_the_wrapper_looks_like_the_function(engine: Engine) -> None:
    def f(x: int, *, y: str = "z") -> bool:
        """Doc."""
        return True

    wrapped = engine.cacheable(f)
    assert wrapped.__name__ == "f"
    assert wrapped.__doc__ == "Doc."
    assert wrapped.uncached is f
    assert inspect.signature(wrapped) == inspect.signature(f)

    async def g() -> None:
        return None

    assert inspect.iscoroutinefunction(engine.cacheable(g))


def test_generators_are_refused(engine: Engine) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(UnsupportedValue, match="list or a tuple"):
        engine.cacheable(numbers)


def test_what_is_not_a_function_is_refused(engine: Engine) -> None:
    with pytest.raises(TypeError, match="int"):
        engine.cacheable(deps="t")(3)  # type: ignore[arg-type]


def test_a_result_that_cannot_be_stored_is_warned_about_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @engine.cacheable
    def f(x: int) -> Any:
        return (n for n in range(x))

    assert list(f(3)) == list(f(3)) == [0, 1, 2]
    f(4)
    assert len([r for r in caplog.records if "not cached" in r.getMessage()]) == 1
    assert engine.stats().errors == 3


def test_engines_do_not_see_each_other() -> None:
    one, two = Engine(), Engine()

    @one.cacheable(deps="t")
    def f() -> list[int]:
        return [1]

    g = two.cacheable(deps="t")(f.uncached)
    f(), g()
    one.invalidate("t")
    assert f.cached_value() is MISSING
    assert g.cached_value() == [1]
    two.clear()
    assert g.cached_value() is MISSING


def test_two_uses_on_one_function_with_other_deps_do_not_share(engine: Engine) -> None:
    source = {"v": 1}

    def load() -> int:
        return source["v"]

    users = engine.cacheable(deps="users")(load)
    orgs = engine.cacheable(deps=(tag for tag in ["orgs"]))(load)
    computed = engine.cacheable(deps=lambda: "orgs")(load)
    assert users() == orgs() == computed() == 1
    source["v"] = 2
    engine.invalidate("orgs")
    assert (users(), orgs(), computed()) == (1, 2, 2)


def test_functions_of_a_factory_with_other_deps_do_not_share(engine: Engine) -> None:
    source = {"v": 1}

    def reader(tag: str) -> Any:
        @engine.cacheable(deps=lambda key: f"{tag}:{key}")
        def read(key: str) -> int:
            return source[key]

        return read

    one, two = reader("p"), reader("q")
    assert (one("v"), two("v")) == (1, 1)
    source["v"] = 2
    engine.invalidate("q:v")
    assert two("v") == 2


async def test_a_task_that_outlives_its_computation_stands_alone(engine: Engine) -> None:
    tasks: list[asyncio.Task[Any]] = []
    scopes: list[Any] = []
    go = asyncio.Event()

    @engine.cacheable
    def part(x: int) -> int:
        return x

    async def worker() -> bool:
        await go.wait()
        for number in range(100):
            part(number)
        return engine.set("status", "fresh", deps="config")

    @engine.cacheable(deps="config")
    async def first() -> int:
        scopes.append(current_scope())
        tasks.append(asyncio.create_task(worker()))
        return 1

    await first()
    engine.invalidate("config")
    go.set()
    assert await tasks[0] is True
    assert engine.get("status") == "fresh"
    assert len(scopes[0].deps) == 1


def test_long_arguments_are_not_remembered(engine: Engine) -> None:
    @engine.cacheable
    def length(text: str) -> int:
        return len(text)

    tracemalloc.start()
    for number in range(200):
        length(f"{number}" * 20_000)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2_000_000
