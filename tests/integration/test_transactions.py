"""Processes that write and read one PostgreSQL through an ORM: what they are given out of the cache
is what the database could have told them at that moment.

It is for each ORM one set of processes, which begin anew with every test.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.commits import ROWS, part_of
from tests.integration.transacting import THREADS, WITHOUT, Report, Task
from tests.servers import PostgresServer

ROOT = Path(__file__).parents[2]
PROCESSES = 3

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
SECONDS = 20.0 if THOROUGH else 0.6
STALENESS = 0.3


class Worker:
    """A process at work on one :class:`Task` after the other."""

    def __init__(self, orm: str, port: int, database: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.{orm}_transacting", str(port), database],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        line = self._answer()
        if line != "ready\n":
            raise AssertionError(f"a worker began with {line!r}")

    def begin(self, task: Task) -> None:
        self._say(json.dumps(asdict(task)))

    def go(self) -> None:
        self._say("")

    def report(self) -> Report:
        return Report(**json.loads(self._answer()))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate(timeout=10)
            raise AssertionError(errors)
        return line

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Workers:
    """Those of one ORM, on one database."""

    def __init__(self, orm: str, postgres: PostgresServer) -> None:
        self.orm = orm
        self.dsn = postgres.create_database(f"transactions_{orm}")
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "CREATE TABLE row_of_test "
                "(id integer PRIMARY KEY, part integer, version integer, token bigint)"
            )
        self._workers = [
            Worker(orm, postgres.port, f"transactions_{orm}") for _ in range(PROCESSES)
        ]
        for worker in self._workers:
            worker.wait_until_ready()

    def work(self, directory: Path, settings: dict[str, Any], **changes: Any) -> Report:
        with psycopg.connect(self.dsn) as connection:
            connection.execute("TRUNCATE row_of_test")
            for row in ROWS:
                connection.execute(
                    "INSERT INTO row_of_test VALUES (%s, %s, 0, 0)", (row, part_of(row))
                )
        for index, worker in enumerate(self._workers):
            task = {
                "commits": str(directory / "commits"),
                "settings": {"prefix": self.orm, **settings},
                "first_actor": index * THREADS,
                "seed": random.randrange(1 << 30) if THOROUGH else index,
                "seconds": SECONDS,
                **changes,
            }
            worker.begin(Task(**task))
        for worker in self._workers:
            worker.wait_until_ready()
        for worker in self._workers:
            worker.go()
        report = Report()
        for worker in self._workers:
            report.add(worker.report())
        return report

    def end(self) -> None:
        for worker in self._workers:
            worker.end()


@pytest.fixture(scope="module", params=["django", "sqlalchemy"])
def workers(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Workers]:
    workers = Workers(request.param, postgres)
    yield workers
    workers.end()


@pytest.fixture(params=["lmdb", "redis", "memory and bus", "redis and near cache"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str
) -> tuple[dict[str, Any], float]:
    """Its settings, and how old its values may be."""
    leased = {"max_staleness": STALENESS}
    found: tuple[dict[str, Any], float] = {
        "lmdb": ({"storage_url": f"lmdb://{tmp_path / 'cache'}"}, 0.0),
        "redis": ({"storage_url": redis_url}, 0.0),
        "memory and bus": ({"bus_url": redis_url, **leased}, STALENESS),
        "redis and near cache": (
            {"storage_url": redis_url, "near_max_entries": 20, **leased},
            STALENESS,
        ),
    }[request.param]
    return found


def test_nothing_is_seen_that_the_database_could_not_say(
    workers: Workers, tmp_path: Path, storage: tuple[dict[str, Any], float]
) -> None:
    settings, allowed = storage
    report = workers.work(tmp_path, settings, allowed=allowed)
    assert not report.wrong, f"{report.wrong} wrong answers:\n" + "\n".join(report.objections)
    assert report.enough(), report


@pytest.mark.parametrize("without", [mechanism for mechanism in WITHOUT if mechanism])
def test_what_is_wrong_without_a_mechanism_is_found_out(
    without: str, workers: Workers, tmp_path: Path
) -> None:
    settings = {"storage_url": f"lmdb://{tmp_path / 'cache'}"}
    report = workers.work(tmp_path, settings, without=without)
    assert report.wrong
