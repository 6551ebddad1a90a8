"""How invalidations lie in their LMDB database.

One B-tree, in which the first byte of a key says what the rest means:

======  ==========================  ======================================================
key     rest of the key             value
======  ==========================  ======================================================
``t``   a tag, or its digest        number of its last invalidation, when that was, the tag
``l``   a number                    the tags invalidated at that number, or nothing
``m``                               the counters, see :class:`Counters`
``z``                               whose database this is (see ``lmdb.home``)
======  ==========================  ======================================================

Who has applied all numbers up to some position finds the later ones in the log (``l``). The log is
trimmed; whoever is behind its beginning reads all tags instead. So does a new process.

Tags that are pruned leave a *floor* behind: from then on, a path that ends at a tag without a
number asks for a stamp of at least the highest number that was dropped. There is one floor for all
of the user's tags and one for cached calls. It is coarser than the floors that ``PrefixTrie.prune``
leaves in the tries of running processes, and concerns those only that load the tags afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any

import msgspec

from zoocache_core.trie import CALLS, PrefixTrie

__all__ = ["Counters", "LogTrimmed", "TagTable", "load", "logged", "read_counters"]

_LONGEST = 400
"""Bytes of a tag that is used as a key; LMDB takes 511. Cached calls have keys of any length."""

_MOST_LOG = 4096
_LOG_SHARE = 8
"""The log holds up to 4096 numbers and fills one part in so many of the database at most."""

_LARGEST_LOGGED = 4096
"""Bytes of a log record. A longer one is left empty, and whoever needs it reads all tags."""

_TAGS_SHARE = 4
"""From this part of the database on tags are dropped. The rest is for pages that are being read
still, and for transactions."""

_EXAMINED = 64
_DROPPED = 16
"""Of so many tags that a publication looks at when there are too many, so many are dropped."""

_COUNTERS = b"m"
_COUNTERS_FORMAT = Struct("<QQQQ")
_VALUE = Struct("<Qd")
_number = Struct(">Q")
_CALLS = CALLS.encode()

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[str]).decode


class LogTrimmed(Exception):  # noqa: N818 - an answer: load all tags
    """The log does not reach back to the position asked for."""


class Counters(msgspec.Struct):
    """``position``: the last number given. ``trimmed``: the log holds the numbers above it.

    ``floor`` and ``calls_floor`` are the highest numbers of pruned tags and calls.
    """

    position: int
    trimmed: int
    floor: int = 0
    calls_floor: int = 0


def read_counters(txn: Any, origin: int) -> Counters:
    """The counters as they are; before the first invalidation everything is at ``origin``."""
    found = txn.get(_COUNTERS)
    return Counters(origin, origin) if found is None else Counters(*_COUNTERS_FORMAT.unpack(found))


def logged(txn: Any, counters: Counters, position: int) -> list[tuple[int, list[str]]]:
    """The numbers above ``position`` with their tags, in order.

    Raises:
        LogTrimmed: the log does not hold all of them.
    """
    if position < counters.trimmed:
        raise LogTrimmed
    found = []
    for number in range(position + 1, counters.position + 1):
        record = txn.get(b"l" + _number.pack(number))
        if not record:
            raise LogTrimmed
        found.append((number, _unpack(record)))
    return found


def load(txn: Any, counters: Counters, now: float) -> PrefixTrie:
    """A trie of all that is recorded."""
    trie = PrefixTrie()
    # Floors first: nodes that are made afterwards start from them.
    if counters.floor:
        trie.raise_floor("", counters.floor, now)
    if counters.calls_floor:
        trie.raise_floor(CALLS, counters.calls_floor, now)
    # In the order in which it happened, so that each node ends up with the time of the last.
    for number, touched, tag in sorted(_tags(txn)):
        trie.mark(number, (tag,), touched)
    trie.advance(counters.position)
    return trie


def _tags(txn: Any) -> Iterator[tuple[int, float, str]]:
    cursor = txn.cursor()
    more = cursor.set_range(b"t")
    while more and cursor.key()[:1] == b"t":
        value = cursor.value()
        yield (*_VALUE.unpack_from(value), value[_VALUE.size :].decode("utf-8", "surrogatepass"))
        more = cursor.next()


class TagTable:
    """What writes to the database, through transactions of the caller's.

    ``origin`` is the number before the first, ``pages`` the size of the database.
    """

    def __init__(self, origin: int, pages: int, page_size: int) -> None:
        self._origin = origin
        self._page_size = page_size
        self._log = min(max(pages, _EXAMINED // _TAGS_SHARE), _MOST_LOG)
        self._loggable = min(pages * page_size // _LOG_SHARE // self._log, _LARGEST_LOGGED)
        self._most_pages = max(pages // _TAGS_SHARE, 1)
        self._unexamined = 0
        self._place = b"t"

    def pages_for(self, tags: Sequence[str]) -> int:
        """How many pages ``tags`` fill at most, beyond those of a few."""
        return 2 * sum(len(tag) + 64 for tag in tags) // self._page_size

    def publish(self, txn: Any, tags: Sequence[str], now: float) -> int:
        """Give ``tags`` the next number, which is returned."""
        counters = read_counters(txn, self._origin)
        counters.position = number = counters.position + 1
        tags = list(dict.fromkeys(tags))
        for tag in tags:
            raw = tag.encode("utf-8", "surrogatepass")
            txn.put(_key_of(raw), _VALUE.pack(number, now) + raw)
        record = _pack(tags)
        txn.put(b"l" + _number.pack(number), record if len(record) <= self._loggable else b"")
        while number - counters.trimmed > self._log:
            counters.trimmed += 1
            txn.delete(b"l" + _number.pack(counters.trimmed))
        self._unexamined += len(tags)
        if self._unexamined >= _DROPPED:
            self._unexamined = _DROPPED if self._relieve(txn, counters) else 0
        _save(txn, counters)
        return number

    def _relieve(self, txn: Any, counters: Counters) -> bool:
        """Drop some tags, the longest ago invalidated of those looked at, if there are too many."""
        stat = txn.stat()
        used = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        if used <= self._most_pages:
            return False
        examined = []
        for key, number in _numbers(txn, self._place):
            examined.append((number, key))
            if len(examined) == _EXAMINED:
                break
        # Round and round, each time from where the last one ended.
        self._place = examined[-1][1] + b"\0" if len(examined) == _EXAMINED else b"t"
        for number, key in sorted(examined)[: len(examined) * _DROPPED // _EXAMINED]:
            _drop(txn, key, number, counters)
        return True

    def outdated(self, txn: Any, before: float) -> list[tuple[bytes, int]]:
        """Records of tags last invalidated before ``before``, with their numbers."""
        # The root stays: it is one record, and everything is compared with it.
        return [
            (_key_of(tag.encode("utf-8", "surrogatepass")), number)
            for number, touched, tag in _tags(txn)
            if touched < before and tag
        ]

    def drop(self, records: Sequence[tuple[bytes, int]], txn: Any) -> None:
        """Drop ``records`` that still have the same number."""
        counters = read_counters(txn, self._origin)
        for key, number in records:
            value = txn.get(key)
            if value is not None and _VALUE.unpack_from(value)[0] == number:
                _drop(txn, key, number, counters)
        _save(txn, counters)


def _numbers(txn: Any, start: bytes) -> Iterator[tuple[bytes, int]]:
    cursor = txn.cursor()
    more = cursor.set_range(start)
    while more and (key := cursor.key())[:1] == b"t":
        yield key, _VALUE.unpack_from(cursor.value())[0]
        more = cursor.next()


def _drop(txn: Any, key: bytes, number: int, counters: Counters) -> None:
    if key == b"t":
        return
    tag = txn.get(key)[_VALUE.size :]
    if tag.split(b":", 1)[0] == _CALLS:
        counters.calls_floor = max(counters.calls_floor, number)
    else:
        counters.floor = max(counters.floor, number)
    txn.delete(key)


def _save(txn: Any, counters: Counters) -> None:
    fields = counters.position, counters.trimmed, counters.floor, counters.calls_floor
    txn.put(_COUNTERS, _COUNTERS_FORMAT.pack(*fields))


def _key_of(tag: bytes) -> bytes:
    if len(tag) <= _LONGEST:
        return b"t" + tag
    return b"t\xff" + blake2b(tag, digest_size=32).digest()
