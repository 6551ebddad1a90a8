"""Writing entries to an LMDB database where room may have to be made first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zoocache_core.clock import Clock
from zoocache_core.errors import StorageIsFull
from zoocache_core.lmdb.database import Database, DiskFull, NoRoom
from zoocache_core.lmdb.gate import GateBusy
from zoocache_core.storage.lmdb_entries import Shelf
from zoocache_core.storage.lmdb_memo import Memo
from zoocache_core.storage.lmdb_room import Crowded, Room

__all__ = ["RoomMaker"]

T = TypeVar("T")

_SWEPT = 4
"""Expired entries removed per write. More than one, so that they go faster than they come."""

_SWEEP_INTERVAL = 1.0
"""Seconds after which to look for entries that other processes stored and that have expired."""

_UNSWEPT = 16
"""Writes without a time of expiry after which to look at the clock."""

_ROUNDS = 8


class RoomMaker:
    """Evicts and sweeps.

    ``limit``: how many entries there may be, whoever stored them. ``cull_frequency``: one part in
    so many is removed when they are that many, all if it is 0, only what is in the way if ``None``.
    """

    def __init__(
        self,
        database: Database,
        memo: Memo,
        clock: Clock,
        limit: int | None,
        on_evict: Callable[[int], None],
        cull_frequency: int | None,
    ) -> None:
        self.room = Room(database)
        self._database = database
        self._memo = memo
        self._now = clock.monotonic
        self._limit = limit
        self._cull_frequency = cull_frequency
        self.tell = on_evict
        self._sweep_at = 0.0
        self._unswept = 0

    def shelf(self, txn: Any) -> Shelf:
        """The entries, through ``txn``."""
        return Shelf(txn, self._memo.marks)

    def idle(self) -> bool:
        """Whether a small write need neither sweep nor see how much room there is."""
        if self._unswept < _UNSWEPT and self.room.ample():
            self._unswept += 1
            return True
        return False

    def keep_limit(self, shelf: Shelf) -> int:
        """Make room for one more entry within the limit; how many were evicted."""
        if self._limit is None or shelf.count < self._limit:
            return 0
        if self._cull_frequency is None:
            return shelf.evict(shelf.count + 1 - self._limit, self._now())
        removed, _ = shelf.remove_expired(self._now(), self.room.batch)
        if shelf.count < self._limit:
            return removed
        wanted = shelf.count
        if self._cull_frequency:
            wanted = max(wanted // self._cull_frequency, wanted + 1 - self._limit)
        if wanted > self.room.batch:
            # Too many for one transaction; none of this one's work is kept.
            raise Crowded(wanted)
        return removed + shelf.evict(wanted, self._now())

    def sweep(self, shelf: Shelf, expires: float | None) -> None:
        """Remove some expired entries when that is due; it is when ``expires`` comes, too."""
        if expires is not None and expires < self._sweep_at:
            self._sweep_at = expires
        self._unswept += 1
        if expires is None and self._unswept < _UNSWEPT:
            return
        now = self._now()
        if now >= self._sweep_at:
            most = min(_SWEPT * self._unswept, max(_SWEPT, self.room.batch))
            _, following = shelf.remove_expired(now, most)
            self._sweep_at = now + _SWEEP_INTERVAL
            if following is not None and following < self._sweep_at:
                self._sweep_at = following
        self._unswept = 0

    def write(self, work: Callable[[Any], T], pages: int, patience: float) -> T:
        """Write, making room where there is none.

        Raises:
            StorageIsFull: there is none even then.
        """
        if pages > 1 and not self.room.could_hold(pages):
            raise self._full(pages)
        try:
            return self._database.write(work, pages, patience)
        except DiskFull as error:
            raise StorageIsFull(str(error)) from error
        except (Crowded, NoRoom) as error:
            if patience <= 0:
                raise GateBusy("room has to be made first") from error
            crowded: Crowded | None = error if isinstance(error, Crowded) else None
        for attempt in range(_ROUNDS):
            least = 1 << attempt if crowded is None else crowded.entries
            if not self._make_room(pages, least, patience):
                self._database.outwait_readers(attempt)
            try:
                return self._database.write(work, pages, patience)
            except DiskFull as error:
                raise StorageIsFull(str(error)) from error
            except Crowded as error:
                crowded = error
            except NoRoom:
                crowded = None
        raise self._full(pages)

    def _full(self, pages: int) -> StorageIsFull:
        database = self._database
        return StorageIsFull(
            f"There is no room for a value of about {pages * database.page_size} bytes in "
            f"{database.path}, even after eviction. Raise lmdb_map_size; entries have "
            f"{database.map_size} bytes of it."
        )

    def _make_room(self, pages: int, least: int, patience: float) -> bool:
        """Remove entries until ``pages`` are free, and ``least`` entries; whether that was done."""
        removed = 0

        def evict(txn: Any) -> tuple[int, bool]:
            shelf = self.shelf(txn)
            wanted = max(self.room.entries_to_remove(txn, shelf, pages), least - removed, 0)
            wanted = min(wanted, shelf.count)
            gone = shelf.evict(min(wanted, self.room.batch), self._now()) if wanted else 0
            # Also when nothing is left to remove: what was removed before is free only afterwards.
            shelf.save()
            return gone, wanted <= gone and not shelf.pending

        done = False
        while not done:
            try:
                gone, done = self._database.write(evict, 0, patience)
            except NoRoom:
                break
            removed += gone
        if removed:
            self.tell(removed)
        return done
