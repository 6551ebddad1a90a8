"""Processes that share an LMDB directory: what one does the others see, and none hangs another."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.faults.peer import Peer
from tests.servers import wait_until
from zoocache_core import BusUnavailable, Engine
from zoocache_core.lmdb.gate import PATIENCE

Start = Callable[..., Peer]

BOUND = 10 * PATIENCE
"""Seconds within which whatever is bounded must be over, on the slowest machine."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"lmdb://{tmp_path}/cache"


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(closing(Peer(storage_url=url, **settings)))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = Engine(storage_url=url)
    yield engine
    engine.reset()


def in_a_transaction(database: str, signal_number: int, kind: str = "write") -> str:
    """An expression: send this process a signal in the midst of a transaction."""
    put = "txn.put(b'half', b'done')" if kind == "write" else "None"
    send = f"__import__('os').kill(__import__('os').getpid(), {int(signal_number)})"
    return f"engine.storage._home.{database}.{kind}(lambda txn: ({put}, {send}, 0)[2])"


# Coherence


def test_an_invalidation_is_seen_by_the_next_read_of_any_process(
    start: Start, engine: Engine
) -> None:
    peers = [start(), start()]
    for round_ in range(50):
        engine.set("k", round_, deps="org:1:user:42")
        assert [peer("engine.get('k')") for peer in peers] == [round_, round_]
        peers[round_ % 2]("engine.invalidate('org:1')")
        assert engine.get("k") is None
        assert [peer("engine.get('k')") for peer in peers] == [None, None]


def test_what_one_process_stores_or_deletes_the_others_see_at_once(
    start: Start, engine: Engine
) -> None:
    peer = start()
    for round_ in range(50):
        engine.set("k", round_)
        assert peer("engine.get('k')") == round_
        peer(f"engine.set('k', {-round_})")
        assert engine.get("k") == -round_
        peer("engine.delete('k')")
        assert engine.get("k", "gone") == "gone"


def test_a_value_set_after_somebody_elses_invalidation_is_valid(
    start: Start, engine: Engine
) -> None:
    start()("engine.invalidate('t')")
    engine.set("k", 1, deps="t")
    assert engine.get("k") == 1


def test_a_process_that_starts_later_knows_what_was_invalidated(
    start: Start, engine: Engine
) -> None:
    engine.set_many({"dead": 1, "alive": 2}, deps="t")
    engine.set("alive", 2, deps="u")
    engine.invalidate("t")
    peer = start()
    assert peer("engine.get_many(['dead', 'alive'])") == {"alive": 2}


def test_a_restart_keeps_values_and_keeps_the_dead_dead(start: Start) -> None:
    first = start()
    first("engine.set('dead', 1, deps='a:b')")
    first("engine.set('alive', 2, deps='a:c')")
    first("engine.invalidate('a:b')")
    first.kill()
    second = start()
    assert second("engine.get_many(['dead', 'alive'])") == {"alive": 2}
    second("engine.reset()")
    assert start()("engine.get_many(['dead', 'alive'])") == {"alive": 2}


def test_one_process_computes_and_the_rest_wait(start: Start, tmp_path: Path) -> None:
    program = f"""
import time
@engine.cacheable
def slow(x):
    with open({str(tmp_path / "calls")!r}, "a") as file:
        file.write("x")
    time.sleep(0.3)
    return x
"""
    peers = [start() for _ in range(6)]
    for peer in peers:
        peer.run(program)
    for peer in peers:
        peer.begin("slow(7)")
    assert [peer.result() for peer in peers] == [7] * 6
    assert (tmp_path / "calls").read_text() == "x"


def test_the_rest_go_on_when_the_one_that_computes_is_killed(start: Start, tmp_path: Path) -> None:
    program = f"""
import os, time
@engine.cacheable
def slow(x):
    open({str(tmp_path / "computing")!r}, "a").close()
    if os.getpid() == {{pid}}:
        time.sleep(3600)
    return x
"""
    holder, other = start(), start()
    for peer in (holder, other):
        peer.run(program.format(pid=holder.pid))
    holder.begin("slow(7)")
    assert wait_until((tmp_path / "computing").exists, BOUND)
    other.begin("slow(7)")
    holder.kill()
    began = time.monotonic()
    assert other.result() == 7
    assert time.monotonic() - began < BOUND


# Limits and lifetimes hold over all of them


def test_the_limit_on_entries_is_one_for_all_processes(start: Start, url: str) -> None:
    peers = [start(max_entries=20) for _ in range(3)]
    for number in range(60):
        peers[number % 3](f"engine.set('k{number}', 0)")
    assert {peer("engine.stats().entries") for peer in peers} == {20}
    found = peers[0]("len(engine.get_many([f'k{n}' for n in range(60)]))")
    assert found == 20


def test_what_one_process_reads_another_does_not_evict(start: Start) -> None:
    reader = start(max_entries=10, lru_update_interval=1e-6)
    writer = start(max_entries=10)
    for number in range(10):
        writer(f"engine.set('k{number}', 0)")
    assert reader("engine.get('k3')") == 0
    # With the next read of something that changed, the first one is noted.
    writer("engine.set('k9', 1)")
    assert reader("engine.get('k9')") == 1
    for number in range(10, 18):
        writer(f"engine.set('k{number}', 0)")
    assert writer("engine.get('k3')") == 0
    assert writer("engine.get('k4')") is None


def test_a_value_that_one_process_reads_expires_in_none(start: Start) -> None:
    reader, other = start(), start()
    other("engine.set('k', 1, ttl=1)")
    other("engine.set('unread', 1, ttl=1)")
    deadline = time.monotonic() + 2.2
    while time.monotonic() < deadline:
        assert reader("engine.get('k')") == 1
        time.sleep(0.02)
    assert other("engine.get_many(['k', 'unread'])") == {"k": 1}


