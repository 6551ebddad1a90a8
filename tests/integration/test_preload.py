"""A cache configured before a real pre-forking server forks its workers simply works in them."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.integration.truth import Shape, Truth
from tests.servers import ServerProcess, wait_until
from tests.servers.process import HOST
from zoocache_core.testing import in_threads

ROOT = Path(__file__).parents[2]
WORKERS = 3
CLIENTS = 4
STALENESS = 0.5
SHAPE = Shape(items=4, writers=2 * CLIENTS, writes=256)


class Gunicorn(ServerProcess):
    """Gunicorn with ``WORKERS`` preloaded workers of two threads each, serving ``preloaded``."""

    name = "gunicorn"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self._popen_options = {
            "env": {**os.environ, "PRELOADED": json.dumps(options), "PYTHONPATH": str(ROOT)}
        }

    def command(self) -> list[str]:
        options = [f"--workers={WORKERS}", "--threads=2", f"--bind={HOST}:{self.port}", "--preload"]
        application = "tests.integration.preloaded:application"
        return [sys.executable, "-m", "gunicorn", *options, application]

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return bool(self.ask("/about"))
        return False

    def ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, f"{path}: {response.status} {body!r}\n{self.log}"
            return json.loads(body)
        finally:
            connection.close()

    def workers(self) -> dict[int, dict[str, Any]]:
        """What each worker says of itself, by pid."""
        seen: dict[int, dict[str, Any]] = {}

        def all_seen() -> bool:
            told = self.ask("/about")
            seen[told["pid"]] = told
            for pid in list(seen):
                if not Path(f"/proc/{pid}").exists():
                    del seen[pid]
            return len(seen) == WORKERS

        assert wait_until(all_seen, deadline=30), f"only {seen} answered\n{self.log}"
        return seen


@contextmanager
def preloaded(tmp_path: Path, settings: dict[str, Any]) -> Iterator[tuple[Gunicorn, Truth]]:
    path = tmp_path / "truth"
    truth = Truth(path, SHAPE)
    options = {
        "truth": str(path),
        "shape": asdict(SHAPE),
        "settings": {"secret_key": "k" * 32, "read_extend_ttl": False, **settings},
    }
    server = Gunicorn(options)
    with server:
        yield server, truth


def drive(server: Gunicorn, truth: Truth, requests: int, allowed: float, round_: int) -> None:
    """Read and write from several clients at once; check every answer."""

    def client(index: int) -> list[str]:
        choose, wrong = random.Random(index), []
        writer = round_ * CLIENTS + index
        for _ in range(requests):
            number = choose.randrange(SHAPE.items)
            # A worker may be killed while it serves a request, of which nothing is known then.
            with suppress(ConnectionError, http.client.HTTPException):
                if choose.random() < 0.3:
                    count = truth.write(number, writer)
                    server.ask(f"/invalidate/{number}")
                    truth.note_returned(number, writer, count)
                asked = time.monotonic()
                answer = tuple(server.ask(f"/read/{number}"))
                objection = truth.objection(number, answer, asked, allowed, own=range(0))
                if objection is not None:
                    wrong.append(objection)
        return wrong

    objections = [objection for found in in_threads(CLIENTS, client) for objection in found]
    assert not objections, "\n".join(objections[:5])


def every_worker_hits(server: Gunicorn) -> dict[int, dict[str, Any]]:
    """Read without writing until each worker has had a hit; what they tell then.

    On a busy machine one of them may have served few requests, or let its lease lapse.
    """
    deadline = time.monotonic() + 20
    while not all(told["hits"] for told in server.workers().values()):
        assert time.monotonic() < deadline, "a worker caches nothing"
        server.ask("/read/1")
    return server.workers()


def check_preloaded(
    tmp_path: Path,
    settings: dict[str, Any],
    allowed: float = 0.0,
    also: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    with preloaded(tmp_path, settings) as (server, truth):
        drive(server, truth, 60, allowed, 0)
        workers = every_worker_hits(server)
        for told in workers.values():
            assert told["errors"] == 0
            if also is not None:
                also(told)
        # One that is killed in the middle of its work is replaced by a new fork of the master.
        victim = next(iter(workers))
        killer = threading.Timer(0.1, os.kill, (victim, signal.SIGKILL))
        killer.start()
        drive(server, truth, 60, allowed, 1)
        killer.join()
        workers = server.workers()
        assert victim not in workers
        assert all(told["errors"] == 0 for told in workers.values()), server.log
        assert "Traceback" not in server.log


def test_memory_alone_is_private_to_each_worker(tmp_path: Path) -> None:
    with preloaded(tmp_path, {}) as (server, truth):
        workers = server.workers()
        for _ in range(20 * WORKERS):
            answer = tuple(server.ask("/read/1"))
            assert truth.objection(1, answer, time.monotonic(), 0.0, range(0)) is None
        hits = {pid: told["hits"] for pid, told in server.workers().items()}
        assert hits.keys() == workers.keys()
        assert all(hits.values())


def follows(told: dict[str, Any]) -> None:
    assert "zoocache-bus" in told["threads"]


def test_lmdb(tmp_path: Path) -> None:
    check_preloaded(tmp_path, {"storage_url": f"lmdb://{tmp_path / 'cache'}"})


def test_redis(tmp_path: Path, redis_url: str) -> None:
    check_preloaded(tmp_path, {"storage_url": redis_url})


def test_redis_behind_a_near_cache(tmp_path: Path, redis_url: str) -> None:
    settings = {"storage_url": redis_url, "near_max_entries": 100, "max_staleness": STALENESS}
    check_preloaded(tmp_path, settings, STALENESS, follows)


def test_memory_with_a_bus(tmp_path: Path, redis_url: str) -> None:
    settings = {"bus_url": redis_url, "max_staleness": STALENESS}
    check_preloaded(tmp_path, settings, STALENESS, follows)


def test_lmdb_with_a_bus(tmp_path: Path, redis_url: str) -> None:
    settings = {"storage_url": f"lmdb://{tmp_path / 'cache'}"}
    settings |= {"bus_url": redis_url, "max_staleness": STALENESS}
    check_preloaded(tmp_path, settings, STALENESS, follows)
