"""Threads for pages that are made anew after their old version was sent (RFC 5861).

One for each page, which ends with it, so that nothing of one visitor's is left for the next and an
idle process has none. There is a limit, because after a quiet hour many pages may be past their ttl
at once; whatever is above it is left for the next visitor to begin.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Threads", "in_a_thread"]

_MOST: Final = 8


class Threads:
    """Up to `limit` daemon threads at once, in each process."""

    def __init__(self, limit: int = _MOST) -> None:
        self._limit = limit
        self._after_fork()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def start(self, work: Callable[[], Any]) -> bool:
        """Do `work` in a thread of its own; ``False`` if there are enough of them already."""
        with self._lock:
            if self._running >= self._limit:
                return False
            self._running += 1

        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._running -= 1

        try:
            threading.Thread(target=run, name="zoocache-renewal", daemon=True).start()
        except BaseException:
            with self._lock:
                self._running -= 1
            raise
        return True

    def _after_fork(self) -> None:
        # The threads stay behind in the parent, and one of them may have held the lock.
        self._lock = threading.Lock()
        self._running = 0


in_a_thread: Final = Threads().start
"""For the adapters; the limit is that of the process."""
