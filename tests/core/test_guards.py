"""What a database transaction may forbid the engine, through a guard."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextvars import ContextVar
from contextvars import copy_context as copied

import pytest

from zoocache_core import MISSING, Engine, add_deps
from zoocache_core.deps import current_scope


class Transaction:
    """A guard for one context: an open transaction that wrote ``touched`` since ``began``."""

    def __init__(self, engine: Engine) -> None:
        self.mine: ContextVar[bool] = ContextVar("mine", default=False)
        self.touched: set[str] = set()
        self.began = engine.stamp()

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        return self.mine.get() and bool(self.touched.intersection(deps))

    def uncommitted(self) -> bool:
        return self.mine.get() and bool(self.touched)

    def stamp(self) -> int | None:
        return self.began if self.mine.get() else None


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def transaction(engine: Engine) -> Iterator[Transaction]:
    guard = Transaction(engine)
    engine.add_guard(guard)
    token = guard.mine.set(True)
    yield guard
    guard.mine.reset(token)
    engine.remove_guard(guard)


def test_what_a_transaction_wrote_it_does_not_read_from_the_cache(
    engine: Engine, transaction: Transaction
) -> None:
    engine.set("touched", 1, deps="t")
    engine.set("other", 2, deps="u")
    transaction.touched.add("t")
    assert engine.get("touched") is None
    assert engine.get("other") == 2
    context = copied()
    context.run(transaction.mine.set, False)
    assert context.run(engine.get, "touched") == 1


def test_nothing_read_in_a_dirty_transaction_is_stored(
    engine: Engine, transaction: Transaction
) -> None:
    transaction.touched.add("t")
    runs: list[int] = []

    @engine.cacheable(deps="u")
    def read() -> int:
        runs.append(1)
        return len(runs)

    assert (read(), read()) == (1, 2)
    assert engine.set("k", 1) is False
    assert engine.set_many({"a": 1, "b": 2}) is False
    transaction.touched.clear()
    assert read.cached_value() is MISSING
    assert engine.get("k") is None


def test_what_an_old_snapshot_shows_is_as_old_as_the_snapshot(
    engine: Engine, transaction: Transaction
) -> None:
    engine.invalidate("t")

    @engine.cacheable(deps="t")
    def read() -> str:
        return "from the snapshot"

    assert read() == "from the snapshot"
    assert read.cached_value() is MISSING
    engine.set("k", 1, deps="t")
    assert engine.get("k") is None


def test_a_guard_is_asked_about_every_hit_while_it_is_there(engine: Engine) -> None:
    guard, asked = Transaction(engine), []

    def hides(deps: Collection[str], stamp: int) -> bool:
        asked.append(deps)
        return False

    guard.hides = hides  # type: ignore[method-assign]
    engine.set("k", 1, deps="t")
    engine.add_guard(guard)
    assert engine.hit("k") is not None
    assert asked == [("t",)]
    engine.remove_guard(guard)
    assert engine.hit("k") is not None
    assert len(asked) == 1


def test_a_computation_may_forbid_its_own_storing_and_that_of_what_encloses_it(
    engine: Engine,
) -> None:
    @engine.cacheable
    def inner() -> int:
        scope = current_scope()
        assert scope is not None
        scope.forbid("random")
        return 1

    @engine.cacheable
    def outer() -> int:
        return inner()

    assert outer() == 1
    assert inner.cached_value() is MISSING
    assert outer.cached_value() is MISSING


def test_a_computation_may_find_out_that_its_data_is_older(engine: Engine) -> None:
    old = engine.stamp()
    engine.invalidate("t")

    @engine.cacheable
    def inner() -> int:
        scope = current_scope()
        assert scope is not None
        scope.lower_stamp(old)
        add_deps("t")
        return 1

    @engine.cacheable
    def outer() -> int:
        return inner()

    assert outer() == 1
    assert inner.cached_value() is MISSING
    assert outer.cached_value() is MISSING


def test_an_error_of_a_dirty_transaction_is_not_shared(engine: Engine) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    guard = Transaction(engine)
    engine.add_guard(guard)
    entered, go = threading.Event(), threading.Event()

    def fails() -> int:
        entered.set()
        assert go.wait(20)
        raise LookupError("my own uncommitted delete")

    def dirty() -> int:
        guard.mine.set(True)
        guard.touched.add("t")
        return engine.fetch("k", fails)

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(dirty)
        entered.wait(20)
        follower = pool.submit(engine.fetch, "k", lambda: 1)
        while engine.stats().flight_waits < 1:
            pass
        go.set()
        assert isinstance(leader.exception(20), LookupError)
        assert follower.result(20) == 1
    engine.remove_guard(guard)


def test_a_watcher_is_called_before_the_position_moves(engine: Engine) -> None:
    positions: list[int] = []

    def moving() -> None:
        positions.append(engine.stamp())

    engine.invalidate("a")
    engine.watch(moving)
    engine.watch(moving)
    before = engine.stamp()
    # The first has a node already and takes the short way, the second takes the long one.
    engine.invalidate("a")
    engine.invalidate("b", "c")
    assert positions == [before, before + 1]
    engine.unwatch(moving)
    engine.invalidate("a")
    assert len(positions) == 2


def test_a_watcher_may_add_a_guard(engine: Engine) -> None:
    guard = Transaction(engine)

    def moving() -> None:
        engine.add_guard(guard)

    engine.watch(moving)
    engine.invalidate("a")
    engine.invalidate("b")
    assert engine.guards == (guard,)
    engine.remove_guard(guard)
    engine.unwatch(moving)
