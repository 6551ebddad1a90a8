"""Signals: what the cache does, for receivers of the application.

::

    @receiver(cache_invalidated)
    def purge(sender, tags, **kwargs): ...

``cache_hit`` and ``cache_miss`` are sent with the ``key`` of what was looked up, and
``cache_invalidated`` with the ``tags`` that this process has invalidated (``""`` stands for
everything). The sender is the engine. They are sent if ``ZOOCACHE = {"SIGNALS": True}``: a cache
that has somebody to tell cannot take its shortest way. Receivers must be quick; what they raise is
kept from the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.dispatch import Signal

from zoocache_core import default_engine

__all__ = ["SignalSink", "cache_hit", "cache_invalidated", "cache_miss"]

cache_hit: Final = Signal()
cache_miss: Final = Signal()
cache_invalidated: Final = Signal()


class SignalSink:
    """Sends an engine's events as signals."""

    def __eq__(self, other: object) -> bool:
        # Settings with equal sinks are equal settings.
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def hit(self, key: str) -> None:
        cache_hit.send_robust(default_engine, key=key)

    def miss(self, key: str) -> None:
        cache_miss.send_robust(default_engine, key=key)

    def stale(self, key: str) -> None:
        cache_miss.send_robust(default_engine, key=key)

    def invalidate(self, tags: Sequence[str]) -> None:
        cache_invalidated.send_robust(default_engine, tags=tuple(tags))

    def set(self, key: str) -> None:
        """No signal: it follows a miss."""

    def evict(self, count: int) -> None:
        """No signal."""

    def error(self, operation: str, error: BaseException) -> None:
        """No signal: it is in the log."""

    def flight_wait(self, key: str, seconds: float) -> None:
        """No signal."""

    def bus_lag(self, seconds: float) -> None:
        """No signal."""
