"""How entries lie in their LMDB database, and which of them go when room is needed.

One B-tree, in which the first byte of a key says what the rest means:

======  ===============================  ===============================================
key     rest of the key                  value
======  ===============================  ===============================================
``e``   the entry's key, or its digest   tick, number of further parts, then the record
                                         (see ``record``) or its first part
``v``   tick, number of the part         a further part of the record
``q``   tick                             1 if visited else 0, then the ``e`` key
``x``   time of expiry, tick             nothing
``m``                                    the counters, see :class:`Shelf`
``z``                                    whose database this is (see ``lmdb.home``)
======  ===============================  ===============================================

Records of more than a page are cut into parts of a page each. LMDB keeps a value in adjacent pages
and cannot move it, so that large values would soon find free pages enough but none side by side.

A *tick* is the number of an insertion, so ``q`` is the queue of all entries in the order of their
arrival. Room is made by removing expired entries first (``x``), then by SIEVE (Zhang et al.,
"SIEVE is simpler than LRU", NSDI 2024): a *hand* moves through the queue towards the newest entry,
spares those that were visited since it last came by, and removes the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import Any

from zoocache_core.lmdb.database import LINEAGE
from zoocache_core.record import never_expires, times_of, with_expiry

__all__ = [
    "PART_BYTES",
    "PREFIX_BYTES",
    "TICK_BYTES",
    "Shelf",
    "address_of",
    "count_entries",
    "find",
]

TICK_BYTES = 8
PREFIX_BYTES = 12
"""Length of the tick, and of all that comes before a record."""

PART_BYTES = 4080
"""What fits into the smallest page beside LMDB's own header."""

_ONE_PART = bytes(4)
_INLINE = 2000
"""Smaller values lie in the pages of the tree, roughly, and larger ones in pages of their own."""

_LONGEST = 400
"""Bytes of a key that is used as it is; LMDB takes 511. Longer ones are hashed."""

_COUNTERS = b"m"
_FORMAT = Struct("<QQQQQ")
_NO_COUNTERS = bytes(_FORMAT.size)

_MOST_SPARED = 256
"""Visited entries that the hand passes in one go; then it takes what it finds."""

_pack_number = Struct(">Q").pack
_pack_part = Struct(">I").pack
_time = Struct(">d")


def address_of(key: str) -> bytes:
    """Where the entry of ``key`` lies."""
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST:
        return b"e" + raw
    # No encoded text begins with this byte, so a digest is never taken for a key.
    return b"e\xff" + blake2b(raw, digest_size=32).digest()


def count_entries(txn: Any) -> int:
    """How many entries there are."""
    found = txn.get(_COUNTERS)
    return 0 if found is None else int(_FORMAT.unpack(found)[1])


def find(txn: Any, address: bytes) -> bytes | None:
    """What lies at ``address``, all parts of it."""
    raw: bytes | None = txn.get(address)
    if raw is None or raw[TICK_BYTES:PREFIX_BYTES] == _ONE_PART:
        return raw
    parts = [raw, *(txn.get(key, b"") for key in _further_parts(raw))]
    return b"".join(parts)


def is_simple(raw: bytes) -> bool:
    """Whether an entry is no more than its first part: nothing follows it, it never expires."""
    return len(raw) < _INLINE and never_expires(raw, PREFIX_BYTES)


def _further_parts(raw: bytes) -> Iterator[bytes]:
    place = b"v" + raw[:TICK_BYTES]
    for number in range(int.from_bytes(raw[TICK_BYTES:PREFIX_BYTES], "big")):
        yield place + _pack_part(number)


