"""Changes to the entries of an LMDB database, each in one transaction, with eviction.

A write waits ``patience`` seconds for others that write. With 0 it is for callers that must not be
kept waiting: it raises :class:`GateBusy` not only if somebody else is writing, but also if room has
to be made first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from zoocache_core.clock import Clock
from zoocache_core.errors import StorageIsFull, UnsupportedValue
from zoocache_core.lmdb.database import Database, DiskFull, NoRoom
from zoocache_core.lmdb.gate import PATIENCE, GateBusy
from zoocache_core.record import encode_record, times_of, with_expiry
from zoocache_core.storage.base import Entry, StorageUnavailable
from zoocache_core.storage.lmdb_entries import (
    PREFIX_BYTES,
    TICK_BYTES,
    Shelf,
    address_of,
    find,
    is_simple,
)
from zoocache_core.storage.lmdb_memo import LmdbEntry, Memo
from zoocache_core.storage.lmdb_room import Crowded, Room

__all__ = ["LmdbWriter"]

T = TypeVar("T")

_SWEPT = 4
"""Expired entries removed per write. More than one, so that they go faster than they come."""

_SWEEP_INTERVAL = 1.0
"""Seconds after which to look for entries that other processes stored and that have expired."""

_UNSWEPT = 16
"""Writes without a time of expiry after which to look at the clock."""

_ROUNDS = 8


class LmdbWriter:
    """Writes to ``database`` and keeps ``memo`` up to date with what it has written.

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
        cull_frequency: int | None = None,
    ) -> None:
        self._database = database
        self._memo = memo
        self._now = clock.monotonic
        self._limit = limit
        self._cull_frequency = cull_frequency
        self._on_evict = on_evict
        self._room = Room(database)
        self.origin = 0
        """What is stamped with less is not stored: nobody knows what it was invalidated by."""
        self._sweep_at = 0.0
        self._unswept = 0

    def store(self, key: str, entry: Entry, patience: float = PATIENCE) -> None:
        """Store an entry.

        Raises:
            StorageIsFull: there is no room even after eviction.
        """
        address, record, expires = address_of(key), self._record_of(entry), entry.expires
        room = self._room
        pages = room.pages_for(len(record))

        def store(txn: Any) -> int:
            old = txn.get(address)
            self._unswept += 1
            if (
                old is not None
                and expires is None
                and pages == 1
                and self._unswept < _UNSWEPT
                and room.ample()
                and is_simple(old)
            ):
                # Nothing but the record changes.
                txn.put(address, old[:PREFIX_BYTES] + record)
                return 0
            shelf = self._shelf(txn)
            room.check(txn, shelf, pages)
            evicted = 0 if old is not None else self._keep_limit(shelf)
            shelf.put(address, old, record, expires)
            self._sweep(shelf, expires)
            shelf.save()
            return evicted

        try:
            # At once, as it mostly can be.
            evicted = self._database.write(store, pages, patience)
        except (Crowded, NoRoom):
            evicted = self._write(store, pages, patience)
        if evicted:
            self._on_evict(evicted)

    def store_many(self, items: Sequence[tuple[str, Entry]], patience: float = PATIENCE) -> None:
        """Store entries. Raises as :meth:`store`."""
        batch = self._room.batch
        for start in range(0, len(items), batch):
            self._store_batch(items[start : start + batch], patience)

    def _store_batch(self, items: Sequence[tuple[str, Entry]], patience: float) -> None:
        records = [(address_of(key), self._record_of(entry), entry.expires) for key, entry in items]
        pages = sum(self._room.pages_for(len(record)) for _, record, _ in records)
        if len(items) > 1 and not self._room.could_hold(pages):
            for key, entry in items:
                self.store(key, entry, patience)
            return

        def store(txn: Any) -> int:
            shelf = self._shelf(txn)
            self._room.check(txn, shelf, pages, len(records))
            evicted = 0
            for address, record, expires in records:
                old = txn.get(address)
                if old is None:
                    evicted += self._keep_limit(shelf)
                shelf.put(address, old, record, expires)
                self._unswept += 1
                self._sweep(shelf, expires)
            shelf.save()
            return evicted

        evicted = self._write(store, pages, patience)
        if evicted:
            self._on_evict(evicted)

    def delete(self, keys: Sequence[str], patience: float = PATIENCE) -> int:
        """Remove keys; how many existed."""

        def delete(txn: Any) -> int:
            shelf = self._shelf(txn)
            removed = sum(shelf.remove(address_of(key)) for key in keys)
            if removed:
                shelf.save()
            return removed

        return self._write(delete, 0, patience)

    def touch(self, key: str, ttl: float | None, patience: float = PATIENCE) -> bool:
        """Give an entry another ttl, from now on; whether there is one."""
        address, now = address_of(key), self._now()
        expires = None if ttl is None else now + ttl

        def touch(txn: Any) -> bool:
            raw = _unexpired(txn.get(address), now)
            if raw is not None:
                self._shelf(txn).extend(address, raw, expires, ttl)
            return raw is not None

        return self._write(touch, 0, patience)

    def replace(
        self,
        key: str,
        expected: Entry | None,
        entry: Entry | None,
        keep_expiry: bool = False,
        patience: float = PATIENCE,
    ) -> bool:
        """Compare and set, see ``Storage.replace``."""
        address, now = address_of(key), self._now()
        wanted = expected.raw if isinstance(expected, LmdbEntry) else None
        record = b"" if entry is None else self._record_of(entry)
        pages = self._room.pages_for(len(record))

        def replace(txn: Any) -> tuple[bool, int]:
            old = find(txn, address)
            found = _unexpired(old, now)
            if found != wanted:
                return False, 0
            shelf = self._shelf(txn)
            evicted = 0
            if entry is None:
                shelf.remove(address)
            else:
                self._room.check(txn, shelf, pages)
                new, expires = record, entry.expires
                if keep_expiry and found is not None:
                    expires, ttl = times_of(found, PREFIX_BYTES)
                    new = with_expiry(record, expires, ttl)
                if old is None:
                    evicted = self._keep_limit(shelf)
                shelf.put(address, old, new, expires)
            shelf.save()
            return True, evicted

        replaced, evicted = self._write(replace, pages, patience)
        if evicted:
            self._on_evict(evicted)
        return replaced

    def clear(self) -> None:
        """Remove all entries."""

        def clear(txn: Any) -> None:
            shelf = self._shelf(txn)
            shelf.clear(self._database.tree)
            shelf.save()

        try:
            self._database.write(clear)
        except NoRoom:
            # The list of all the pages that become free does not fit itself.
            while self._write(self._evict_some, 0, PATIENCE):
                pass

    def _evict_some(self, txn: Any) -> int:
        shelf = self._shelf(txn)
        removed = shelf.evict(self._room.batch, self._now())
        shelf.save()
        return removed

    # What readers write. They do not wait for it: if somebody else is writing, the next one tries.

    def extend(self, key: str, entry: LmdbEntry, now: float) -> None:
        """Restart the stored ttl of an entry that was read at ``now``."""
        address = address_of(key)

        def extend(txn: Any) -> tuple[bytes, int] | None:
            raw = txn.get(address)
            if raw is None or raw[:TICK_BYTES] != entry.tick:
                return None
            expires, ttl = times_of(raw, PREFIX_BYTES)
            if ttl is None or expires is None or now + ttl <= expires:
                return None
            new = self._shelf(txn).extend(address, raw, now + ttl, ttl)
            return (new, txn.id()) if raw == entry.raw else None

        written = self._try(extend)
        if written is not None:
            self._memo.extended(entry, *written)

    def note_visits(self) -> None:
        """Tell the other processes which entries this one has read."""
        marks = self._memo.take_marks()

        def note(txn: Any) -> bool:
            shelf = self._shelf(txn)
            for tick in marks:
                shelf.visit(tick)
            return True

        if marks and not self._try(note):
            self._memo.marks |= marks

    def _try(self, work: Callable[[Any], T]) -> T | None:
        try:
            return self._database.write(work, patience=0)
        except (NoRoom, StorageUnavailable):
            return None

    def _record_of(self, entry: Entry) -> bytes:
        if entry.stamp < self.origin:
            raise StorageUnavailable("the value is from before the database was made anew")
        try:
            return encode_record(entry.held, entry.deps, entry.stamp, entry.expires, entry.ttl)
        except UnsupportedValue as error:
            raise StorageUnavailable(f"the entry cannot be stored: {error}") from error

    # Room

    def _shelf(self, txn: Any) -> Shelf:
        return Shelf(txn, self._memo.marks)

    def _keep_limit(self, shelf: Shelf) -> int:
        """Make room for one more entry within the limit; how many were evicted."""
        if self._limit is None or shelf.count < self._limit:
            return 0
        if self._cull_frequency is None:
            return shelf.evict(shelf.count + 1 - self._limit, self._now())
        removed, _ = shelf.remove_expired(self._now(), self._room.batch)
        if shelf.count < self._limit:
            return removed
        wanted = shelf.count
        if self._cull_frequency:
            wanted = max(wanted // self._cull_frequency, wanted + 1 - self._limit)
        if wanted > self._room.batch:
            # Too many for one transaction; none of this one's work is kept.
            raise Crowded(wanted)
        return removed + shelf.evict(wanted, self._now())

    def _sweep(self, shelf: Shelf, expires: float | None) -> None:
        """Remove some expired entries when that is due; it is when ``expires`` comes, too."""
        if expires is not None and expires < self._sweep_at:
            self._sweep_at = expires
        if expires is None and self._unswept < _UNSWEPT:
            return
        now = self._now()
        if now >= self._sweep_at:
            most = min(_SWEPT * self._unswept, max(_SWEPT, self._room.batch))
            _, following = shelf.remove_expired(now, most)
            self._sweep_at = now + _SWEEP_INTERVAL
            if following is not None and following < self._sweep_at:
                self._sweep_at = following
        self._unswept = 0

    def _write(self, work: Callable[[Any], T], pages: int, patience: float) -> T:
        """Write, making room where there is none.

        Raises:
            StorageIsFull: there is none even then.
        """
        if pages > 1 and not self._room.could_hold(pages):
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
            shelf = self._shelf(txn)
            wanted = max(self._room.entries_to_remove(txn, shelf, pages), least - removed, 0)
            wanted = min(wanted, shelf.count)
            gone = shelf.evict(min(wanted, self._room.batch), self._now()) if wanted else 0
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
            self._on_evict(removed)
        return done


def _unexpired(raw: bytes | None, now: float) -> bytes | None:
    if raw is None:
        return None
    expires, _ = times_of(raw, PREFIX_BYTES)
    return raw if expires is None or expires > now else None
