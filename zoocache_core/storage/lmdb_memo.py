"""Entries of an LMDB database that this process has decoded, and whether they are still current.

An LMDB transaction has the number of the last one that was committed when it began. An entry that
was read in transaction number n is current for every reader whose own number is n, since nothing
was written in between; for other readers its bytes are compared with those in the database, which
is cheaper than decoding them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zoocache_core.errors import UnsupportedValue
from zoocache_core.record import decode_record, times_of
from zoocache_core.snapshot import unverified_snapshot
from zoocache_core.storage.base import Entry
from zoocache_core.storage.lmdb_entries import PREFIX_BYTES, TICK_BYTES, address_of, find

__all__ = ["SETTLED", "LmdbEntry", "Memo"]

_MOST = 2048
_LARGEST = 8192
"""How many entries are remembered, and of how many bytes at most: 16 MiB, and as much decoded."""

SETTLED = 2
"""From this read on, the value is copied from a decoded one instead of being decoded."""


class LmdbEntry(Entry, eq=False):
    """An entry and where it comes from.

    ``raw`` is what lies in the database, ``tick`` its first bytes, ``seen`` the number of a
    transaction that found it there. ``extend_at`` is the time from which on a read restarts the
    stored ttl.
    """

    raw: bytes = b""
    tick: bytes = b""
    seen: int = -1
    extend_at: float = 0.0
    reads: int = 0


class Memo:
    """The remembered entries by key, and the ``marks`` of those read (see ``lmdb_entries``)."""

    def __init__(
        self,
        loads: Callable[..., Any],
        tti_flush_secs: float,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._loads = loads
        self._flush = tti_flush_secs
        self._on_error = on_error
        self._entries: dict[str, LmdbEntry] = {}
        self.get = self._entries.get
        self.marks: set[bytes] = set()

    def recall(self, txn: Any, key: str) -> LmdbEntry | None:
        """The entry of ``key`` as the transaction sees it, expired or not."""
        entry = self._entries.get(key)
        number = txn.id()
        if entry is not None and entry.seen == number:
            return entry
        raw = find(txn, address_of(key))
        if raw is None:
            self._entries.pop(key, None)
            return None
        if entry is not None and entry.raw == raw:
            entry.seen = number
            return entry
        record = decode_record(memoryview(raw)[PREFIX_BYTES:])
        if record is None:
            self._on_error("decode", ValueError(f"what is stored under {key!r} is no record"))
            return None
        thaw = partial(self._loads, key=key)
        found = LmdbEntry(
            bytes(record.payload), thaw, record.deps, record.stamp, record.ttl, record.expires
        )
        return self._remember(key, found, raw, number)

    def _remember(self, key: str, entry: LmdbEntry, raw: bytes, number: int) -> LmdbEntry:
        entry.raw, entry.tick, entry.seen = raw, raw[:TICK_BYTES], number
        self._schedule(entry)
        self._place(key, entry)
        return entry

    def _schedule(self, entry: LmdbEntry) -> None:
        if entry.expires is not None and entry.ttl is not None:
            # The ttl began last at `expires - ttl`. With half a ttl as the limit, a value that is
            # read at least once in every half of its ttl never expires.
            entry.extend_at = entry.expires - entry.ttl + min(self._flush, entry.ttl / 2)

    def _place(self, key: str, entry: LmdbEntry) -> None:
        if len(entry.raw) > _LARGEST:
            self._entries.pop(key, None)
            return
        if len(self._entries) >= _MOST:
            # All at once, because a dict is slow to find its oldest key. What is in use comes back.
            self._entries.clear()
        self._entries[key] = entry

    def extended(self, entry: LmdbEntry, raw: bytes, number: int) -> None:
        """Note that transaction ``number`` has written ``entry`` with another time of expiry."""
        entry.expires, _ = times_of(raw, PREFIX_BYTES)
        self._schedule(entry)
        entry.raw, entry.seen = raw, number

    def ready(self, key: str, entry: LmdbEntry) -> Entry | None:
        """``entry`` with a decoded value; ``None`` if it cannot be decoded.

        A value that is read once is decoded for its reader. One that is read again is decoded for
        good, and its readers get copies, which cost less.
        """
        try:
            value = entry.value()
        except Exception:  # noqa: BLE001 - told by the long way, which comes upon it again
            return None
        entry.reads += 1
        if entry.reads >= SETTLED and len(entry.raw) <= _LARGEST:
            try:
                held, thaw = unverified_snapshot(value)
            except UnsupportedValue:
                entry.reads = 0
            else:
                settled = LmdbEntry(
                    held,
                    thaw,
                    entry.deps,
                    entry.stamp,
                    entry.ttl,
                    entry.expires,
                    entry.judged,
                    reads=entry.reads,
                )
                return self._remember(key, settled, entry.raw, entry.seen)
        return Entry(value, None, entry.deps, entry.stamp)

    def take_marks(self, most: int) -> list[bytes]:
        """Up to ``most`` of the marks, which are forgotten here."""
        if len(self.marks) <= most:
            marks, self.marks = self.marks, set()
            # A copy: a reader may be adding to the old set at this moment.
            return list(marks)
        return [self.marks.pop() for _ in range(most)]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.marks.clear()
