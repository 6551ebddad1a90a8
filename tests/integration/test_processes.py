"""Several real processes read and invalidate at random; every answer is held against the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.integration.truth import Shape, Truth
from tests.integration.workload import ACTORS, Report, Task, summed, work
from tests.servers import RedisServer
from zoocache_core.engine import Engine
from zoocache_core.trie import PrefixTrie

ROOT = Path(__file__).parents[2]
PROCESSES = 4
OPERATIONS = 3000
"""Per process."""


def task(tmp_path: Path, index: int, settings: dict[str, Any], **changes: Any) -> Task:
    return Task(
        **{
            "truth": str(tmp_path / "truth"),
            "settings": settings,
            "first_writer": index * ACTORS,
            "seed": index,
            "operations": OPERATIONS,
            **changes,
        }
    )


class Worker:
    """A process at work on a :class:`Task`."""

    def __init__(self, task: Task) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.workload", json.dumps(asdict(task))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.report()
            raise AssertionError(f"a worker began with {line!r}")

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def report(self, timeout: float = 60) -> Report:
        output, errors = self._process.communicate(timeout=timeout)
        assert self._process.returncode == 0, errors
        return Report(**json.loads(output))

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def started(tasks: list[Task]) -> Iterator[list[Worker]]:
    """Workers that begin at the same moment."""
    workers = [Worker(task) for task in tasks]
    try:
        for worker in workers:
            worker.wait_until_ready()
        for worker in workers:
            worker.go()
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def in_processes(tmp_path: Path, settings: dict[str, Any], **changes: Any) -> Report:
    """The work of ``PROCESSES`` processes: one is killed and replaced, one only reads."""
    last = PROCESSES - 1
    tasks = [
        task(tmp_path, index, settings, reads_only=index == last, **changes)
        for index in range(PROCESSES)
    ]
    with started(tasks) as workers:
        killed = threading.Timer(0.5, workers[0].kill)
        killed.start()
        reports = [worker.report() for worker in workers[1:]]
        killed.join()
        late = [task(tmp_path, 0, settings, **{**changes, "seed": 100, "seconds": 0.0})]
        with started(late) as successors:
            reports.append(successors[0].report())
    return summed(reports, sum(report.hits for report in reports))


def judge(report: Report, operations: int) -> None:
    assert not report.wrong, f"{report.wrong} wrong answers:\n" + "\n".join(report.objections)
    # Nothing is proved by a cache that never hits, or by reads without writes.
    assert report.reads + report.writes >= operations
    assert report.writes >= operations // 20
    assert report.hits >= report.reads // 10


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"secret_key": "k" * 32, "read_extend_ttl": False}


def test_threads_and_tasks_of_one_process(tmp_path: Path, settings: dict[str, Any]) -> None:
    engine = Engine(**settings)
    report = work(engine, task(tmp_path, 0, settings, operations=6000))
    engine.reset()
    judge(report, 6000)


def test_a_cache_that_forgets_nothing_is_found_out(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrefixTrie, "mark", lambda *_: None)
    engine = Engine(**settings)
    report = work(engine, task(tmp_path, 0, settings, operations=600))
    engine.reset()
    assert report.wrong


def test_a_value_stored_too_late_is_found_out(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stamp taken when the value is stored, instead of before it is computed.
    monkeypatch.setattr(
        Engine,
        "entry",
        lambda self, held, thaw, deps, stamp, ttl, entry=Engine.entry: entry(
            self, held, thaw, deps, self.stamp(), ttl
        ),
    )
    engine = Engine(**settings)
    report = work(engine, task(tmp_path, 0, settings, operations=6000))
    engine.reset()
    assert report.wrong


def test_the_truth_objects_to_what_was_announced_and_to_nothing_else(tmp_path: Path) -> None:
    truth = Truth(tmp_path / "truth", Shape(items=4, writers=2, writes=8))
    old = truth.read(1)
    count = truth.write(1, writer=0)
    assert truth.objection(1, old, asked=1e12, allowed=0, own=range(0)) is None
    truth.note_returned(1, writer=0, count=count)
    assert truth.objection(1, old, asked=0, allowed=0, own=range(0)) is None
    assert truth.objection(1, old, asked=1e12, allowed=1e13, own=range(0)) is None
    for allowed, own in ((0.0, range(0)), (1e13, range(1))):
        assert "write 1 of writer 0" in str(truth.objection(1, old, 1e12, allowed, own))
    assert truth.objection(1, truth.read(1), 1e12, 0, range(0)) is None
    assert "asked for item 1" in str(truth.objection(1, truth.read(2), 1e12, 0, range(0)))
    assert "writer 1 is at 0" in str(truth.objection(1, (1, 1, 7), 1e12, 0, range(0)))


STALENESS = 0.5
LEASED = {"allowed": STALENESS, "seconds": 4.0}
"""What a configuration permits that serves under a lease. Reading memory takes no time to speak of,
so the work goes on until the limit on staleness has been put to the test a few times."""


def test_processes_that_share_lmdb(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings |= {"storage_url": f"lmdb://{tmp_path / 'cache'}"}
    judge(in_processes(tmp_path, settings), OPERATIONS * PROCESSES)


def test_processes_that_share_redis(
    tmp_path: Path, settings: dict[str, Any], redis_url: str
) -> None:
    settings |= {"storage_url": redis_url}
    judge(in_processes(tmp_path, settings), OPERATIONS * PROCESSES)


def test_processes_with_near_caches(
    tmp_path: Path, settings: dict[str, Any], redis_url: str
) -> None:
    settings |= {"storage_url": redis_url, "near_max_entries": 12, "max_staleness": STALENESS}
    judge(in_processes(tmp_path, settings, **LEASED), OPERATIONS * PROCESSES)


def test_processes_with_memory_and_a_bus(
    tmp_path: Path, settings: dict[str, Any], redis_url: str
) -> None:
    settings |= {"bus_url": redis_url, "max_staleness": STALENESS}
    judge(in_processes(tmp_path, settings, **LEASED), OPERATIONS * PROCESSES)


def test_processes_with_lmdb_and_a_bus(
    tmp_path: Path, settings: dict[str, Any], redis_url: str
) -> None:
    settings |= {"storage_url": f"lmdb://{tmp_path / 'cache'}"}
    settings |= {"bus_url": redis_url, "max_staleness": STALENESS}
    judge(in_processes(tmp_path, settings, **LEASED), OPERATIONS * PROCESSES)


def test_processes_with_redis_and_a_bus_on_another(
    tmp_path: Path, settings: dict[str, Any], redis_url: str, private_redis: RedisServer
) -> None:
    settings |= {"storage_url": private_redis.url}
    settings |= {"bus_url": redis_url, "max_staleness": STALENESS}
    judge(in_processes(tmp_path, settings, **LEASED), OPERATIONS * PROCESSES)
