"""Entries in an LMDB database that all processes of a host share, without a server.

A read is one LMDB transaction and takes no lock. A write waits at most a second for other writers
(see ``lmdb.gate``); if that is not enough, the storage counts as unavailable. Asynchronous writers
write at once if nobody else is writing, which takes microseconds, and otherwise wait in a thread.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import lmdb

from zoocache_core.codec import Codec
from zoocache_core.errors import ConfigurationError
from zoocache_core.extras import needs_extra
from zoocache_core.lmdb.gate import GateBusy
from zoocache_core.lmdb.home import LOCAL_AUTHORITY, Home, open_home
from zoocache_core.parts import Context, Parts
from zoocache_core.sequence.lmdb import LmdbSequence
from zoocache_core.storage.base import Entry, Frozen, Leases, StorageUnavailable
from zoocache_core.storage.file_leases import FileLeases
from zoocache_core.storage.lmdb_entries import count_entries
from zoocache_core.storage.lmdb_hit import lmdb_hit
from zoocache_core.storage.lmdb_making_room import RoomMaker
from zoocache_core.storage.lmdb_memo import LmdbEntry, Memo
from zoocache_core.storage.lmdb_writer import LmdbWriter

__all__ = ["LmdbStorage", "build"]

T = TypeVar("T")

_LEAST_VERSION = 2

_MOST_MARKS = 50_000

_LOOK_INTERVAL = 1.0
"""Seconds after which a reader sees whether the directory is still there."""

_LARGE = 1 << 18
"""Bytes from which on copying a record takes too long for an event loop."""


class LmdbStorage:
    """``refresh`` brings the trie up to date; it is called after every read of entries."""

    def __init__(self, home: Home, context: Context, refresh: Callable[[], Any]) -> None:
        settings = context.settings
        self._home = home
        self._database = home.entries
        self._refresh = refresh
        self._now = settings.clock.monotonic
        self._sliding = settings.read_extend_ttl
        secret_keys = (
            (settings.secret_key,)
            if isinstance(settings.secret_key, bytes)
            else settings.secret_key or ()
        )
        self._codec = Codec(secret_keys, settings.compress_min_bytes, settings.verify_values)
        self._lru_update_interval = settings.lru_update_interval
        self._visits_due = self._now() + settings.lru_update_interval
        self.peek: Callable[[str], Entry | None] = _nothing
        self._leases = FileLeases(home.directory / "leases")
        self.leases: Leases | None = self._leases
        self.memo = Memo(self._codec.loads, settings.tti_flush_secs, context.report.failed)
        maker = RoomMaker(
            home.entries,
            self.memo,
            settings.clock,
            settings.max_entries,
            context.report.evicted,
            settings.cull_frequency,
        )
        self._writer = writer = LmdbWriter(home.entries, self.memo, settings.clock, maker)
        self._on_error = context.report.failed
        self.look_at = -math.inf
        home.renewed.append(self._renewed)
        self._set_origin()
        self.delete = writer.delete
        self.touch = writer.touch
        self.replace = writer.replace
        self.set = writer.store
        self.set_many = writer.store_many
        self.extend = writer.extend

    def freeze(self, key: str, value: Any) -> Frozen:
        return self._codec.dumps(value, key), partial(self._codec.loads, key=key)

    # Reading

    def _renewed(self) -> None:
        self.memo.clear()
        self._leases.close()
        self._set_origin()

    def _set_origin(self) -> None:
        # Numbers that a bus gives out are not affected by what happens to the directory.
        terms = self._home.terms
        self._writer.origin = terms.origin if terms.authority == LOCAL_AUTHORITY else 0

    def look_after(self, now: float) -> None:
        """What is done from time to time, from ``look_at`` on, by whoever reads."""
        self.look_at = now + _LOOK_INTERVAL
        try:
            self._home.renew_if_lost()
        except StorageUnavailable as error:
            self._on_error("renew", error)

    def get(self, key: str) -> Entry | None:
        now = self._now()
        if now >= self.look_at:
            self.look_after(now)
        memo = self.memo
        entry = memo.get(key)
        try:
            txn = self._database.begin()
            if entry is None or entry.seen != txn.id():
                entry = memo.recall(txn, key)
            txn.abort()
        except lmdb.Error:
            return self.get_many((key,))[0]
        # After the entry, so that it covers the entry's stamp.
        self._refresh()
        self.note_visits_if_due()
        return None if entry is None else self._alive(key, entry)

    get_strong = get

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        now = self._now()
        if now >= self.look_at:
            self.look_after(now)
        recall = self.memo.recall
        found = self._database.read(lambda txn: [recall(txn, key) for key in keys])
        self._refresh()
        self.note_visits_if_due()
        return [
            None if entry is None else self._alive(key, entry)
            for key, entry in zip(keys, found, strict=True)
        ]

    def _alive(self, key: str, entry: LmdbEntry) -> LmdbEntry | None:
        if entry.expires is not None:
            now = self._now()
            if now >= entry.expires:
                return None
            if self._sliding and now >= entry.extend_at:
                self.extend(key, entry, now)
        self.memo.marks.add(entry.tick)
        return entry

    def note_visits_if_due(self) -> None:
        """Tell the other processes from time to time which entries this one has read."""
        now = self._now()
        due = now >= self._visits_due or len(self.memo.marks) > _MOST_MARKS
        if due and self._writer.note_visits():
            self._visits_due = now + self._lru_update_interval

    def remaining(self, key: str) -> float | None:
        entry = self._database.read(lambda txn: self.memo.recall(txn, key))
        if entry is None:
            return None
        left = float("inf") if entry.expires is None else entry.expires - self._now()
        return left if left > 0 else None

    def __len__(self) -> int:
        try:
            return self._database.read(count_entries)
        except StorageUnavailable:
            return 0

    # Writing

    def clear(self) -> None:
        self._writer.clear()
        self.memo.clear()

    # Asynchronous callers

    async def aget(self, key: str) -> Entry | None:
        return self.get(key)

    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]:
        return self.get_many(keys)

    async def aget_strong(self, key: str) -> Entry | None:
        return self.get(key)

    async def aremaining(self, key: str) -> float | None:
        return self.remaining(key)

    async def aset(self, key: str, entry: Entry) -> None:
        await _write_soon(self._writer.store, len(entry.held), key, entry)

    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        size = sum(len(entry.held) for _, entry in items)
        await _write_soon(self._writer.store_many, size, items)

    async def adelete(self, keys: Sequence[str]) -> int:
        return await _write_soon(self.delete, 0, keys)

    async def atouch(self, key: str, ttl: float | None) -> bool:
        return await _write_soon(self.touch, 0, key, ttl)

    async def areplace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        size = 0 if entry is None else len(entry.held)
        return await _write_soon(self.replace, size, key, expected, entry, keep_expiry)

    async def aclear(self) -> None:
        await asyncio.to_thread(self.clear)

    # Lifecycle

    def close(self) -> None:
        self._leases.close()
        self.memo.clear()
        self._home.renewed.remove(self._renewed)
        self._home.close()

    def locks(self) -> Iterable[Any]:
        return (self._home.fork_guard,)

    def after_fork(self) -> None:
        self._home.after_fork()
        self._leases.after_fork()


def _nothing(key: str) -> Entry | None:
    return None


async def _write_soon(write: Callable[..., T], size: int, *arguments: Any) -> T:
    """Write at once where that takes microseconds, in a thread where it may take longer."""
    if size < _LARGE:
        try:
            return write(*arguments, patience=0)
        except GateBusy:
            pass
    return await asyncio.to_thread(write, *arguments)


def build(context: Context) -> Parts:
    """Entries in an LMDB directory, and invalidations too unless there is a bus.

    Raises:
        ConfigurationError: the directory cannot be used; the message says why.
    """
    if int(lmdb.__version__.partition(".")[0]) < _LEAST_VERSION:
        raise ConfigurationError(
            f"Package lmdb {lmdb.__version__} is too old: before 2.0, a process that forks while "
            'it reads may crash. Run: pip install "zoocache-frameworks[lmdb]"'
        )
    if context.settings.bus_url is not None:
        return _with_bus(context)
    home = open_home(context.settings, LOCAL_AUTHORITY)
    sequence = LmdbSequence(home, context)
    # Each of the two closes the home once.
    storage = LmdbStorage(open_home(context.settings, LOCAL_AUTHORITY), context, sequence.refresh)
    sequence.catch_up()
    return Parts(
        storage,
        sequence,
        local=False,
        hit=lmdb_hit(context, home, storage, sequence),
        position=sequence.position,
    )


def _with_bus(context: Context) -> Parts:
    with needs_extra("redis", "bus_url"):
        from zoocache_core.bus import connect_bus
    numbers, lease = connect_bus(context)
    home = open_home(context.settings, numbers.authority)
    storage = LmdbStorage(home, context, _keep)
    return Parts(
        storage,
        numbers,
        local=False,
        hit=lmdb_hit(context, home, storage, lease),
        position=numbers.position,
    )


def _keep() -> None:
    """The bus keeps the trie up to date; there is nothing to refresh it from here."""
