"""Changes to the entries of an LMDB database, each in one transaction, with eviction.

A write waits ``patience`` seconds for others that write. With 0 it is for callers that must not be
kept waiting: it raises :class:`GateBusy` not only if somebody else is writing, but also if room has
to be made first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from zoocache_core.clock import Clock
from zoocache_core.errors import UnsupportedValue
from zoocache_core.lmdb.database import Database, NoRoom
from zoocache_core.lmdb.gate import PATIENCE
from zoocache_core.record import encode_record, times_of, with_expiry
from zoocache_core.storage.base import Entry, StorageUnavailable
from zoocache_core.storage.lmdb_entries import (
    PREFIX_BYTES,
    TICK_BYTES,
    address_of,
    find,
    is_simple,
)
from zoocache_core.storage.lmdb_making_room import RoomMaker
from zoocache_core.storage.lmdb_memo import LmdbEntry, Memo
from zoocache_core.storage.lmdb_room import Crowded

__all__ = ["LmdbWriter"]

T = TypeVar("T")

_VISITS = 1000
"""Visits noted at a time: as many as take a reader about a millisecond."""


class LmdbWriter:
    """Writes to ``database`` and keeps ``memo`` up to date with what readers write."""

    def __init__(self, database: Database, memo: Memo, clock: Clock, maker: RoomMaker) -> None:
        self._database = database
        self._memo = memo
        self._now = clock.monotonic
        self._maker = maker
        self.origin = 0
        """What is stamped with less is not stored: nobody knows what it was invalidated by."""

    def store(self, key: str, entry: Entry, patience: float = PATIENCE) -> None:
        """Store an entry.

        Raises:
            StorageIsFull: there is no room even after eviction.
        """
        address, record, expires = address_of(key), self._record_of(entry), entry.expires
        maker = self._maker
        pages = maker.room.pages_for(len(record))

        def store(txn: Any) -> int:
            old = txn.get(address)
            if (
                old is not None
                and expires is None
                and pages == 1
                and maker.idle()
                and is_simple(old)
            ):
                # Nothing but the record changes.
                txn.put(address, old[:PREFIX_BYTES] + record)
                return 0
            shelf = maker.shelf(txn)
            maker.room.check(txn, shelf, pages)
            evicted = 0 if old is not None else maker.keep_limit(shelf)
            shelf.put(address, old, record, expires)
            maker.sweep(shelf, expires)
            shelf.save()
            return evicted

        try:
            # At once, as it mostly can be.
            evicted = self._database.write(store, pages, patience)
        except (Crowded, NoRoom):
            evicted = maker.write(store, pages, patience)
        if evicted:
            maker.tell(evicted)

    def store_many(self, items: Sequence[tuple[str, Entry]], patience: float = PATIENCE) -> None:
        """Store entries. Raises as :meth:`store`."""
        batch = self._maker.room.batch
        for start in range(0, len(items), batch):
            self._store_batch(items[start : start + batch], patience)

    def _store_batch(self, items: Sequence[tuple[str, Entry]], patience: float) -> None:
        records = [(address_of(key), self._record_of(entry), entry.expires) for key, entry in items]
        pages = sum(self._maker.room.pages_for(len(record)) for _, record, _ in records)
        if len(items) > 1 and not self._maker.room.could_hold(pages):
            for key, entry in items:
                self.store(key, entry, patience)
            return

        def store(txn: Any) -> int:
            shelf = self._maker.shelf(txn)
            self._maker.room.check(txn, shelf, pages, len(records))
            evicted = 0
            for address, record, expires in records:
                old = txn.get(address)
                if old is None:
                    evicted += self._maker.keep_limit(shelf)
                shelf.put(address, old, record, expires)
                self._maker.sweep(shelf, expires)
            shelf.save()
            return evicted

        evicted = self._maker.write(store, pages, patience)
        if evicted:
            self._maker.tell(evicted)

    def delete(self, keys: Sequence[str], patience: float = PATIENCE) -> int:
        """Remove keys; how many existed."""

        def delete(txn: Any) -> int:
            shelf = self._maker.shelf(txn)
            removed = sum(shelf.remove(address_of(key)) for key in keys)
            if removed:
                shelf.save()
            return removed

        return self._maker.write(delete, 0, patience)

    def touch(self, key: str, ttl: float | None, patience: float = PATIENCE) -> bool:
        """Give an entry another ttl, from now on; whether there is one."""
        address, now = address_of(key), self._now()
        expires = None if ttl is None else now + ttl

        def touch(txn: Any) -> bool:
            raw = _unexpired(txn.get(address), now)
            if raw is not None:
                self._maker.shelf(txn).extend(address, raw, expires, ttl)
            return raw is not None

        return self._maker.write(touch, 0, patience)

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
        pages = self._maker.room.pages_for(len(record))

        def replace(txn: Any) -> tuple[bool, int]:
            old = find(txn, address)
            found = _unexpired(old, now)
            if found != wanted:
                return False, 0
            shelf = self._maker.shelf(txn)
            evicted = 0
            if entry is None:
                shelf.remove(address)
            else:
                self._maker.room.check(txn, shelf, pages)
                new, expires = record, entry.expires
                if keep_expiry and found is not None:
                    expires, ttl = times_of(found, PREFIX_BYTES)
                    new = with_expiry(record, expires, ttl)
                if old is None:
                    evicted = self._maker.keep_limit(shelf)
                shelf.put(address, old, new, expires)
            shelf.save()
            return True, evicted

        replaced, evicted = self._maker.write(replace, pages, patience)
        if evicted:
            self._maker.tell(evicted)
        return replaced

    def clear(self) -> None:
        """Remove all entries."""

        def clear(txn: Any) -> None:
            shelf = self._maker.shelf(txn)
            shelf.clear(self._database.tree)
            shelf.save()

        try:
            self._database.write(clear)
        except NoRoom:
            # The list of all the pages that become free does not fit itself.
            while self._maker.write(self._evict_some, 0, PATIENCE):
                pass

    def _evict_some(self, txn: Any) -> int:
        shelf = self._maker.shelf(txn)
        removed = shelf.evict(self._maker.room.batch, self._now())
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
            new = self._maker.shelf(txn).extend(address, raw, now + ttl, ttl)
            return (new, txn.id()) if raw == entry.raw else None

        written = self._try(extend)
        if written is not None:
            self._memo.extended(entry, *written)

    def note_visits(self) -> bool:
        """Tell the other processes which entries this one has read; whether that was all."""
        marks = self._memo.take_marks(_VISITS)

        def note(txn: Any) -> bool:
            shelf = self._maker.shelf(txn)
            for tick in marks:
                shelf.visit(tick)
            return True

        if marks and not self._try(note):
            self._memo.marks.update(marks)
            return False
        return len(marks) < _VISITS

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


def _unexpired(raw: bytes | None, now: float) -> bytes | None:
    if raw is None:
        return None
    expires, _ = times_of(raw, PREFIX_BYTES)
    return raw if expires is None or expires > now else None
