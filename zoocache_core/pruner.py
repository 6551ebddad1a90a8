"""The background worker of ``auto_prune_secs``."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["Pruner"]


class Pruner:
    """Calls ``engine.prune(max_age)`` every ``interval`` seconds in a daemon thread.

    It holds the engine weakly and is a daemon: it keeps neither the engine nor the process alive.
    """

    def __init__(self, engine: Runtime, max_age: float, interval: float) -> None:
        self._engine = weakref.ref(engine)
        self._max_age = max_age
        self._interval = interval
        self.start()

    def start(self) -> None:
        """Start the thread; again in a forked child, where the parent's does not exist."""
        self._stop = threading.Event()
        self.thread = threading.Thread(
            target=self._work, args=(self._stop,), name="zoocache-prune", daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        """End the thread, at the latest when the run under way is done."""
        self._stop.set()
        if self.thread is not threading.current_thread():
            self.thread.join(timeout=5)

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            engine = self._engine()
            if engine is None:
                return
            try:
                engine.prune(self._max_age)
            except Exception as error:  # noqa: BLE001
                # The next run may succeed; a worker that died silently would let the trie grow.
                if not stop.is_set():
                    engine.report.failed("prune", error)
            del engine