# Writers that are killed or stopped in the midst of it


@pytest.mark.parametrize("database", ["entries", "tags"])
def test_a_writer_killed_in_a_transaction_leaves_nothing_behind(
    start: Start, engine: Engine, database: str
) -> None:
    engine.set("k", 1, deps="t")
    killed = start()
    killed.begin(in_a_transaction(database, signal.SIGKILL))
    with pytest.raises(AssertionError, match="ended with status -9"):
        killed.result()
    assert engine.get("k") == 1
    database = getattr(engine.storage._home, database)  # type: ignore[attr-defined]
    assert database.read(lambda txn: txn.get(b"half")) is None
    engine.set("k", 2, deps="t")
    engine.invalidate("t")
    assert start()("engine.get('k')") is None


def test_a_writer_stopped_in_a_transaction_delays_nobody_for_long(
    start: Start, engine: Engine
) -> None:
    @engine.cacheable
    def double(x: int) -> int:
        return 2 * x

    engine.set("k", 1)
    stopped = start()
    stopped.begin(in_a_transaction("entries", signal.SIGSTOP))
    stopped.wait_until_stopped()
    began = time.monotonic()
    assert double(4) == 8
    assert engine.set("other", 1) is False
    assert engine.get("k") == 1, "readers do not wait for writers"
    engine.invalidate("t")
    assert time.monotonic() - began < BOUND
    assert engine.stats().errors >= 2
    # Knowing that it is stopped, nobody waits for it again for a while.
    began = time.monotonic()
    assert [double(x) for x in range(100)] == [2 * x for x in range(100)]
    assert time.monotonic() - began < BOUND
    stopped.thaw()
    assert stopped.result() == 0
    assert wait_until(lambda: engine.set("other", 2), BOUND)
    assert engine.get("other") == 2


def test_an_invalidation_that_cannot_be_written_is_kept_until_it_can(
    start: Start, engine: Engine
) -> None:
    other = start()
    engine.set_many({"a": 1, "b": 2}, deps="t")
    engine.set("c", 3, deps="u")
    assert other("engine.get_many(['a', 'b', 'c'])") == {"a": 1, "b": 2, "c": 3}
    stopped = start()
    stopped.begin(in_a_transaction("tags", signal.SIGSTOP))
    stopped.wait_until_stopped()
    began = time.monotonic()
    engine.invalidate("t")
    with pytest.raises(BusUnavailable, match="could not be written"):
        engine.invalidate("t:1", strict=True)
    assert time.monotonic() - began < BOUND
    assert engine.get_many(["a", "b", "c"]) == {"c": 3}, "it holds here at once"
    stopped.thaw()
    assert stopped.result() == 0
    assert wait_until(lambda: other("engine.get_many(['a', 'b', 'c'])") == {"c": 3}, BOUND)
    assert wait_until(lambda: engine.set("a", 4, deps="t") and engine.get("a") == 4, BOUND)


def test_the_event_loop_turns_while_a_writer_is_stopped(start: Start, engine: Engine) -> None:
    stopped = start()

    async def main() -> None:
        longest = 0.0
        done = False

        async def turn() -> None:
            nonlocal longest
            while not done:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)

        turning = asyncio.create_task(turn())
        await asyncio.sleep(0.05)
        for database in ("entries", "tags"):
            stopped.begin(in_a_transaction(database, signal.SIGSTOP))
            stopped.wait_until_stopped()
            began = time.monotonic()
            await asyncio.gather(engine.set_async("k", 1), engine.invalidate_async("t"))
            assert time.monotonic() - began >= 0.9 * PATIENCE, "nobody waited: nothing was tested"
            stopped.thaw()
            assert stopped.result() == 0
        done = True
        await turning
        assert longest < PATIENCE / 2

    asyncio.run(main())


def test_a_reader_killed_in_a_transaction_does_not_keep_old_pages(start: Start, url: str) -> None:
    size = 1 << 20
    engine = Engine(storage_url=url, lmdb_map_size=size, compress_min_bytes=None)
    for database in ("entries", "tags"):
        killed = start(lmdb_map_size=size)
        killed.begin(in_a_transaction(database, signal.SIGKILL, kind="read"))
        with pytest.raises(AssertionError, match="ended with status -9"):
            killed.result()
    for number in range(2000):
        engine.set(f"k{number % 50}", "x" * 2000, deps="t")
        engine.invalidate(f"u:{number}")
    assert engine.get("k49") == "x" * 2000
    assert engine.stats().errors == 0
    engine.reset()


def test_processes_fill_a_small_map_together(start: Start) -> None:
    peers = [start(lmdb_map_size=1 << 20, compress_min_bytes=None) for _ in range(3)]
    program = """
import random
from zoocache_core import StorageIsFull
def fill(seed):
    choose = random.Random(seed)
    refused = wrong = 0
    for number in range(1500):
        key, size = f"k{choose.randrange(500)}", int(10 ** choose.uniform(1, 4.5))
        try:
            engine.set(key, [key, "x" * size])
        except StorageIsFull:
            refused += 1
        found = engine.get(f"k{choose.randrange(500)}")
        wrong += found is not None and not found[0].startswith("k")
        engine.invalidate(f"t:{seed}:{number}")
    return refused, wrong, engine.stats().errors
"""
    for peer in peers:
        peer.run(program)
    for seed, peer in enumerate(peers):
        peer.begin(f"fill({seed})")
    for peer in peers:
        refused, wrong, errors = peer.result()
        assert (wrong, errors) == (0, 0)
        # Now and then all old pages are in use, by a reader that waits for a processor.
        assert refused < 150
    assert peers[0]("engine.set('last', 1) and engine.get('last')") == 1
