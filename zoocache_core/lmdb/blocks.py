"""Blocks on disk for the pages that are about to be written through the memory map.

A file that LMDB writes through its map is as large as the map from the beginning, but has no blocks
where nothing was written. If the disk is full when such a page is touched, the kernel can only send
a signal that ends the process. So the blocks are allocated before, some way ahead of the last page
in use, and a disk that has none left is an error like any other.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

__all__ = ["OUT_OF_DISK", "Blocks"]

OUT_OF_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_AHEAD = 1 << 22
"""Bytes beyond the last page in use that are allocated, before the map's end."""

_TRANSACTION_PAGES = 32
"""More pages than a small transaction can make: a path in each of the three parts of the tree,
splits included, and the list of free pages."""

_USUAL_PAGES = 12
"""What a small transaction writes mostly; the file grows by less, since it frees as many."""

_LOOK_AFTER = 128
"""Pages after which this process looks again how far the file has grown. ``_AHEAD`` is eight times
as much, for the other processes that write meanwhile."""


class Blocks:
    """What this process knows of the blocks of the file at ``path``."""

    __slots__ = ("_allocated", "_map_size", "_path", "_unlooked")

    def __init__(self, path: Path, map_size: int) -> None:
        self._path = path
        self._map_size = map_size
        self._allocated = 0
        self._unlooked = _LOOK_AFTER

    def provide(self, environment: Any, pages: int) -> None:
        """See that there are blocks for a transaction that fills ``pages`` more than a small one.

        The caller is the only one who writes (see ``gate``).

        Raises:
            OSError: there are none (``OUT_OF_DISK``), or the file cannot be allocated.
        """
        self._unlooked += pages + _USUAL_PAGES
        if self._unlooked <= _LOOK_AFTER:
            return
        page_size = environment.stat()["psize"]
        end = (environment.info()["last_pgno"] + 1) * page_size
        needed = end + (pages + _TRANSACTION_PAGES + _LOOK_AFTER) * page_size
        needed = min(needed, self._map_size)
        if needed + _AHEAD // 2 > self._allocated and self._allocated < self._map_size:
            self._allocate(needed, min(needed + _AHEAD, self._map_size))
        self._unlooked = 0

    def _allocate(self, needed: int, wanted: int) -> None:
        # Where the file system does not know how, the C library reads and writes back a byte of
        # each block. As nobody else is writing, that undoes nobody's write.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                os.posix_fallocate(descriptor, 0, wanted)
                self._allocated = wanted
            except OSError as error:
                if error.errno not in OUT_OF_DISK:
                    raise
                os.posix_fallocate(descriptor, 0, needed)
                self._allocated = needed
        finally:
            os.close(descriptor)
