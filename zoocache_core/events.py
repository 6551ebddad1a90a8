"""What the cache tells about itself.

:class:`Stats` is counted always, in the process. An :class:`EventSink` is told each event as it
happens; without one, nothing is called.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

__all__ = ["EventSink", "LoggingSink", "Stats"]


@dataclass(slots=True)
class Stats:
    """Counters of one engine in this process since ``configure()``, and its sizes now.

    ``hits + misses`` is the number of lookups; ``stale`` counts those misses where an entry was
    there but invalidated. ``errors`` counts failures of storage or bus that a caller did not see.
    """

    # Incremented with a plain `+=` on purpose: on CPython with the GIL no thread switch can happen
    # between its load and its store, and a lock would cost more than the rest of a hit.
    hits: int = 0
    misses: int = 0
    stale: int = 0
    sets: int = 0
    invalidations: int = 0
    evictions: int = 0
    errors: int = 0
    flight_waits: int = 0
    entries: int = 0
    tags: int = 0
    position: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return asdict(self)


class EventSink(Protocol):
    """Told about each event. Methods must be quick, thread-safe and must not raise."""

    def hit(self, key: str) -> None:
        """A valid entry was found."""

    def miss(self, key: str) -> None:
        """There was no entry, or it had expired."""

    def stale(self, key: str) -> None:
        """There was an entry, but something it depends on was invalidated."""

    def set(self, key: str) -> None:
        """An entry was stored."""

    def invalidate(self, tags: Sequence[str]) -> None:
        """This process invalidated ``tags``; ``""`` stands for everything."""

    def evict(self, count: int) -> None:
        """``count`` entries were dropped to make room."""

    def error(self, operation: str, error: BaseException) -> None:
        """An operation failed in a way that the caller did not see."""

    def flight_wait(self, key: str, seconds: float) -> None:
        """A caller waited for another caller's computation of ``key``."""

    def bus_lag(self, seconds: float) -> None:
        """How long an invalidation of another process took to arrive."""


class LoggingSink:
    """Writes every event to a logger at one level, errors at WARNING."""

    def __init__(
        self, logger: str | logging.Logger = "zoocache.events", level: int = logging.DEBUG
    ) -> None:
        self._log = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def hit(self, key: str) -> None:
        self._log.log(self._level, "hit %s", key)

    def miss(self, key: str) -> None:
        self._log.log(self._level, "miss %s", key)

    def stale(self, key: str) -> None:
        self._log.log(self._level, "stale %s", key)

    def set(self, key: str) -> None:
        self._log.log(self._level, "set %s", key)

    def invalidate(self, tags: Sequence[str]) -> None:
        self._log.log(self._level, "invalidate %s", " ".join(tag or "*" for tag in tags))

    def evict(self, count: int) -> None:
        self._log.log(self._level, "evict %d entries", count)

    def error(self, operation: str, error: BaseException) -> None:
        self._log.warning("%s failed: %r", operation, error)

    def flight_wait(self, key: str, seconds: float) -> None:
        self._log.log(self._level, "waited %.6f s for %s", seconds, key)

    def bus_lag(self, seconds: float) -> None:
        self._log.log(self._level, "bus lag %.6f s", seconds)
