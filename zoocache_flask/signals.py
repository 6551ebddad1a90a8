"""Signals: what the cache does, for ``blinker`` receivers.

::

    @cache_hit.connect_via(app)
    def count(sender, key, page, **extra): ...

``cache_hit`` and ``cache_miss`` are sent for a page (``page=True``, and ``key`` is its path) and
for a value, that of a cached function for example (``page=False``, and ``key`` is the engine's).
Those of a page tell its ``outcome``: ``HIT``, ``STALE``, ``MISS`` or ``BYPASS``.
``cache_invalidated`` is sent with the ``tags`` that this process has invalidated; ``""`` stands for
everything. The sender is the application. Receivers must be quick and must not raise.

Pages tell as soon as somebody is connected. Values and invalidations tell if the application's
option ``SIGNALS`` is true: an engine that has somebody to tell cannot take its shortest way.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Final

from blinker import Namespace, Signal
from flask import Flask, request

__all__ = ["SignalSink", "cache_hit", "cache_invalidated", "cache_miss", "tell_page"]

_signals: Final = Namespace()
cache_hit: Final = _signals.signal("zoocache-hit")
cache_miss: Final = _signals.signal("zoocache-miss")
cache_invalidated: Final = _signals.signal("zoocache-invalidated")


def tell_page(app: Flask, outcome: str) -> None:
    """Tell what became of the page of the current request to ``app``."""
    signal = cache_hit if outcome in ("HIT", "STALE") else cache_miss
    if signal.receivers:
        signal.send(app, key=request.path, page=True, outcome=outcome)


class SignalSink:
    """Sends an engine's events as signals. Does not keep the application alive."""

    def __init__(self, app: Flask) -> None:
        self._app = weakref.ref(app)

    def hit(self, key: str) -> None:
        self._tell(cache_hit, key, "HIT")

    def miss(self, key: str) -> None:
        self._tell(cache_miss, key, "MISS")

    def stale(self, key: str) -> None:
        self._tell(cache_miss, key, "MISS")

    def _tell(self, signal: Signal, key: str, outcome: str) -> None:
        # Pages are told of as a whole, once for each request.
        if not key.startswith("page:"):
            signal.send(self._app(), key=key, page=False, outcome=outcome)

    def invalidate(self, tags: Sequence[str]) -> None:
        cache_invalidated.send(self._app(), tags=tuple(tags))

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
