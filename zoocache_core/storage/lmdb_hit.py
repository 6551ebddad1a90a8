"""The hot path of LMDB storage: a hit in two read transactions and no decoding.

It decides nothing that the long way (``reading``) would decide differently; whatever is not a hit
is left to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb

from zoocache_core.fastpaths import Hit
from zoocache_core.lease import Lease
from zoocache_core.storage.lmdb_memo import SETTLED

if TYPE_CHECKING:
    from zoocache_core.lmdb.home import Home
    from zoocache_core.parts import Context
    from zoocache_core.sequence.lmdb import LmdbSequence
    from zoocache_core.storage.base import Entry
    from zoocache_core.storage.lmdb import LmdbStorage

__all__ = ["lmdb_hit"]


def lmdb_hit(
    context: Context, home: Home, storage: LmdbStorage, numbers: LmdbSequence | Lease
) -> Hit:
    """A :data:`~zoocache_core.fastpaths.Hit` that sees whatever any process has written.

    What was invalidated is told by LMDB as well, or else by a bus, which gives a lease.
    """
    entries, tags, memo = home.entries, home.tags, storage.memo
    remembered, recall, ready = memo.get, memo.recall, memo.ready
    trie, counts = context.trie, context.report.counts
    valid, guards = trie.valid, context.guards
    now = context.settings.clock.monotonic
    sliding = context.settings.read_extend_ttl
    failure = lmdb.Error
    lease = numbers if isinstance(numbers, Lease) else None
    sequence = None if isinstance(numbers, Lease) else numbers

    def hit(key: str) -> Entry | None:
        moment = now()
        if moment >= storage.look_at:
            storage.look_after(moment)
        entry = remembered(key)
        try:
            txn = entries.begin()
            if entry is None or entry.seen != txn.id():
                entry = recall(txn, key) if type(key) is str else None
                txn.abort()
                if entry is None:
                    return None
                storage.note_visits_if_due()
            else:
                txn.abort()
            if sequence is not None:
                # After the entry, so that it covers the entry's stamp.
                txn = tags.begin()
                current = txn.id() == sequence.applied
                txn.abort()
                if not current and not sequence.catch_up():
                    return None
            elif moment >= lease.until:  # type: ignore[union-attr]
                return None
        except failure:
            return None
        # Read before judging: an invalidation that comes in between makes the memo outdated.
        epoch = trie.epoch
        if entry.judged != epoch:
            if entry.stamp > trie.position or not valid(entry.deps, entry.stamp, key):
                return None
            entry.judged = epoch
        if entry.expires is not None:
            if moment >= entry.expires:
                return None
            if sliding and moment >= entry.extend_at:
                storage.extend(key, entry, moment)
        # Last, for a guard may just have been added, because of what `catch_up` has learnt.
        if guards.active and guards.hide(entry.deps, entry.stamp):
            return None
        memo.marks.add(entry.tick)
        if entry.reads < SETTLED:
            decoded = ready(key, entry)
            if decoded is None:
                return None
            counts.hits += 1
            return decoded
        counts.hits += 1
        return entry

    return hit
