"""The table in which Redis keeps the number of every tag: loading it and thinning it out.

Both go through it in pages and in the order of the numbers, so that Redis serves others in between.
A tag that is invalidated meanwhile moves to the end, where it is met later: none is missed.
"""

from __future__ import annotations

from zoocache_core.redis.dialogue import Dialogue, Request, checked, command
from zoocache_core.redis.keys import Keys, tag_of
from zoocache_core.redis.scripts import FORGET, invoke
from zoocache_core.trie import PrefixTrie

__all__ = ["CHUNK", "forget", "load", "number_of"]

CHUNK = 500
"""Tags per script call: Lua cannot pass many thousands of arguments on."""

PAGE = 5_000
"""Tags per answer. More than share one number, which is at most ``CHUNK`` and as many floors."""

_NUMBERS_PER_MS = 2048


def number_of(position: bytes) -> int:
    """The number of a position, which is written ``number-nonce``."""
    return int(position.partition(b"-")[0])


def load(table: bytes, number: int, now: float) -> Dialogue[PrefixTrie]:
    """Everything in ``table`` as a trie at the position ``number``, read before this began."""
    found: list[bytes] = []
    start = b"-inf"
    while True:
        page = yield from _page(table, start, b"+inf")
        found += page
        if len(page) < 2 * PAGE:
            break
        start = page[-1]
    if len(found) <= CHUNK:
        return _trie(found, number, now)
    trie: PrefixTrie = yield lambda: _trie(found, number, now)
    return trie


def _page(table: bytes, start: bytes, end: bytes) -> Dialogue[list[bytes]]:
    """Members and their numbers in turn."""
    ask = command("ZRANGE", table, start, end, "BYSCORE", "LIMIT", 0, PAGE, "WITHSCORES")
    (page,) = yield Request(ask, 1)
    return checked(page)  # type: ignore[no-any-return]


def _trie(found: list[bytes], number: int, now: float) -> PrefixTrie:
    members = [
        (member[:1], tag_of(member[1:]), int(float(score)))
        for member, score in zip(found[::2], found[1::2], strict=True)
    ]
    trie = PrefixTrie()
    with trie.lock:
        # Floors first and from the root down, because new nodes inherit them.
        floors = [(tag, of) for kind, tag, of in members if kind == b"f"]
        for tag, of in sorted(floors, key=lambda floor: (floor[0] != "", floor[0].count(":"))):
            trie.raise_floor(tag, of, now)
        for kind, tag, of in members:
            if kind == b"t":
                trie.mark(of, (tag,), now)
        trie.advance(number)
    return trie


def forget(keys: Keys, position: bytes, nonce: int, max_age: float) -> Dialogue[None]:
    """Drop the numbers of tags not invalidated for ``max_age`` seconds of the server's clock."""
    (time,) = yield Request(command("TIME"), 1)
    seconds, micros = checked(time)
    # The present millisecond counts as past.
    milliseconds = int(seconds) * 1000 + int(micros) // 1000 + 1 - int(max_age * 1000)
    start, end = b"-inf", b"(%d" % (milliseconds * _NUMBERS_PER_MS)
    while True:
        page = yield from _page(keys.tags, start, end)
        old = [
            part
            for member, number in zip(page[::2], page[1::2], strict=True)
            if member[:1] == b"t" and member != b"t"
            for part in (member, number)
        ]
        pieces = [old[i : i + 2 * CHUNK] for i in range(0, len(old), 2 * CHUNK)]
        if pieces:
            calls = [FORGET.call(keys.authority, position, nonce, *piece) for piece in pieces]
            for reply in (yield from invoke(calls)):
                checked(reply)
        if len(page) < 2 * PAGE:
            return
        start = page[-1]
