"""What an engine says about itself: counters, events for the sinks, and warnings in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from zoocache_core.errors import UnsupportedValue
from zoocache_core.events import EventSink, Stats

__all__ = ["Reporter"]

_log = logging.getLogger("zoocache")

_MOST_SUBJECTS: Final = 1024


class Reporter:
    """Counts each event, tells it to every sink, and logs what an operator should know, once."""

    __slots__ = ("_incidents", "_warned", "counts", "sinks")

    def __init__(self, sinks: tuple[EventSink, ...] = ()) -> None:
        self.counts = Stats()
        self.sinks = sinks
        self._incidents: set[str] = set()
        self._warned: set[str] = set()

    def looked_up(self, outcome: str, key: str) -> None:
        """A lookup ended as ``hit``, ``miss`` or ``stale``."""
        if outcome == "hit":
            self.counts.hits += 1
        else:
            self.counts.misses += 1
            self.counts.stale += outcome == "stale"
        for sink in self.sinks:
            getattr(sink, outcome)(key)

    def stored(self, key: str) -> None:
        """An entry was stored."""
        self.counts.sets += 1
        for sink in self.sinks:
            sink.set(key)

    def invalidated(self, tags: Sequence[str]) -> None:
        """This process invalidates ``tags``; ``""`` is everything."""
        self.counts.invalidations += 1
        for sink in self.sinks:
            sink.invalidate(tags)

    def evicted(self, count: int) -> None:
        """``count`` entries were dropped to make room."""
        self.counts.evictions += count
        for sink in self.sinks:
            sink.evict(count)

    def waited(self, key: str, seconds: float) -> None:
        """A caller waited for another one's computation."""
        for sink in self.sinks:
            sink.flight_wait(key, seconds)

    def lagged(self, seconds: float) -> None:
        """An invalidation of another process took ``seconds`` to arrive."""
        for sink in self.sinks:
            sink.bus_lag(seconds)

    def failed(self, operation: str, error: BaseException) -> None:
        """A failure the caller does not see; the first of an incident is logged."""
        self._count_error(operation, error)
        if operation not in self._incidents:
            self._incidents.add(operation)
            _log.warning(
                "Cache operation %r failed, continuing without it: %s: %s",
                operation,
                type(error).__name__,
                error,
            )

    def recovered(self, operation: str) -> None:
        """End an incident: the next failure of ``operation`` is logged again."""
        if operation in self._incidents:
            self._incidents.discard(operation)
            _log.warning("Cache operation %r works again.", operation)

    def uncacheable(self, key: str, error: UnsupportedValue) -> None:
        """A result that cannot be stored; logged once per function."""
        self._count_error("freeze", error)
        function = key.partition(":")[0]
        self.warn_once(function, f"The result of {function} is returned but not cached: {error}")

    def not_renewed(self, view: str, error: BaseException) -> None:
        """An expired page that was shown could not be made anew for the next visitor."""
        self._count_error("renew", error)
        _log.warning("%s failed; its page is not renewed.", view, exc_info=error)

    def warn_once(self, subject: str, message: str) -> None:
        """Log a warning, but only the first one about its subject."""
        if subject not in self._warned and len(self._warned) < _MOST_SUBJECTS:
            self._warned.add(subject)
            _log.warning(message)

    def _count_error(self, operation: str, error: BaseException) -> None:
        self.counts.errors += 1
        for sink in self.sinks:
            sink.error(operation, error)
