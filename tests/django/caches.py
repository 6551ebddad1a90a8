"""Cache backends for tests, on every storage, and how to let time pass for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from zoocache_core.testing import ManualClock
from zoocache_django import engines
from zoocache_django.cache import ZooCacheBackend

STORAGES = ("memory", "lmdb", "redis")


@dataclass
class Caches:
    """Makes backends on one store. Every one but the first is a view on it, as in another alias."""

    location: str
    unit: float
    """Seconds that :meth:`let_pass` can let pass quickly."""
    let_pass: Callable[[float], None]
    options: dict[str, Any]

    def open(self, **params: Any) -> ZooCacheBackend:
        options = {**self.options, **params.pop("OPTIONS", {})}
        return ZooCacheBackend(self.location, {**params, "OPTIONS": options})


@contextmanager
def caches_on(storage: str, directory: Path, redis_url: str | None) -> Iterator[Caches]:
    clock = ManualClock()
    if storage == "redis":
        # Redis goes by its own clock.
        made = Caches(f"{redis_url}", 0.1, time.sleep, {})
    else:
        location = f"lmdb://{directory}" if storage == "lmdb" else f"memory://{uuid4().hex}"
        made = Caches(location, 10.0, clock.advance, {"CLOCK": clock})
    try:
        yield made
    finally:
        engines.close_all()
