"""Entries in this process's memory.

With ``max_entries``, room is made by dropping expired entries first and then by S3-FIFO (Yang et
al., "FIFO queues are all you need for cache eviction", SOSP 2023): new keys pass through a small
queue, and only those read again while there reach the main queue, so a scan of keys that are read
once cannot push out the popular ones. A hit writes one mark and takes no lock.

Without ``max_entries``, every new key makes the storage look at two of the older entries and drop
what has expired or was invalidated, so that dead entries which nobody reads again do not
accumulate.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zoocache_core.clock import Clock
from zoocache_core.snapshot import snapshot, unverified_snapshot
from zoocache_core.storage.base import Entry, Frozen, Leases
from zoocache_core.trie import PrefixTrie

__all__ = ["MemoryStorage"]

_SWEEP = 2
"""Entries examined per new key. More than one, so that the sweep outruns the growth."""

_SLACK = 64
"""Dead queue slots that are tolerated beyond the number of live entries."""


class MemoryStorage:
    """A dict of entries with eviction. Thread-safe; reading takes no lock."""

    leases: Leases | None = None

    def __init__(
        self,
        trie: PrefixTrie,
        clock: Clock,
        max_entries: int | None,
        sliding: bool,
        on_evict: Callable[[int], None],
        cull_frequency: int | None = None,
        verify_values: bool = True,
    ) -> None:
        self._trie = trie
        self._now = clock.monotonic
        self._limit = max_entries
        self._cull_frequency = cull_frequency
        self._snapshot = snapshot if verify_values else unverified_snapshot
        self._sliding = sliding
        self._on_evict = on_evict
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self.peek: Callable[[str], Entry | None] = self._entries.get
        # Queues hold keys, each at most once; a key whose entry is gone leaves a dead slot that is
        # passed over later. `_slots` says which keys have one.
        self._slots: set[str] = set()
        self._small: deque[str] = deque()
        self._main: deque[str] = deque()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self._expiry: list[tuple[float, str]] = []

    def freeze(self, key: str, value: Any) -> Frozen:
        return self._snapshot(value)

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires is not None:
            now = self._now()
            if now >= entry.expires:
                return None
            if self._sliding and entry.ttl is not None:
                entry.expires = now + entry.ttl
        entry.visited = True
        return entry

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        return [self.get(key) for key in keys]

    def set(self, key: str, entry: Entry) -> None:
        with self._lock:
            if key not in self._entries or entry.expires is not None:
                self._put(key, entry)
            else:
                # Its place in the queue and its mark stay what they were.
                entry.visited = self._entries[key].visited
                self._entries[key] = entry

    def set_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        with self._lock:
            for key, entry in items:
                self._put(key, entry)

    def delete(self, keys: Sequence[str]) -> int:
        with self._lock:
            found = sum(self._entries.pop(key, None) is not None for key in keys)
            if len(self._slots) > 2 * len(self._entries) + _SLACK:
                self._compact()
            return found

    def touch(self, key: str, ttl: float | None) -> bool:
        with self._lock:
            entry = self.get(key)
            if entry is None:
                return False
            entry.ttl = ttl
            entry.expires = None if ttl is None else self._now() + ttl
            if entry.expires is not None and self._limit is not None:
                self._schedule(key, entry.expires)
            return True

    get_strong = get

    def replace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        with self._lock:
            current = self._live(key)
            if current is not expected:
                return False
            if entry is None:
                self._entries.pop(key, None)
                return True
            if keep_expiry and current is not None:
                entry.ttl, entry.expires = current.ttl, current.expires
            self._put(key, entry)
            return True

    def remaining(self, key: str) -> float | None:
        entry = self._live(key)
        if entry is None:
            return None
        return math.inf if entry.expires is None else entry.expires - self._now()

    def _live(self, key: str) -> Entry | None:
        """The entry, without the effects of reading it."""
        entry = self._entries.get(key)
        if entry is None or (entry.expires is not None and self._now() >= entry.expires):
            return None
        return entry

    def clear(self) -> None:
        with self._lock:
            # In place: `peek` is bound to this very dict.
            self._entries.clear()
            self._slots.clear()
            self._small.clear()
            self._main.clear()
            self._ghosts.clear()
            self._expiry.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        self.clear()

    def locks(self) -> Iterable[Any]:
        return (self._lock,)

    def after_fork(self) -> None:
        """Nothing here belongs to a process."""

    def _put(self, key: str, entry: Entry) -> None:
        old = self._entries.get(key)
        if old is None and self._cull_frequency is not None:
            self._cull(self._cull_frequency)
        self._entries[key] = entry
        if old is not None:
            entry.visited = old.visited
        if self._limit is None:
            if key not in self._slots:
                self._slots.add(key)
                self._main.append(key)
                self._sweep()
            return
        if entry.expires is not None:
            self._schedule(key, entry.expires)
        if key not in self._slots:
            self._slots.add(key)
            if key in self._ghosts:
                del self._ghosts[key]
                self._main.append(key)
            else:
                self._small.append(key)
        if len(self._entries) > self._limit:
            before = len(self._entries)
            self._make_room(self._limit)
            self._on_evict(before - len(self._entries))

    def _sweep(self) -> None:
        queue, entries = self._main, self._entries
        for _ in range(min(_SWEEP, len(queue))):
            key = queue.popleft()
            entry = entries.get(key)
            if entry is None:
                self._slots.discard(key)
            elif (entry.expires is not None and self._now() >= entry.expires) or (
                not self._trie.valid(entry.deps, entry.stamp, key)
            ):
                del entries[key]
                self._slots.discard(key)
            else:
                queue.append(key)

    def _schedule(self, key: str, expires: float) -> None:
        heapq.heappush(self._expiry, (expires, key))
        if len(self._expiry) > 2 * len(self._entries) + _SLACK:
            self._expiry = [
                (entry.expires, key)
                for key, entry in self._entries.items()
                if entry.expires is not None
            ]
            heapq.heapify(self._expiry)

    def _cull(self, frequency: int) -> None:
        """Make room for a new key at one stroke, once there is none."""
        limit, before = self._limit, len(self._entries)
        if limit is None or before < limit:
            return
        self._drop_expired()
        left = len(self._entries)
        if left >= limit:
            self._make_room(left - left // frequency if frequency else 0)
        self._on_evict(before - len(self._entries))

    def _make_room(self, limit: int) -> None:
        entries = self._entries
        self._drop_expired()
        while len(entries) > limit:
            if self._small and (len(self._small) * 10 > limit or not self._main):
                self._evict_from_small()
            else:
                self._evict_from_main()
        if len(self._slots) > 2 * len(entries) + _SLACK:
            self._compact()

    def _drop_expired(self) -> None:
        heap, entries, now = self._expiry, self._entries, self._now()
        while heap and heap[0][0] <= now:
            _, key = heapq.heappop(heap)
            entry = entries.get(key)
            if entry is None or entry.expires is None:
                continue
            if entry.expires <= now:
                del entries[key]
            else:
                # Its ttl was extended by reads since it was scheduled.
                heapq.heappush(heap, (entry.expires, key))

    def _evict_from_small(self) -> None:
        key = self._small.popleft()
        entry = self._entries.get(key)
        if entry is None:
            self._slots.discard(key)
        elif entry.visited:
            entry.visited = False
            self._main.append(key)
        else:
            del self._entries[key]
            self._slots.discard(key)
            self._ghosts[key] = None
            if len(self._ghosts) > (self._limit or 0):
                self._ghosts.popitem(last=False)

    def _evict_from_main(self) -> None:
        key = self._main.popleft()
        entry = self._entries.get(key)
        if entry is not None and entry.visited:
            entry.visited = False
            self._main.append(key)
            return
        self._slots.discard(key)
        if entry is not None:
            del self._entries[key]

    def _compact(self) -> None:
        self._small = deque(key for key in self._small if key in self._entries)
        self._main = deque(key for key in self._main if key in self._entries)
        self._slots = {*self._small, *self._main}

    async def aget(self, key: str) -> Entry | None:
        return self.get(key)

    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]:
        return self.get_many(keys)

    async def aset(self, key: str, entry: Entry) -> None:
        self.set(key, entry)

    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        self.set_many(items)

    async def adelete(self, keys: Sequence[str]) -> int:
        return self.delete(keys)

    async def atouch(self, key: str, ttl: float | None) -> bool:
        return self.touch(key, ttl)

    async def aget_strong(self, key: str) -> Entry | None:
        return self.get_strong(key)

    async def areplace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        return self.replace(key, expected, entry, keep_expiry)

    async def aremaining(self, key: str) -> float | None:
        return self.remaining(key)

    async def aclear(self) -> None:
        self.clear()
