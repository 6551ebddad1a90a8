"""Who may write to a database: one thread of one process, and nobody waits for ever.

LMDB has a writer lock of its own, but it can only be waited for without limit: a process that is
stopped (SIGSTOP, a debugger, a frozen container) while it writes would hang every other writer on
the host. So writers first pass this gate, a file lock that can be tried; behind it LMDB's lock is
always free. The kernel opens the gate when its holder dies.
"""

from __future__ import annotations

import os
import threading
import time
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from zoocache_core.storage.base import StorageUnavailable

__all__ = ["PATIENCE", "Gate", "GateBusy"]

PATIENCE = 1.0
"""Seconds a writer waits at most."""

_TRY = LOCK_EX | LOCK_NB
_SHORTEST_PAUSE = 20e-6
_LONGEST_PAUSE = 1e-3
_RESPITE = 1.0
"""Seconds for which nobody waits again after somebody has waited in vain."""


class GateBusy(StorageUnavailable):
    """Somebody else is writing."""


class Gate:
    """A lock among the threads of this process and all processes that use the same ``path``."""

    __slots__ = ("_fd", "_path", "_respite_until", "_threads")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._fd = -1
        self._respite_until = 0.0

    def enter(self, patience: float) -> None:
        """Become the one who writes.

        Raises:
            GateBusy: somebody else has been writing for ``patience`` seconds.
        """
        if not self._threads.acquire(False):
            self._wait_for_threads(patience)
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                flock(self._fd, _TRY)
            except BlockingIOError:
                self._wait_for_processes(patience)
        except BaseException:
            self._threads.release()
            raise

    def leave(self) -> None:
        """Let the next one write."""
        flock(self._fd, LOCK_UN)
        self._threads.release()

    def _wait_for_threads(self, patience: float) -> None:
        if patience <= 0 or not self._threads.acquire(timeout=patience):
            raise GateBusy(f"another thread of this process is writing to {self._path.parent}")

    def _wait_for_processes(self, patience: float) -> None:
        now = time.monotonic()
        deadline = now + patience if now >= self._respite_until else now
        pause = _SHORTEST_PAUSE
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            try:
                return flock(self._fd, _TRY)
            except BlockingIOError:
                continue
        if patience > 0:
            self._respite_until = time.monotonic() + _RESPITE
        raise GateBusy(
            f"another process has been writing to {self._path.parent} for more than {patience} s; "
            "it may have been stopped"
        )

    def hold(self) -> None:
        """Keep this process's threads from writing, until :meth:`release`."""
        self._threads.acquire()

    def release(self) -> None:
        """Undo :meth:`hold`."""
        self._threads.release()

    def close(self) -> None:
        """Let go of the file; it is opened again when needed.

        In a forked child this is a must: a lock taken through the inherited descriptor would be the
        parent's as well. Closing it there does not take the lock from the parent.
        """
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
