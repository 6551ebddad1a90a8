"""A circuit breaker: while a server is known to be down, nobody waits for it.

The pattern is Michael Nygard's (*Release It!*). A failure opens the circuit; from then on calls
are refused at once. A healer thread tries the server again, first soon, then ever more rarely, and
closes the circuit. Where threads do not run (uWSGI without ``enable-threads``), one caller at a
time is let through instead to try.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

__all__ = ["Breaker"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_GRACE = 1.0
"""How much later than the healer (in seconds) a caller takes the attempt upon itself."""


class Breaker:
    """``attempt()`` tries to restore service and says whether it did; it must not raise.

    ``wanted()`` says whether there is other work for ``attempt`` although the circuit is closed.
    """

    def __init__(self, attempt: Callable[[], bool], wanted: Callable[[], bool]) -> None:
        self.lock = threading.Lock()
        self.reason: BaseException | None = None
        """Why the circuit is open; ``None`` while it is closed."""
        self._attempt = attempt
        self._wanted = wanted
        self._pause = _FIRST_PAUSE
        self._due = 0.0
        self._stop = threading.Event()
        self._healer: threading.Thread | None = None

    def open(self, reason: BaseException) -> None:
        """Refuse calls from now on, and start to heal."""
        with self.lock:
            self.reason = reason
        self.heal()

    def heal(self) -> None:
        """See that the healer runs."""
        with self.lock:
            if self._healer is not None or self._stop.is_set():
                return
            self._pause = _FIRST_PAUSE
            self._schedule()
            self._healer = threading.Thread(
                target=self._work, args=(self._stop,), name="zoocache-redis", daemon=True
            )
            self._healer.start()

    def overdue(self) -> bool:
        """Whether the healer does not do its work, so that this caller should (and only this)."""
        with self.lock:
            if self.reason is None or time.monotonic() < self._due + _GRACE:
                return False
            self._schedule()
            return True

    def closed(self) -> None:
        """Let calls through again."""
        with self.lock:
            self.reason = None

    def close(self) -> None:
        """End the healer."""
        self._stop.set()
        healer = self._healer
        if healer is not None and healer is not threading.current_thread():
            healer.join(timeout=5)

    def after_fork(self) -> None:
        """In a forked child, where the parent's healer does not exist."""
        self.lock = threading.Lock()
        self._stop = threading.Event()
        self._healer = None
        if self.reason is not None or self._wanted():
            self.heal()

    def _schedule(self) -> None:
        # Spread, so that the workers of a host do not all come back in the same instant.
        self._due = time.monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(max(0.0, self._due - time.monotonic())):
            with self.lock:
                # As long as the attempt takes, it is the healer that is at it and nobody else.
                self._due = math.inf
            done = self._attempt()
            with self.lock:
                if done and self.reason is None and not self._wanted():
                    self._healer = None
                    return
                self._schedule()
