"""Cache backends for tests, on every storage, and how to let time pass for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from zoocache_core.testing import ManualClock
from zoocache_django import engines
from zoocache_django.cache import ZooCacheBackend

STORAGES = ("memory", "lmdb", "redis")


@dataclass
class Caches:
    """Makes backends on one store. Every one but the first is a view on it, as in another alias."""

    location: str
    let_pass: Callable[[float], None]
    """Let so many seconds pass for the store."""
    options: dict[str, Any]

    def open(self, **params: Any) -> ZooCacheBackend:
        options = {**self.options, **params.pop("OPTIONS", {})}
        return ZooCacheBackend(self.location, {**params, "OPTIONS": options})


def let_pass_in_redis(url: str, clock: ManualClock, seconds: float) -> None:
    """Redis goes by its own clock, so every key lives so much shorter instead."""
    clock.advance(seconds)
    with redis.Redis.from_url(url, retry=None) as client:
        for name in list(client.scan_iter()):
            left = client.pttl(name)
            if left > 0:
                client.pexpire(name, max(0, left - int(seconds * 1000)))


@contextmanager
def caches_on(storage: str, directory: Path, redis_url: str | None) -> Iterator[Caches]:
    clock = ManualClock()
    let_pass = clock.advance
    if storage == "redis":
        assert redis_url is not None
        location = redis_url
        let_pass = partial(let_pass_in_redis, redis_url, clock)
    else:
        location = f"lmdb://{directory}" if storage == "lmdb" else f"memory://{uuid4().hex}"
    made = Caches(location, let_pass, {"CLOCK": clock})
    try:
        yield made
    finally:
        engines.close_all()
