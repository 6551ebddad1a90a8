"""Leases among the processes of a host, by locks on a file beside the database.

The lease on a key is a lock on one byte of the file, at an offset that the key decides; the file
itself stays empty. The kernel gives the lock up when its holder dies, however that happens.

The locks are "open file description" locks (Linux): they belong to whoever opened the file, here
one engine, and so keep two engines of one process apart as well. Elsewhere POSIX record locks take
their place, which only tell processes apart.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from zoocache_core.storage.base import StorageUnavailable

__all__ = ["FileLeases"]

_SET_LOCK: int = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
_FLOCK = struct.Struct("hhqqi4x")
_HELD_BY_ANOTHER = frozenset({errno.EACCES, errno.EAGAIN})

_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02
_SHARE = 8
"""A pause is this part of the time waited so far, so that waiting adds at most as much to it."""


class FileLeases:
    """Leases on keys by locks on ``path``. A lease is the offset of the locked byte."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opening = threading.Lock()

    def acquire(self, key: str) -> int | None:
        # Two keys of one checksum wait for each other, which costs time and nothing else.
        offset = zlib.crc32(key.encode("utf-8", "surrogatepass"))
        try:
            self._lock(fcntl.F_WRLCK, offset)
        except OSError as error:
            if error.errno in _HELD_BY_ANOTHER:
                return None
            raise StorageUnavailable(f"no lease by a lock on {self._path}: {error}") from error
        return offset

    def release(self, key: str, lease: int) -> None:
        try:
            self._lock(fcntl.F_UNLCK, lease)
        except OSError as error:
            raise StorageUnavailable(f"a lease on {self._path} remains: {error}") from error

    def _lock(self, kind: int, offset: int) -> None:
        if self._descriptor < 0:
            self._open()
        request = _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0)
        fcntl.fcntl(self._descriptor, _SET_LOCK, request)

    def _open(self) -> None:
        with self._opening:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)

    def wait(self, key: str, timeout: float) -> None:
        for pause in self._pauses(key, timeout):
            time.sleep(pause)

    async def await_(self, key: str, timeout: float) -> None:
        for pause in self._pauses(key, timeout):
            await asyncio.sleep(pause)

    def _pauses(self, key: str, timeout: float) -> Iterator[float]:
        """How long to sleep before looking again, until the lease is free or time is up."""
        began = time.monotonic()
        while True:
            waited = time.monotonic() - began
            if waited >= timeout:
                return
            pause = min(max(waited / _SHARE, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            yield min(pause, timeout - waited)
            lease = self.acquire(key)
            if lease is not None:
                self.release(key, lease)
                return

    async def aacquire(self, key: str) -> int | None:
        return self.acquire(key)

    async def arelease(self, key: str, lease: int) -> None:
        self.release(key, lease)

    def close(self) -> None:
        """Give all leases up."""
        with self._opening:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def after_fork(self) -> None:
        """In a forked child: the parent's leases are not the child's. They remain the parent's."""
        self._opening = threading.Lock()
        self.close()
