"""A near cache: copies of recently used entries of a shared storage, in this process.

A *near hit* costs no round trip and is served under a lease (see ``lease``), so it may lag behind
invalidations by at most ``max_staleness`` seconds, usually by the time a message takes. A *near
miss* is an ordinary read of the shared storage, as strong as that.

Invalidations reach the copies through the trie. What the trie is not told of, an entry that another
process overwrites, deletes or lets expire, is bounded by the copy's age: it is read anew after
``max_age`` seconds, which also restarts the ttl of the original where reading does that.

A copy must never be older than what this process itself wrote last: a reader that was on its way
while somebody wrote may not put its find in place. Writes are counted per group of keys, before and
after they happen, and a reader whose count changed under it keeps its find to itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from zoocache_core.fastpaths import Hit
from zoocache_core.lease import Lease, leased_hit
from zoocache_core.storage.base import Entry, Frozen, Leases, Storage
from zoocache_core.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from zoocache_core.parts import Context

__all__ = ["NearStorage"]

_GROUPS = 256

_TTL_FRACTION = 4
"""A copy of an entry whose ttl reads restart is read anew after this fraction of it, so that an
entry that is read more often than that never expires."""


class NearStorage:
    """``far`` behind at most ``max_entries`` copies of its entries.

    Where reads of ``far`` are strong, in that they bring the trie up to date, they renew the lease;
    ``follow`` is then called before them, and sees that somebody renews it from then on.
    """

    def __init__(
        self,
        far: Storage,
        lease: Lease,
        context: Context,
        max_entries: int,
        follow: Callable[[], None] | None = None,
    ) -> None:
        settings = context.settings
        self.far = far
        self.leases: Leases | None = far.leases
        self._lease = lease
        self._context = context
        self._trie = context.trie
        self._now = settings.clock.monotonic
        self._max_age = settings.max_staleness
        self._follow = follow
        # Copies dropped for want of room are not evictions: the originals are still there.
        self._near = MemoryStorage(
            context.trie, settings.clock, max_entries, False, lambda count: None
        )
        self._lock = threading.Lock()
        self._writes = [0] * _GROUPS
        self.peek: Callable[[str], Entry | None] = self._near.peek

    def hot_path(self) -> Hit:
        """Hits on copies, for ``parts.Parts``."""
        context = self._context
        return leased_hit(
            self.peek,
            self._lease,
            self._trie,
            context.settings.clock,
            False,
            context.report.counts,
            context.guards,
        )

    def freeze(self, key: str, value: Any) -> Frozen:
        return self.far.freeze(key, value)

    # Reading

    def get(self, key: str) -> Entry | None:
        return self.get_many((key,))[0]

    async def aget(self, key: str) -> Entry | None:
        return (await self.aget_many((key,)))[0]

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        found = self._copies(keys)
        missing = _missing(found)
        if missing:
            question = self._question(missing)
            entries = (
                [self.far.get(missing[0])] if len(missing) == 1 else self.far.get_many(missing)
            )
            self._keep(found, question, entries)
        return [found[key] for key in keys]

    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]:
        found = self._copies(keys)
        missing = _missing(found)
        if missing:
            question = self._question(missing)
            entries = (
                [await self.far.aget(missing[0])]
                if len(missing) == 1
                else await self.far.aget_many(missing)
            )
            self._keep(found, question, entries)
        return [found[key] for key in keys]

    def _copies(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        if not self._lease.current():
            return dict.fromkeys(keys)
        return {key: self._copy(key) for key in keys}

    def _copy(self, key: str) -> Entry | None:
        """The copy, if nothing has invalidated it."""
        copy = self._near.get(key)
        if copy is None or copy.stamp > self._trie.position:
            return None
        # The shared entry may be newer than an invalid copy: another process may have computed it.
        return copy if self._trie.valid(copy.deps, copy.stamp, key) else None

    def _question(self, keys: list[str]) -> _Question:
        if self._follow is not None:
            self._follow()
        return _Question(self._now(), {key: self._writes[_group(key)] for key in keys})

    def _keep(
        self, found: dict[str, Entry | None], question: _Question, entries: list[Entry | None]
    ) -> None:
        """Copy what was found, unless this process has written the key since it asked."""
        if self._follow is not None:
            self._lease.renew(question.asked)
        with self._lock:
            for (key, writes), entry in zip(question.writes.items(), entries, strict=True):
                found[key] = entry
                if entry is not None and self._writes[_group(key)] == writes:
                    self._near.set(key, self._copied(entry, question.asked))

    def _copied(self, entry: Entry, asked: float) -> Entry:
        expires = asked + self._max_age
        if entry.expires is not None:
            expires = min(expires, entry.expires)
        if entry.ttl is not None:
            expires = min(expires, asked + entry.ttl / _TTL_FRACTION)
        # Without a ttl: hits on the copy must not prolong it.
        return Entry(entry.held, entry.thaw, entry.deps, entry.stamp, None, expires)

    # Writing

    def set(self, key: str, entry: Entry) -> None:
        with self._writing((key,), {key: entry}):
            self.far.set(key, entry)

    async def aset(self, key: str, entry: Entry) -> None:
        with self._writing((key,), {key: entry}):
            await self.far.aset(key, entry)

    def set_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        with self._writing([key for key, _ in items], dict(items)):
            self.far.set_many(items)

    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        with self._writing([key for key, _ in items], dict(items)):
            await self.far.aset_many(items)

    def delete(self, keys: Sequence[str]) -> int:
        with self._writing(keys, {}):
            return self.far.delete(keys)

    async def adelete(self, keys: Sequence[str]) -> int:
        with self._writing(keys, {}):
            return await self.far.adelete(keys)

    def touch(self, key: str, ttl: float | None) -> bool:
        with self._writing((key,), {}):
            return self.far.touch(key, ttl)

    async def atouch(self, key: str, ttl: float | None) -> bool:
        with self._writing((key,), {}):
            return await self.far.atouch(key, ttl)

    def get_strong(self, key: str) -> Entry | None:
        return self.far.get_strong(key)

    async def aget_strong(self, key: str) -> Entry | None:
        return await self.far.aget_strong(key)

    def replace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        with self._writing((key,), {}):
            return self.far.replace(key, expected, entry, keep_expiry)

    async def areplace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        with self._writing((key,), {}):
            return await self.far.areplace(key, expected, entry, keep_expiry)

    def remaining(self, key: str) -> float | None:
        return self.far.remaining(key)

    async def aremaining(self, key: str) -> float | None:
        return await self.far.aremaining(key)

    @contextmanager
    def _writing(self, keys: Sequence[str], written: dict[str, Entry]) -> Iterator[None]:
        """Around a write of ``keys`` to the shared storage, which leaves ``written`` there."""
        groups, done = [_group(key) for key in keys], False
        with self._lock:
            for group in groups:
                self._writes[group] += 1
            counts = [self._writes[group] for group in groups]
        try:
            yield
            done = True
        finally:
            with self._lock:
                asked = self._now()
                for key, group, count in zip(keys, groups, counts, strict=True):
                    # If somebody else wrote meanwhile, nobody here can tell who was last.
                    if done and key in written and self._writes[group] == count:
                        self._near.set(key, self._copied(written[key], asked))
                    else:
                        self._near.delete((key,))
                for group in groups:
                    self._writes[group] += 1

    # The rest

    def clear(self) -> None:
        self._near.clear()
        self.far.clear()

    async def aclear(self) -> None:
        self._near.clear()
        await self.far.aclear()

    def __len__(self) -> int:
        return len(self.far)

    def close(self) -> None:
        self._near.close()
        self.far.close()

    def locks(self) -> Iterable[Any]:
        return (self._lock, *self._near.locks(), *self.far.locks())

    def after_fork(self) -> None:
        self.far.after_fork()


class _Question(NamedTuple):
    """When the shared storage was asked, and how often each key had been written by then."""

    asked: float
    writes: dict[str, int]


def _missing(found: dict[str, Entry | None]) -> list[str]:
    return [key for key, entry in found.items() if entry is None]


def _group(key: str) -> int:
    return hash(key) % _GROUPS
