"""Entries in Redis, shared by every process of every host that uses the same prefix.

One key an entry (``zoocache:{prefix}:e:<key>``), which Redis itself expires: no index is kept, and
nothing else is left behind. A read asks for the invalidations that this process has not applied
(see ``redis.authority``) and, in the same round trip, for the entry: so it misses none that had
returned anywhere before it began. (An entry that somebody stores between the two may have a stamp
ahead of what was learned, and makes the engine ask again before it judges.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from zoocache_core.codec import Codec, Undecodable
from zoocache_core.errors import StorageIsFull
from zoocache_core.fastpaths import no_hit
from zoocache_core.parts import Context
from zoocache_core.record import decode_record, encode_record, expiry_bytes
from zoocache_core.redis.authority import Authority
from zoocache_core.redis.dialogue import Dialogue, Request, checked, command, is_full
from zoocache_core.redis.keys import Keys, text
from zoocache_core.redis.leases import RedisLeases
from zoocache_core.redis.link import Link
from zoocache_core.redis.scripts import REPLACE, TOUCH, invoke
from zoocache_core.storage.base import Entry, Frozen, Leases

__all__ = ["RedisEntry", "RedisStorage"]

_WRITES_PER_TTL = 10
"""However rare ``tti_flush_secs`` would have it, an extended ttl is written after a tenth of it, so
that a value which is read again within nine tenths of its ttl never expires."""

_MOST_MS = 1 << 53
_FOREVER, _GONE = -1, -2
"""Answers of PTTL."""


class RedisEntry(Entry, eq=False):
    """``raw`` is the record as it lies in Redis, for compare-and-set."""

    raw: bytes = b""


class RedisStorage:
    """``authority`` is the one behind the same ``link``; ``None`` where a bus numbers."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        authority: Authority | None,
        context: Context,
    ) -> None:
        settings = context.settings
        secrets = settings.secret_key or ()
        self.link = link
        self._leases = RedisLeases(link, keys)
        self.leases: Leases | None = self._leases
        self.peek: Callable[[str], Entry | None] = no_hit
        self._authority = authority
        self._entries = keys.entries
        self._codec = Codec(
            (secrets,) if isinstance(secrets, bytes) else secrets,
            settings.compress_min_bytes,
            settings.verify_values,
        )
        self._now = settings.clock.monotonic
        self._sliding = settings.read_extend_ttl
        self._flush_secs = settings.tti_flush_secs
        self._on_error = context.report.failed

    def freeze(self, key: str, value: Any) -> Frozen:
        return self._codec.dumps(value, key), partial(self._codec.loads, key=key)

    # Reading

    def get(self, key: str) -> Entry | None:
        name, authority = self._entries + text(key), self._authority
        if authority is None:
            raw, left = self.link.exchange(_question(name))
        else:
            asked = authority.position
            news, raw, left = self.link.exchange(_question(name, asked.newer))
            if not authority.apply(asked, news):
                self.link.converse(authority.catch_up())
        entry = self._entry(key, raw, left)
        if entry is not None and entry.ttl is not None and self._sliding:
            extension = self._extensions((name,), (entry,))
            if extension is not None:
                self.link.post(extension)
        return entry

    async def aget(self, key: str) -> Entry | None:
        name, authority = self._entries + text(key), self._authority
        if authority is None:
            raw, left = await self.link.aexchange(_question(name))
        else:
            asked = authority.position
            news, raw, left = await self.link.aexchange(_question(name, asked.newer))
            if not authority.apply(asked, news):
                await self.link.aconverse(authority.catch_up())
        entry = self._entry(key, raw, left)
        if entry is not None and entry.ttl is not None and self._sliding:
            extension = self._extensions((name,), (entry,))
            if extension is not None:
                await self.link.apost(extension)
        return entry

    get_strong = get
    aget_strong = aget

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        found, extensions = self.link.converse(self._find(keys))
        if extensions is not None:
            self.link.post(extensions)
        return found

    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]:
        found, extensions = await self.link.aconverse(self._find(keys))
        if extensions is not None:
            await self.link.apost(extensions)
        return found

    def _find(self, keys: Sequence[str]) -> Dialogue[tuple[list[Entry | None], Request | None]]:
        """The entries, and what restarts the ttls of those for which that is due."""
        names = [self._entries + text(key) for key in keys]
        parts = [command("MGET", *names), *(command("PTTL", name) for name in names)]
        authority = self._authority
        if authority is None:
            replies = yield Request(b"".join(parts), len(parts))
        else:
            asked = authority.position
            news, *replies = yield Request(b"".join((asked.newer, *parts)), len(parts) + 1)
            if not authority.apply(asked, news):
                yield from authority.catch_up()
        found = [
            self._entry(key, raw, left)
            for key, raw, left in zip(keys, checked(replies[0]), replies[1:], strict=True)
        ]
        return found, self._extensions(names, found) if self._sliding else None

    def _entry(self, key: str, raw: Any, left: int) -> Entry | None:
        if raw is None or left == _GONE:
            return None
        record = decode_record(raw) if type(raw) is bytes else None
        if record is None:
            what = Undecodable(f"the key holds something else than an entry: {raw!r:.80}")
            self._on_error("decode", what)
            # Older than everything, so it is never valid; but it can be replaced.
            return RedisEntry(b"", None, (), -1, raw=raw if type(raw) is bytes else b"")
        return RedisEntry(
            record.payload,
            partial(self._codec.loads, key=key),
            record.deps,
            record.stamp,
            record.ttl,
            None if left == _FOREVER else self._now() + left / 1000,
            raw=raw,
        )

    def _extensions(self, names: Sequence[bytes], found: Sequence[Entry | None]) -> Request | None:
        parts = []
        for name, entry in zip(names, found, strict=True):
            if entry is None or entry.ttl is None or entry.expires is None:
                continue
            expires = self._now() + entry.ttl
            if expires - entry.expires >= min(self._flush_secs, entry.ttl / _WRITES_PER_TTL):
                parts.append(command("PEXPIRE", name, _milliseconds(entry.ttl)))
                entry.expires = expires
        return Request(b"".join(parts), len(parts)) if parts else None

    def remaining(self, key: str) -> float | None:
        return self.link.converse(self._remaining(key))

    async def aremaining(self, key: str) -> float | None:
        return await self.link.aconverse(self._remaining(key))

    def _remaining(self, key: str) -> Dialogue[float | None]:
        (left,) = yield Request(command("PTTL", self._entries + text(key)), 1)
        if checked(left) == _FOREVER:
            return math.inf
        return None if left == _GONE else left / 1000

    def __len__(self) -> int:
        """0: Redis does not count the keys of a prefix, and looking for them would stop it."""
        return 0

    # Writing

    def set(self, key: str, entry: Entry) -> None:
        self.link.converse(self._store(((key, entry),)))

    async def aset(self, key: str, entry: Entry) -> None:
        await self.link.aconverse(self._store(((key, entry),)))

    def set_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        self.link.converse(self._store(items))

    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        await self.link.aconverse(self._store(items))

    def _store(self, items: Sequence[tuple[str, Entry]]) -> Dialogue[None]:
        parts = []
        for key, entry in items:
            lifetime = self._lifetime(entry)
            px = () if lifetime is None else ("PX", lifetime)
            parts.append(command("SET", self._entries + text(key), _record(entry), *px))
        authority = self._authority
        if authority is not None:
            # Who stores without having read learns, too, what others have invalidated before.
            asked = authority.position
            parts.insert(0, asked.newer)
        replies = yield Request(b"".join(parts), len(parts))
        news = None if authority is None else replies.pop(0)
        for reply in replies:
            _stored(reply)
        if authority is not None and not authority.apply(asked, news):
            yield from authority.catch_up()

    def delete(self, keys: Sequence[str]) -> int:
        return self.link.converse(self._delete(keys))

    async def adelete(self, keys: Sequence[str]) -> int:
        return await self.link.aconverse(self._delete(keys))

    def _delete(self, keys: Sequence[str]) -> Dialogue[int]:
        names = [self._entries + text(key) for key in keys]
        (removed,) = yield Request(command("UNLINK", *names), 1)
        return int(checked(removed))

    def touch(self, key: str, ttl: float | None) -> bool:
        return self.link.converse(self._touch(key, ttl))

    async def atouch(self, key: str, ttl: float | None) -> bool:
        return await self.link.aconverse(self._touch(key, ttl))

    def _touch(self, key: str, ttl: float | None) -> Dialogue[bool]:
        offset, times = expiry_bytes(None, ttl)
        lifetime = "" if ttl is None else _milliseconds(ttl)
        script = TOUCH.call((self._entries + text(key),), offset, times, lifetime)
        (found,) = yield from invoke([script])
        return bool(checked(found))

    def replace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        return self.link.converse(self._replace(key, expected, entry, keep_expiry))

    async def areplace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        return await self.link.aconverse(self._replace(key, expected, entry, keep_expiry))

    def _replace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool
    ) -> Dialogue[bool]:
        raw = expected.raw if isinstance(expected, RedisEntry) else b""
        lifetime: str | int | None = None
        if keep_expiry:
            lifetime = "keep"
        elif entry is not None:
            lifetime = self._lifetime(entry)
        record = b"" if entry is None else _record(entry)
        script = REPLACE.call((self._entries + text(key),), raw, record, lifetime or "")
        (done,) = yield from invoke([script])
        return bool(_stored(done))

    def _lifetime(self, entry: Entry) -> int | None:
        # Not its ttl: an entry may expire without one that reads restart.
        return None if entry.expires is None else _milliseconds(entry.expires - self._now())

    def clear(self) -> None:
        """Nothing: every entry is invalid already, and looking for them would stop Redis."""

    async def aclear(self) -> None:
        """As :meth:`clear`."""

    # Lifecycle

    def close(self) -> None:
        self._leases.close()
        self.link.close()

    def locks(self) -> Iterable[Any]:
        return (*self._leases.locks(), *self.link.locks())

    def after_fork(self) -> None:
        self.link.after_fork()
        self._leases.after_fork()


def _question(name: bytes, newer: bytes = b"") -> Request:
    """Asks for what is ``newer`` than a position, and then for an entry and its ttl.

    In this order Redis before 7 answers in one piece. The log's part, of which it does not know the
    length before it has written it, would else be sent by itself, after the rest.
    """
    size = len(name)
    packed = b"%b*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n" % (
        newer,
        size,
        name,
        size,
        name,
    )
    return Request(packed, 3 if newer else 2)


def _record(entry: Entry) -> bytes:
    # Without a time of expiry: Redis keeps that, by its own clock.
    return encode_record(entry.held, entry.deps, entry.stamp, None, entry.ttl)


def _milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one, and no more than Redis can add to its clock."""
    return max(1, math.ceil(min(seconds * 1000, _MOST_MS)))


def _stored(reply: Any) -> Any:
    if is_full(reply):
        raise StorageIsFull(
            f"Redis has no room: {reply}. Raise its maxmemory, or let it evict (maxmemory-policy)."
        )
    return checked(reply)
