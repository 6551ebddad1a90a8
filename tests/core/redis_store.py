"""Engines on a real Redis, in which time passes when a test says so."""

from __future__ import annotations

import uuid
from typing import Any

import redis

from zoocache_core import Engine
from zoocache_core.redis.keys import Keys
from zoocache_core.testing import ManualClock


class RedisStore:
    """One prefix of its own; engines on it, as different processes have them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{uuid.uuid4()}"
        self.keys = Keys(self.prefix)
        self.clock = ManualClock()

    def open(self, **settings: Any) -> Engine:
        settings = {
            "storage_url": self.url,
            "prefix": self.prefix,
            "clock": self.clock,
            "socket_timeout": 5.0,
            **settings,
        }
        return Engine(**settings)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, retry=None)

    def names(self) -> set[bytes]:
        """Every key in the database."""
        with self.client() as client:
            return set(client.scan_iter())

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass: every key of this prefix lives so much shorter."""
        self.clock.advance(seconds)
        with self.client() as client:
            for name in list(client.scan_iter(match=f"zoocache:{{{self.prefix}}}:*")):
                left = client.pttl(name)
                if left > 0:
                    # Half a second of grace for what passes by itself.
                    client.pexpire(name, max(0, left - int(seconds * 1000)))
