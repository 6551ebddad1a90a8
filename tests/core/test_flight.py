"""SingleFlight: threads, tasks, both; failures, time-outs, cancellation, re-entry, invalidation.

The interleavings are forced with events and barriers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from zoocache_core import Engine, add_deps
from zoocache_core.testing import in_threads

SOON = 20.0
"""Seconds until a test gives up; nothing waits that long unless it fails."""


@pytest.fixture
def engine() -> Engine:
    return Engine()


def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition`` with a deadline."""
    done = threading.Event()
    for _ in range(int(SOON / 0.002)):
        if condition():
            return
        done.wait(0.002)
    raise TimeoutError("the condition did not come true")


class Gate:
    """A function that stops in the middle until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, value: Any = "value") -> Any:
        with self.lock:
            self.calls += 1
        self.entered.set()
        assert self.go.wait(SOON)
        return value


def start(work: Callable[[], Any], pool: ThreadPoolExecutor) -> Any:
    return pool.submit(work)


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(16) as executor:
        yield executor


def test_followers_wait_for_the_leader(engine: Engine, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    cached = engine.cacheable(key="k")(gate.__call__)
    leader = pool.submit(cached)
    gate.entered.wait(SOON)
    followers = [pool.submit(cached) for _ in range(5)]
    until(lambda: engine.stats().flight_waits == 5)
    gate.go.set()
    assert [f.result(SOON) for f in (leader, *followers)] == ["value"] * 6
    assert gate.calls == 1
    assert len(engine.flights) == 0


def test_waiters_get_the_leaders_own_exception(engine: Engine, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    error = LookupError("no such row")

    @engine.cacheable
    def fails() -> None:
        gate()
        raise error

    calls = [pool.submit(fails)]
    gate.entered.wait(SOON)
    calls += [pool.submit(fails) for _ in range(3)]
    until(lambda: engine.stats().flight_waits == 3)
    gate.go.set()
    assert all(call.exception(SOON) is error for call in calls)
    assert gate.calls == 1
    assert len(engine.flights) == 0


def test_an_exception_is_not_cached(engine: Engine) -> None:
    results: list[Any] = [ValueError("first"), "second"]

    @engine.cacheable
    def flaky() -> Any:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    with pytest.raises(ValueError, match="first"):
        flaky()
    assert flaky() == "second"


def test_stop_iteration_passes_as_it_is(engine: Engine) -> None:
    @engine.cacheable
    def stops() -> None:
        raise StopIteration("x")

    with pytest.raises(StopIteration):
        stops()


@pytest.mark.parametrize("declared", [True, False], ids=["static deps", "deps found while running"])
def test_whoever_arrives_after_an_invalidation_gets_no_older_flight(
    engine: Engine, pool: ThreadPoolExecutor, declared: bool
) -> None:
    source = ["old"]
    entered, go = threading.Event(), threading.Event()

    @engine.cacheable(deps="t" if declared else None)
    def read() -> str:
        value = source[0]
        if not declared:
            add_deps("t")
        if value == "old":
            entered.set()
            assert go.wait(SOON)
        return value

    early = pool.submit(read)
    entered.wait(SOON)
    source[0] = "new"
    engine.invalidate("t")
    # The old flight is still in the air; this caller must not wait for it, let alone follow it.
    assert pool.submit(read).result(SOON) == "new"
    go.set()
    assert early.result(SOON) == "old"
    assert read() == "new"


def test_deps_found_after_a_follower_boarded_count_too(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    source = ["old"]
    entered, go = threading.Event(), threading.Event()

    @engine.cacheable
    def read() -> str:
        value = source[0]
        if value == "old":
            entered.set()
            assert go.wait(SOON)
        add_deps("t")
        return value

    early = pool.submit(read)
    entered.wait(SOON)
    source[0] = "new"
    engine.invalidate("t")
    late = pool.submit(read)
    until(lambda: engine.stats().flight_waits == 1)
    go.set()
    assert late.result(SOON) == "new"
    assert early.result(SOON) == "old"


def test_an_exception_from_before_an_invalidation_is_not_passed_on(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    rows: list[str] = []
    entered, go = threading.Event(), threading.Event()

    @engine.cacheable
    def read() -> str:
        found = list(rows)
        if not found:
            entered.set()
            assert go.wait(SOON)
        add_deps("t")
        return found[0]

    early = pool.submit(read)
    entered.wait(SOON)
    rows.append("row")
    engine.invalidate("t")
    late = pool.submit(read)
    until(lambda: engine.stats().flight_waits == 1)
    go.set()
    assert late.result(SOON) == "row"
    assert isinstance(early.exception(SOON), IndexError)


def test_a_result_computed_before_an_invalidation_is_not_stored_over_a_newer_one(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    source = ["old"]
    entered, go = threading.Event(), threading.Event()

    @engine.cacheable(deps="t")
    def read() -> str:
        value = source[0]
        if value == "old":
            entered.set()
            assert go.wait(SOON)
        return value

    early = pool.submit(read)
    entered.wait(SOON)
    source[0] = "new"
    engine.invalidate("t")
    assert read() == "new"
    go.set()
    early.result(SOON)
    assert read.cached_value() == "new"


def test_a_follower_takes_over_after_the_timeout_and_others_follow_it(
    pool: ThreadPoolExecutor,
) -> None:
    engine = Engine(flight_timeout=0.1)
    stuck = threading.Event()
    first = threading.Lock()
    calls: list[str] = []

    @engine.cacheable
    def read() -> str:
        if first.acquire(blocking=False):
            calls.append("stuck")
            assert stuck.wait(SOON)
            return "late"
        calls.append("taken over")
        return "in time"

    leader = pool.submit(read)
    until(lambda: calls == ["stuck"])
    followers = [pool.submit(read) for _ in range(6)]
    assert {f.result(SOON) for f in followers} == {"in time"}
    assert calls == ["stuck", "taken over"]
    stuck.set()
    assert leader.result(SOON) == "late"


def test_re_entry_runs_the_function(engine: Engine) -> None:
    @engine.cacheable(key="same")
    def outer(depth: int) -> int:
        return depth if depth == 0 else outer(depth - 1) + 1

    assert outer(3) == 3


def test_re_entry_through_a_thread_that_copied_the_context(engine: Engine) -> None:
    import contextvars

    @engine.cacheable(key="same")
    def outer(again: bool) -> str:
        if again:
            context = contextvars.copy_context()
            result: list[str] = []
            thread = threading.Thread(
                target=lambda: result.append(context.run(outer, False)), daemon=True
            )
            thread.start()
            thread.join(SOON)
            return f"outer({result[0]})"
        return "inner"

    assert outer(True) == "outer(inner)"


def test_two_computations_that_need_each_other_do_not_wait_for_ever(
    pool: ThreadPoolExecutor,
) -> None:
    engine = Engine(flight_timeout=3600)
    barrier = threading.Barrier(2)

    @engine.cacheable
    def a(deep: bool) -> str:
        if deep:
            barrier.wait(SOON)
            return "a" + b(False)
        return "a"

    @engine.cacheable(key=lambda deep: "b")
    def b(deep: bool) -> str:
        if deep:
            barrier.wait(SOON)
            return "b" + a_(False)
        return "b"

    a_ = engine.cacheable(key=lambda deep: "a")(a.uncached)
    one, two = pool.submit(a_, True), pool.submit(b, True)
    assert {one.result(SOON)[0], two.result(SOON)[0]} == {"a", "b"}


def test_a_flight_that_landed_between_lookup_and_boarding_is_not_repeated(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def compute(who: str) -> str:
        calls.append(who)
        return who

    look_up = engine.storage.get

    def slow_get(key: str) -> Any:
        entry = look_up(key)
        monkeypatch.setattr(engine.storage, "get", look_up)
        # The lookup has missed; now somebody else computes and lands.
        assert in_threads(1, lambda _: engine.fetch("k", lambda: compute("other"))) == ["other"]
        return entry

    monkeypatch.setattr(engine.storage, "get", slow_get)
    assert engine.fetch("k", lambda: compute("caller")) == "other"
    assert calls == ["other"]


def test_a_value_that_may_not_be_stored_is_not_shared_either(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    barrier = threading.Barrier(4)
    gate = Gate()

    def compute() -> object:
        gate()
        return object()

    def fetch() -> object:
        barrier.wait(SOON)
        return engine.fetch("k", compute, admit=lambda value: False)

    calls = [pool.submit(fetch) for _ in range(4)]
    until(lambda: engine.stats().flight_waits == 3)
    gate.go.set()
    assert len({id(call.result(SOON)) for call in calls}) == 4
    assert gate.calls == 4


def test_hundreds_of_threads_one_computation_per_invalidation(engine: Engine) -> None:
    runs: list[int] = []
    source = [0]

    @engine.cacheable(deps="t")
    def read() -> int:
        runs.append(1)
        return source[0]

    for round_ in range(20):
        source[0] = round_
        engine.invalidate("t")
        barrier = threading.Barrier(16)

        def work(index: int, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(SOON)
            return read()

        assert in_threads(16, work) == [round_] * 16
    assert len(runs) == 20


# asyncio


async def test_tasks_share_one_computation(engine: Engine) -> None:
    calls = 0
    go = asyncio.Event()

    @engine.cacheable
    async def read() -> list[int]:
        nonlocal calls
        calls += 1
        await go.wait()
        return [1]

    tasks = [asyncio.create_task(read()) for _ in range(10)]
    while engine.stats().flight_waits < 9:
        await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*tasks)
    assert results == [[1]] * 10
    assert len({id(result) for result in results}) == 10
    assert calls == 1


async def test_cancelling_a_follower_cancels_nobody_else(engine: Engine) -> None:
    go = asyncio.Event()

    @engine.cacheable
    async def read() -> str:
        await go.wait()
        return "value"

    leader, follower, other = (asyncio.create_task(read()) for _ in range(3))
    while engine.stats().flight_waits < 2:
        await asyncio.sleep(0)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    go.set()
    assert await leader == await other == "value"
    assert len(engine.flights) == 0


async def test_when_the_leader_is_cancelled_a_follower_leads(engine: Engine) -> None:
    calls = 0
    go = asyncio.Event()

    @engine.cacheable
    async def read() -> int:
        nonlocal calls
        calls += 1
        await go.wait()
        return calls

    leader, *followers = (asyncio.create_task(read()) for _ in range(5))
    while engine.stats().flight_waits < 4:
        await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    while calls < 2:
        await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*followers) == [2] * 4
    assert calls == 2
    assert len(engine.flights) == 0


async def test_an_async_take_over(pool: ThreadPoolExecutor) -> None:
    engine = Engine(flight_timeout=0.05)
    calls = 0
    stuck = asyncio.Event()

    @engine.cacheable
    async def read() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await stuck.wait()
            return "late"
        return "in time"

    leader = asyncio.create_task(read())
    await asyncio.sleep(0)
    assert await asyncio.gather(*(read() for _ in range(4))) == ["in time"] * 4
    assert calls == 2
    stuck.set()
    assert await leader == "late"


async def test_a_task_waits_for_a_thread(engine: Engine) -> None:
    gate = Gate()
    blocking = engine.cacheable(key="k")(gate.__call__)

    @engine.cacheable(key="k")
    async def read() -> str:
        raise AssertionError("the thread computes this")

    thread = asyncio.create_task(asyncio.to_thread(blocking))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    task = asyncio.create_task(read())
    while engine.stats().flight_waits < 1:
        await asyncio.sleep(0)
    gate.go.set()
    assert await task == await thread == "value"
    assert gate.calls == 1


async def test_a_thread_waits_for_a_task(engine: Engine) -> None:
    go = asyncio.Event()

    @engine.cacheable(key="k")
    async def read() -> str:
        await go.wait()
        return "value"

    @engine.cacheable(key="k")
    def blocking() -> str:
        raise AssertionError("the task computes this")

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    thread = asyncio.create_task(asyncio.to_thread(blocking))
    while engine.stats().flight_waits < 1:
        await asyncio.sleep(0.001)
    go.set()
    assert await thread == await task == "value"


async def test_blocking_code_does_not_wait_for_its_own_event_loop() -> None:
    engine = Engine(flight_timeout=3600)
    go = asyncio.Event()

    @engine.cacheable(key="k")
    async def read() -> str:
        await go.wait()
        return "task"

    @engine.cacheable(key="k")
    def blocking() -> str:
        return "blocking"

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    # This very thread runs the loop that the flight needs.
    assert blocking() == "blocking"
    go.set()
    assert await task == "task"


def test_tasks_of_several_event_loops_share_one_computation(engine: Engine) -> None:
    calls: list[int] = []
    entered = threading.Barrier(4)

    @engine.cacheable
    async def read() -> str:
        calls.append(1)
        until_waits = 0
        while engine.stats().flight_waits < 3 and until_waits < 20_000:
            until_waits += 1
            await asyncio.sleep(0.001)
        return "value"

    def loop(index: int) -> str:
        async def main() -> str:
            await asyncio.to_thread(entered.wait, SOON)
            return await read()

        return asyncio.run(main())

    assert in_threads(4, loop) == ["value"] * 4
    assert calls == [1]


async def test_nothing_is_left_behind(engine: Engine) -> None:
    @engine.cacheable
    async def read(x: int) -> int:
        await asyncio.sleep(0)
        if x % 3 == 0:
            raise ValueError(x)
        return x

    tasks = [asyncio.create_task(read(n % 7)) for n in range(70)]
    for task in tasks[::5]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(engine.flights) == 0


async def test_a_computation_may_start_cached_tasks(engine: Engine) -> None:
    @engine.cacheable
    async def part(x: int) -> int:
        await asyncio.sleep(0)
        add_deps([f"part:{x}"])
        return x

    @engine.cacheable
    async def page() -> list[int]:
        return await asyncio.gather(*(part(x) for x in range(3)))

    assert await page() == [0, 1, 2]
    await engine.invalidate_async("part:1")
    assert page.cached_value() is not None
    assert engine.find(page.key()) is None


def test_data_that_changes_faster_than_it_is_computed_makes_nobody_queue(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    rounds: list[int] = []
    lock = threading.Lock()

    @engine.cacheable
    def read() -> int:
        with lock:
            rounds.append(1)
        until(lambda: engine.stats().flight_waits > 0 or len(rounds) > 1)
        # Outdated before it lands, every time.
        add_deps("hot")
        engine.invalidate("hot")
        return len(rounds)

    began = [pool.submit(read) for _ in range(8)]
    for call in began:
        call.result(SOON)
    assert engine.stats().flight_waits <= 2 * 8
