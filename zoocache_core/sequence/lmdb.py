"""Invalidations numbered by an LMDB database that all processes of a host share.

The number of the newest LMDB transaction tells for a tenth of a microsecond whether anybody has
invalidated anything since this process looked last. So every read looks, and an invalidation that
has returned in one process is seen by the next read of any other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import lmdb

from zoocache_core.errors import BusUnavailable
from zoocache_core.lmdb.database import DiskFull, NoRoom
from zoocache_core.lmdb.gate import PATIENCE, GateBusy
from zoocache_core.lmdb.home import Home
from zoocache_core.parts import Context
from zoocache_core.sequence.lmdb_tags import LogTrimmed, TagTable, load, logged, read_counters
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["LmdbSequence"]

_ROOT = ("",)
_MANY = 100
"""More tags than that may be too many for the database, if it has no room for them."""

_LONGEST_PAUSE = 5
"""The attempt from which on the pauses between attempts grow no longer."""

_BATCH = 1000
_PAUSE = 0.25
"""Seconds between two attempts to deliver what could not be written."""


class LmdbSequence:
    """``applied`` is the newest transaction whose invalidations the trie contains."""

    leased: Callable[[], bool] | None = None
    reachable: Callable[[], bool] | None = None

    def __init__(self, home: Home, context: Context) -> None:
        self.applied = -1
        self._home = home
        self._database = home.tags
        self._trie = context.trie
        self._now = context.settings.clock.monotonic
        self._on_error = context.report.failed
        self._on_recovery = context.report.recovered
        self._table = _table_of(home)
        home.renewed.append(self._renewed)
        self._waiting: tuple[str, ...] = ()
        self._waiting_lock = threading.Lock()
        self._delivering = threading.Lock()
        self._stop = threading.Event()
        self._deliverer: threading.Thread | None = None

    def _renewed(self) -> None:
        """The numbers begin anew: what is older than the new beginning is out of date."""
        self.applied = -1
        self._table = _table_of(self._home)
        trie, origin = self._trie, self._home.terms.origin
        with trie.lock:
            if origin <= trie.position:
                # The wall clock was set back since the numbers began.
                trie.restart(origin)
            trie.mark(origin, _ROOT, self._now())
            trie.advance(origin)

    # Reading

    def position(self) -> int:
        """The number of the last invalidation of any process, if the database can be read."""
        if not self._current():
            self.catch_up()
        return self._trie.position

    def refresh(self) -> None:
        """Bring the trie up to date.

        Raises:
            StorageUnavailable: the database cannot be read.
        """
        if not self._current():
            self._database.read(self._apply)

    def _current(self) -> bool:
        try:
            txn = self._database.begin()
            current: bool = txn.id() == self.applied
            txn.abort()
        except lmdb.Error:
            return False
        return current

    def catch_up(self) -> bool:
        try:
            self.refresh()
        except StorageUnavailable as error:
            self._on_error("catch_up", error)
            return False
        return True

    def _apply(self, txn: Any) -> None:
        """Apply what the transaction sees and the trie does not have."""
        trie = self._trie
        counters = read_counters(txn, self._home.terms.origin)
        with trie.lock:
            if counters.position > trie.position:
                now = self._now()
                try:
                    for number, tags in logged(txn, counters, trie.position):
                        trie.mark(number, tags, now)
                except LogTrimmed:
                    trie.adopt(load(txn, counters, now))
                else:
                    trie.advance(counters.position)
            self.applied = max(self.applied, txn.id())

    # Writing

    def publish(
        self, tags: Sequence[str], strict: bool = False, patience: float = PATIENCE
    ) -> bool:
        if self._waiting:
            self._postpone(tags)
            done = self._deliver()
        else:
            done = self._publish_or_postpone(tags, patience)
        if not done:
            self._start_delivering()
            if strict:
                raise BusUnavailable(
                    f"The invalidation could not be written to {self._database.path} yet. It holds "
                    "in this process, and will be written as soon as possible."
                )
        return done

    def _publish_or_postpone(self, tags: Sequence[str], patience: float) -> bool:
        try:
            self._publish(tags, patience)
        except StorageUnavailable as error:
            if patience <= 0 and isinstance(error, GateBusy):
                raise
            self._postpone(tags)
            self._on_error("invalidate", error)
            return False
        return True

    def _publish(self, tags: Sequence[str], patience: float) -> None:
        self._home.renew_if_lost()
        try:
            number, newest = self._number(tags, patience)
        except DiskFull as error:
            raise StorageUnavailable(str(error)) from error
        except NoRoom:
            if patience <= 0:
                raise GateBusy("room has to be made first") from None
            tags, number, newest = self._number_with_effort(tags)
        trie = self._trie
        with trie.lock:
            trie.mark(number, tags, self._now())
            if trie.position == number - 1:
                trie.advance(number)
                self.applied = max(self.applied, newest)
                return
            trie.advance(trie.position)
        # Others have invalidated something since this process looked last.
        self.catch_up()

    def _number(self, tags: Sequence[str], patience: float) -> tuple[int, int]:
        table = self._table

        def publish(txn: Any) -> tuple[int, int]:
            return table.publish(txn, tags, self._now()), txn.id()

        return self._database.write(publish, table.pages_for(tags), patience)

    def _number_with_effort(self, tags: Sequence[str]) -> tuple[Sequence[str], int, int]:
        """Number ``tags``, or the root, although there was no room.

        Either old pages are being read still, which passes, or the database cannot hold so many
        tags. Then everything is forgotten, which includes what was to be, and takes one record.
        """
        deadline = time.monotonic() + PATIENCE
        attempt = 0
        while True:
            if len(tags) > _MANY:
                tags = _ROOT
            else:
                self._database.outwait_readers(attempt)
            attempt = min(attempt + 1, _LONGEST_PAUSE)
            try:
                return tags, *self._number(tags, PATIENCE)
            except NoRoom as error:
                if time.monotonic() > deadline:
                    reason = f"{self._database.path} is full: {error}"
                    raise StorageUnavailable(reason) from error

    def _postpone(self, tags: Sequence[str]) -> None:
        """Keep ``tags`` until they can be written. Until then nothing that depends on them is
        served by this process."""
        self._trie.doubt(tags)
        with self._waiting_lock:
            self._waiting = (*self._waiting, *tags)

    def _deliver(self) -> bool:
        """Write what is waiting; whether nothing is any more."""
        with self._delivering:
            waiting = self._waiting
            if waiting:
                try:
                    self._publish(waiting, PATIENCE)
                except StorageUnavailable:
                    return False
                with self._waiting_lock:
                    self._waiting = self._waiting[len(waiting) :]
                self._trie.settle(waiting)
                self._on_recovery("invalidate")
        return not self._waiting

    def _start_delivering(self) -> None:
        with self._waiting_lock:
            if self._deliverer is None and not self._stop.is_set():
                self._deliverer = threading.Thread(
                    target=self._deliver_until_done, name="zoocache-lmdb", daemon=True
                )
                self._deliverer.start()

    def _deliver_until_done(self) -> None:
        while not self._stop.wait(_PAUSE):
            if self._deliver():
                with self._waiting_lock:
                    if not self._waiting:
                        self._deliverer = None
                        return

    def prune(self, before: float, max_age: float) -> int:
        dropped = len(self._trie.prune(before))
        database, table = self._database, self._table
        try:
            records = database.read(lambda txn: table.outdated(txn, before))
            for start in range(0, len(records), _BATCH):
                database.write(partial(table.drop, records[start : start + _BATCH]))
        except (NoRoom, StorageUnavailable) as error:
            self._on_error("prune", error)
        return dropped

    # Asynchronous callers

    async def apublish(self, tags: Sequence[str], strict: bool = False) -> bool:
        if not self._waiting:
            try:
                return self.publish(tags, strict, patience=0)
            except GateBusy:
                pass
        return await asyncio.to_thread(self.publish, tags, strict)

    async def acatch_up(self) -> bool:
        return self.catch_up()

    # Lifecycle

    def close(self) -> None:
        self._stop.set()
        if self._waiting:
            self._deliver()
        self._home.renewed.remove(self._renewed)
        self._home.close()

    def locks(self) -> Iterable[Any]:
        return (self._home.fork_guard, self._trie.lock)

    def after_fork(self) -> None:
        self._home.after_fork()
        self._waiting_lock = threading.Lock()
        self._delivering = threading.Lock()
        self._deliverer = None
        # The parent delivers what was waiting as well; twice does no harm.
        if self._waiting:
            self._start_delivering()


def _table_of(home: Home) -> TagTable:
    pages = home.tags.map_size // home.tags.page_size
    return TagTable(home.terms.origin, pages, home.tags.page_size)
