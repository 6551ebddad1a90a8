"""Time, from one replaceable object.

Everything that measures time in the engine asks the clock it was configured with, so that a test
can move time by hand instead of sleeping (see :class:`zoocache_core.testing.ManualClock`).
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings of time, both in seconds."""

    def monotonic(self) -> float:
        """Seconds since some fixed point (boot, on Linux); never steps back. Used for TTLs."""

    def time(self) -> float:
        """Seconds since the epoch, as the wall clock shows them. Used for dates shown to people."""


class SystemClock:
    """The machine's own clocks.

    ``monotonic`` is the same for every process of one boot of a host, which is what lets processes
    that share an LMDB directory agree on when an entry expires.
    """

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
