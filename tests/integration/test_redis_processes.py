"""Real processes over one Redis, undisturbed and through outages; no answer may be stale."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_processes import (
    OPERATIONS,
    PROCESSES,
    in_processes,
    judge,
    started,
    task,
)
from tests.integration.workload import summed
from tests.servers import RedisServer


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"secret_key": "k" * 32, "read_extend_ttl": False, "prefix": "differential"}


def test_processes_over_redis(tmp_path: Path, settings: dict[str, Any], redis_url: str) -> None:
    report = in_processes(tmp_path, {**settings, "storage_url": redis_url})
    judge(report, OPERATIONS * PROCESSES)


def test_processes_over_redis_whose_keys_are_evicted(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """So little memory that the authority's keys are lost again and again."""
    with RedisServer(["maxmemory 1800kb", "maxmemory-policy allkeys-random"]) as server:
        report = in_processes(
            tmp_path, {**settings, "storage_url": server.url, "compress_min_bytes": None}
        )
        with server.client() as client:
            evicted = client.info("stats")["evicted_keys"]
    assert evicted
    assert not report.wrong, report.objections


def test_processes_over_redis_through_every_kind_of_outage(
    tmp_path: Path, settings: dict[str, Any], private_redis: RedisServer
) -> None:
    settings |= {"storage_url": private_redis.url, "socket_timeout": 0.2}
    seconds = 8.0
    tasks = [task(tmp_path, index, settings, seconds=seconds) for index in range(PROCESSES)]
    with started(tasks) as workers:
        time.sleep(0.5)
        snapshot = private_redis.save()
        time.sleep(0.5)
        private_redis.freeze()
        time.sleep(0.5)
        private_redis.thaw()
        time.sleep(0.7)
        private_redis.restart(empty=False)
        time.sleep(0.7)
        private_redis.restart_from(snapshot)
        time.sleep(0.7)
        private_redis.flush()
        time.sleep(0.5)
        private_redis.restart(empty=True)
        reports = [worker.report() for worker in workers]
    report = summed(reports, sum(report.hits for report in reports))
    assert not report.wrong, report.objections
    assert report.hits > OPERATIONS, "it proves nothing if nothing is cached"
    assert report.writes > OPERATIONS * PROCESSES // 20