class Shelf:
    """The entries, through one write transaction that is the caller's to commit.

    ``marks`` are ticks of entries which this process has read and not yet noted in the database.
    ``count`` is the number of entries; ``pending`` are the pages of values that the last two
    transactions removed, which may not be free yet. Whoever changes entries calls :meth:`save` at
    the end.
    """

    __slots__ = (
        "_freed",
        "_freed_before",
        "_hand",
        "_marks",
        "_saved",
        "_tick",
        "_txn",
        "count",
        "pending",
    )

    count: int
    pending: int

    def __init__(self, txn: Any, marks: set[bytes]) -> None:
        self._txn = txn
        self._marks = marks
        self._saved = saved = txn.get(_COUNTERS, _NO_COUNTERS)
        self._tick, self.count, self._hand, before, earlier = _FORMAT.unpack(saved)
        self.pending = before + earlier
        self._freed_before = before
        self._freed = 0

    def save(self) -> None:
        """Write the counters back, if they have changed."""
        counters = _FORMAT.pack(self._tick, self.count, self._hand, self._freed, self._freed_before)
        if counters != self._saved:
            self._txn.put(_COUNTERS, counters)

    def put(self, address: bytes, old: bytes | None, record: bytes, expires: float | None) -> None:
        """Store ``record`` at ``address``, where the first part of what was there is ``old``."""
        txn = self._txn
        if old is None:
            self._tick += 1
            self.count += 1
            tick = _pack_number(self._tick)
            txn.put(b"q" + tick, b"0" + address)
        else:
            tick = old[:TICK_BYTES]
            self._take_away(tick, old)
        if expires is not None:
            txn.put(b"x" + _time.pack(expires) + tick, b"")
        if len(record) <= PART_BYTES - PREFIX_BYTES:
            txn.put(address, tick + _ONE_PART + record)
        else:
            self._put_parts(address, tick, record)

    def _put_parts(self, address: bytes, tick: bytes, record: bytes) -> None:
        first = PART_BYTES - PREFIX_BYTES
        starts = range(first, len(record), PART_BYTES)
        raw = tick + _pack_part(len(starts)) + record[:first]
        self._txn.put(address, raw)
        for key, start in zip(_further_parts(raw), starts, strict=True):
            self._txn.put(key, record[start : start + PART_BYTES])

    def extend(self, address: bytes, old: bytes, expires: float | None, ttl: float | None) -> bytes:
        """Give the entry another time of expiry and ttl; the first part of what is there now."""
        tick = old[:TICK_BYTES]
        self._unschedule(tick, old)
        if expires is not None:
            self._txn.put(b"x" + _time.pack(expires) + tick, b"")
        raw = old[:PREFIX_BYTES] + with_expiry(old[PREFIX_BYTES:], expires, ttl)
        self._txn.put(address, raw)
        return raw

    def remove(self, address: bytes) -> bool:
        """Remove what lies at ``address``; whether there was anything."""
        old = self._txn.get(address)
        if old is None:
            return False
        tick = old[:TICK_BYTES]
        self._take_away(tick, old)
        self._txn.delete(b"q" + tick)
        self._txn.delete(address)
        self._marks.discard(tick)
        self.count -= 1
        return True

    def _take_away(self, tick: bytes, old: bytes) -> None:
        """Remove what belongs to an entry beside its first part and its place in the queue."""
        self._unschedule(tick, old)
        if len(old) > _INLINE:
            self._freed += 1
            for key in _further_parts(old):
                self._txn.delete(key)
                self._freed += 1

    def _unschedule(self, tick: bytes, old: bytes) -> None:
        expires, _ = times_of(old, PREFIX_BYTES)
        if expires is not None:
            self._txn.delete(b"x" + _time.pack(expires) + tick)

    def remove_expired(self, now: float, most: int) -> tuple[int, float | None]:
        """Remove up to ``most`` expired entries: how many, and when the next one expires."""
        removed = 0
        while True:
            cursor = self._txn.cursor()
            if not cursor.set_range(b"x") or cursor.key()[:1] != b"x":
                return removed, None
            found = cursor.key()
            (expires,) = _time.unpack_from(found, 1)
            if expires > now or removed == most:
                return removed, expires
            queued = self._txn.get(b"q" + found[9:])
            self._txn.delete(found)
            if queued is not None:
                removed += self.remove(queued[1:])

    def evict(self, wanted: int, now: float) -> int:
        """Remove ``wanted`` entries, expired ones first; how many."""
        removed, _ = self.remove_expired(now, wanted)
        spared = 0
        for key, value in self._from_hand():
            if removed >= wanted:
                break
            tick = key[1:]
            visited = value[:1] == b"1"
            if spared < _MOST_SPARED and (visited or tick in self._marks):
                spared += 1
                self._marks.discard(tick)
                if visited:
                    self._txn.put(key, b"0" + value[1:])
            else:
                removed += self.remove(value[1:])
            self._hand = int.from_bytes(tick, "big")
        return removed

    def _from_hand(self) -> Iterator[tuple[bytes, bytes]]:
        """The queue from the hand to its end, and on from its beginning, round and round."""
        place = b"q" + _pack_number(self._hand + 1)
        while self.count:
            cursor = self._txn.cursor()
            if not cursor.set_range(place) or cursor.key()[:1] != b"q":
                if place == b"q":
                    return
                place = b"q"
                continue
            key, value = cursor.item()
            yield key, value
            place = key + b"\0"

    def clear(self, tree: Any) -> None:
        """Remove all entries at once. ``tree`` is the handle of the database's B-tree."""
        lineage = self._txn.get(LINEAGE)
        self._txn.drop(tree, delete=False)
        self._txn.put(LINEAGE, lineage)
        self.count = 0
        self._saved = b""

    def visit(self, tick: bytes) -> None:
        """Note that the entry of ``tick`` was read."""
        value = self._txn.get(b"q" + tick)
        if value is not None and value[:1] == b"0":
            self._txn.put(b"q" + tick, b"1" + value[1:])
