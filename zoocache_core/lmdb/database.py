"""One LMDB database file: opened when first used, never closed under a writer, never short of disk.

Reading takes no lock and waits for nobody. Transactions for reading are kept by py-lmdb for reuse
(``max_spare_txns``), so that beginning one costs about a tenth of a microsecond.

Nothing is ever synced (``MDB_NOSYNC``): what a process wrote is in the kernel's page cache, so it
survives the death of any process, and files from before the last boot are never opened (see
``home``). Where the file system allows it, pages are written through the memory map
(``MDB_WRITEMAP``), which halves the cost of a write. A full disk would then end the process with
SIGBUS, so the blocks that the next transactions may touch are allocated before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from zoocache_core.lmdb.blocks import OUT_OF_DISK, Blocks
from zoocache_core.lmdb.gate import PATIENCE, Gate
from zoocache_core.lmdb.host import keeps_allocated_blocks
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["LINEAGE", "Database", "DiskFull", "NoRoom", "Unreadable"]

T = TypeVar("T")

LINEAGE = b"z"
"""The key under which a database holds the name of the history that it belongs to."""

_MAX_READERS = 4096
"""Slots for read transactions under way or kept for reuse, of all processes together."""

_SPARE_TRANSACTIONS = 16

_READER_PAUSE = 0.0005


class NoRoom(Exception):  # noqa: N818 - an answer, told to users as StorageIsFull
    """The database or the disk is full; nothing was written."""


class DiskFull(NoRoom):
    """The disk has no blocks for more pages. Evicting does not help: the file keeps its own."""


class Unreadable(Exception):  # noqa: N818 - an answer, told to users as ConfigurationError
    """The file is not an LMDB database, or not all there. It was left as it is."""


class Database:
    """The file at ``path``, which may grow to ``map_size`` bytes and belongs to ``lineage``.

    ``admit()`` is asked before the file is opened, and raises what speaks against that.

    ``begin()`` starts a read transaction; its ``id()`` tells whether anything was written since an
    earlier one. It raises ``lmdb.Error`` if the database cannot be used, or was closed by another
    thread meanwhile (see :meth:`suspend`): try once more then, as :meth:`read` does.
    """

    __slots__ = (
        "_admit",
        "_blocks",
        "_environment",
        "_opening",
        "begin",
        "gate",
        "lineage",
        "map_size",
        "page_size",
        "path",
    )

    begin: Callable[[], Any]

    def __init__(
        self, path: Path, map_size: int, lineage: bytes, admit: Callable[[], None]
    ) -> None:
        self.path = path
        self.lineage = lineage
        self._admit = admit
        self.map_size = map_size
        self.page_size = os.sysconf("SC_PAGE_SIZE")
        self.gate = Gate(path.with_suffix(".gate"))
        self.begin = self._open_and_begin
        self._environment: Any = None
        self._opening = threading.Lock()
        self._blocks = self._new_blocks()

    def _new_blocks(self) -> Blocks | None:
        """What writing through the map needs, where that is safe."""
        if keeps_allocated_blocks(self.path.parent):
            return Blocks(self.path, self.map_size)
        return None

    def open(self, first: bool = False) -> None:
        """Open the file, or make it if this is the ``first`` time in this process.

        Raises:
            Unreadable: there is a file, but not such a one.
            OSError: the file cannot be opened or made.
        """
        with self._opening:
            if self._environment is not None:
                return
            self._admit()
            self._inspect()
            try:
                environment = self._environment_at(self.map_size)
            except lmdb.Error as error:
                raise Unreadable(f"{self.path}: {error}") from error
            try:
                self._recognise(environment, first)
            except BaseException:
                environment.close()
                raise
            self.page_size = environment.stat()["psize"]
            self._environment = environment
            self.begin = environment.begin
        if first:
            self.write(lambda txn: txn.put(LINEAGE, self.lineage, overwrite=False))

    def _recognise(self, environment: Any, first: bool) -> None:
        try:
            with environment.begin() as txn:
                lineage = txn.get(LINEAGE)
        except lmdb.Error as error:
            raise Unreadable(f"{self.path}: {error}") from error
        if lineage != self.lineage and not (first and lineage is None):
            raise Unreadable(f"{self.path} belongs to another cache")

    def _environment_at(self, map_size: int, **options: Any) -> Any:
        through_map = self._blocks is not None
        options = {"map_async": through_map, "writemap": through_map, **options}
        return lmdb.open(
            str(self.path),
            subdir=False,
            mode=0o600,
            map_size=map_size,
            sync=False,
            metasync=False,
            max_readers=_MAX_READERS,
            max_spare_txns=_SPARE_TRANSACTIONS,
            **options,
        )

    def _inspect(self) -> None:
        """Look at the file before anything maps it: a truncated one would kill the process."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        if size == 0:
            # Its maker died, or is about to write the first page.
            return
        try:
            looked = self._environment_at(
                self.map_size, readonly=True, lock=False, writemap=False, map_async=False
            )
        except lmdb.Error as error:
            raise Unreadable(f"{self.path} is not an LMDB database ({error})") from error
        try:
            needed = (looked.info()["last_pgno"] + 1) * looked.stat()["psize"]
        finally:
            looked.close()
        if size < needed:
            raise Unreadable(f"{self.path} has {size} bytes, but {needed} were written to it")

    def _open_and_begin(self) -> Any:
        try:
            self.open()
        except (OSError, Unreadable) as error:
            raise lmdb.Error(str(error)) from error
        return self.begin()

    def read(self, work: Callable[[Any], T]) -> T:
        """``work(transaction)`` on a snapshot.

        Raises:
            StorageUnavailable: the database cannot be read.
        """
        while True:
            begin = self.begin
            try:
                return self._read(work)
            except lmdb.Error as error:
                full = isinstance(error, lmdb.ReadersFullError) and self._drop_dead_readers()
                # Or it was closed meanwhile, for a fork, and will be open again.
                if not full and self.begin is begin:
                    raise StorageUnavailable(f"{self.path} cannot be read: {error}") from error

    def _read(self, work: Callable[[Any], T]) -> T:
        transaction = self.begin()
        try:
            return work(transaction)
        finally:
            transaction.abort()

    def write(self, work: Callable[[Any], T], pages: int = 0, patience: float = PATIENCE) -> T:
        """``work(transaction)`` in a transaction that is committed, or aborted if it raises.

        ``pages``: how many pages it may fill beyond what a small transaction does.

        Raises:
            GateBusy: somebody else has been writing for ``patience`` seconds.
            NoRoom: the database or, as :class:`DiskFull`, the disk is full.
            StorageUnavailable: the database cannot be written.
        """
        gate = self.gate
        try:
            gate.enter(patience)
        except OSError as error:
            raise StorageUnavailable(f"{self.path} cannot be written: {error}") from error
        try:
            if self._environment is None:
                self.open()
            if self._blocks is not None:
                self._blocks.provide(self._environment, pages)
            transaction = self._environment.begin(None, None, True)
            try:
                result = work(transaction)
            except BaseException:
                transaction.abort()
                raise
            transaction.commit()
            return result
        except (lmdb.MapFullError, lmdb.TxnFullError, lmdb.DiskError) as error:
            raise NoRoom(str(error)) from error
        except OSError as error:
            if error.errno in OUT_OF_DISK:
                raise DiskFull(f"{self.path} cannot grow: {error}") from error
            raise StorageUnavailable(f"{self.path} cannot be written: {error}") from error
        except (lmdb.Error, Unreadable) as error:
            raise StorageUnavailable(f"{self.path} cannot be written: {error}") from error
        finally:
            gate.leave()

    def outwait_readers(self, attempt: int) -> None:
        """Give readers that keep old pages in use the time to end, and free the slots of dead ones.

        To be called before the ``attempt``-th repetition of a write that found no room. A reader
        ends within microseconds unless its process has to wait for a processor meanwhile.
        """
        if not self._drop_dead_readers():
            time.sleep(_READER_PAUSE * 2**attempt)

    def _drop_dead_readers(self) -> int:
        environment = self._environment
        return 0 if environment is None else int(environment.reader_check())

    @property
    def tree(self) -> Any:
        """The handle of the B-tree, for dropping all of it."""
        return self._environment.open_db()

    def suspend(self) -> None:
        """Close the file until the next use. Readers under way fail and try again.

        The caller holds the gate (:meth:`Gate.hold`), so nobody is writing.
        """
        environment, self._environment = self._environment, None
        self.begin = self._open_and_begin
        if environment is not None:
            environment.close()

    def move(self, map_size: int, lineage: bytes) -> None:
        """Use the file of that name that will be made next. The present one is suspended."""
        self.map_size = map_size
        self.lineage = lineage
        self._blocks = self._new_blocks()
        self.gate.close()

    def close(self) -> None:
        """Close the file for good."""
        self.begin = self._refuse
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()
        self.gate.close()

    def _refuse(self) -> Any:
        raise lmdb.Error(f"{self.path} has been closed")

    def hold(self) -> None:
        """Let no thread write to the file or open it, until :meth:`release`."""
        self.gate.hold()
        self._opening.acquire()

    def release(self) -> None:
        """Undo :meth:`hold`."""
        self._opening.release()
        self.gate.release()
