"""Several processes at work while their Redis is frozen, killed, emptied and set back."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_processes import PROCESSES, started, task
from tests.integration.workload import summed
from tests.servers import RedisServer

SECONDS = 5.0
STALENESS = 1.0
LATE = 0.5
"""Seconds that a busy machine may be late with what is due."""


def freeze(server: RedisServer, choose: random.Random) -> None:
    server.freeze()
    time.sleep(choose.uniform(0.05, 2.5))
    server.thaw()


def kill(server: RedisServer, choose: random.Random) -> None:
    server.kill()
    time.sleep(choose.uniform(0.0, 2.5))
    server.start()


def empty(server: RedisServer, choose: random.Random) -> None:
    server.restart(empty=True)


def set_back(server: RedisServer, choose: random.Random) -> None:
    snapshot = server.save()
    time.sleep(choose.uniform(0.1, 0.5))
    server.restart_from(snapshot)


@contextmanager
def trouble(server: RedisServer, seed: int) -> Iterator[list[str]]:
    """Trouble at random moments; gives the list of what has happened."""
    choose, stop, happened = random.Random(seed), threading.Event(), list[str]()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(choose.uniform(0.2, 1.2)):
                what: Callable[..., None] = choose.choice((freeze, kill, empty, set_back))
                what(server, choose)
                happened.append(what.__name__)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield happened
    finally:
        stop.set()
        thread.join()
    assert not errors, errors


@pytest.mark.parametrize(
    ("options", "allowed", "strict"),
    [
        # Also what could not be announced because of an outage is respected in time.
        ({"bus_url": "redis"}, STALENESS + LATE, False),
        ({"bus_url": "redis", "storage_url": "lmdb"}, STALENESS + LATE, False),
        # What could be announced is respected at once, or in time.
        ({"storage_url": "redis"}, 0.0, True),
        ({"storage_url": "redis", "near_max_entries": 12}, STALENESS, True),
    ],
    ids=["memory and bus", "LMDB and bus", "Redis", "near caches"],
)
def test_no_answer_is_older_than_promised(
    tmp_path: Path,
    private_redis: RedisServer,
    options: dict[str, Any],
    allowed: float,
    strict: bool,
) -> None:
    urls = {"redis": private_redis.url, "lmdb": f"lmdb://{tmp_path / 'cache'}"}
    settings = {name: urls.get(value, value) for name, value in options.items()}
    settings |= {"max_staleness": STALENESS, "socket_timeout": 0.2, "read_extend_ttl": False}
    tasks = [
        task(
            tmp_path,
            index,
            settings,
            operations=300,
            seconds=SECONDS,
            allowed=allowed,
            strict=strict,
            reads_only=index == PROCESSES - 1,
        )
        for index in range(PROCESSES)
    ]
    with started(tasks) as workers, trouble(private_redis, seed=len(options)) as happened:
        reports = [worker.report() for worker in workers]
    report = summed(reports, sum(report.hits for report in reports))
    assert not report.wrong, f"{report.wrong} wrong answers:\n" + "\n".join(report.objections)
    # It was not by failing all the time that they gave no wrong answer.
    assert report.hits >= 100
    assert report.writes >= 100
    assert len(happened) >= 3
