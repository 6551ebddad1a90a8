"""For how long what this process holds may be served without asking anybody.

Where entries live in the process but invalidations are numbered elsewhere, a hit is only as good
as this process's knowledge of the invalidations. A listener keeps that up to date and renews a
*lease* with each answer it gets: whoever holds the lease knows every invalidation that returned
before ``until - max_staleness``. When the answers stop, for whatever reason, the lease runs out by
itself; no failure has to be noticed for a hit to stop being served. (Gray and Cheriton, "Leases: an
efficient fault-tolerant mechanism for distributed file cache consistency", SOSP 1989.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from zoocache_core.clock import Clock
from zoocache_core.events import Stats
from zoocache_core.fastpaths import Hit
from zoocache_core.guards import Guards
from zoocache_core.storage.base import Entry
from zoocache_core.trie import PrefixTrie

__all__ = ["Lease", "leased_hit"]

_MARGIN = 0.25
"""Seconds for connecting and for messages to arrive."""


class Lease:
    """``until`` is a reading of the clock's ``monotonic``; it is written without a lock.

    Renewals only ever extend it, and two that race leave one of two true statements behind.

    Args:
        term: how long an answer is good for, in seconds.
        delivery: the longest time, in seconds, after which whoever could not announce an
            invalidation because the authority was away tries again. After an outage the lease is
            not renewed before everybody has had that time, or else what was invalidated during the
            outage would be served once more.
    """

    __slots__ = ("_asked", "_bridge", "_delivery", "_now", "_resumes", "_term", "until")

    def __init__(self, clock: Clock, term: float, delivery: float = 0.0) -> None:
        self._now = clock.monotonic
        self._term = term
        self._delivery = delivery
        # An outage that ends while this much of the term is left needs no extra care: what was
        # invalidated during it will have arrived before the term of the invalidation is over.
        self._bridge = max(0.4 * term, term - delivery - _MARGIN)
        self._asked = -math.inf
        self._resumes = -math.inf
        self.until = -math.inf

    def current(self) -> bool:
        """Whether the trie is at most the term behind the authority."""
        return self._now() < self.until

    def renew(self, asked: float) -> None:
        """Extend: everything that the authority had when it was ``asked`` has been applied."""
        away = asked - self._asked
        if away <= 0:
            return
        if self._delivery and self._bridge < away < math.inf:
            # Attempts are repeated after pauses that grow as the outage does.
            self._resumes = asked + min(self._delivery, away) + _MARGIN
        self._asked = asked
        if asked >= self._resumes:
            self.until = asked + self._term

    def asked_since(self, moment: float) -> bool:
        """Whether an answer has come to a question put at ``moment`` or later."""
        return self._asked >= moment

    def drop(self) -> None:
        """End the lease now."""
        self.until = -math.inf


def leased_hit(
    peek: Callable[[str], Entry | None],
    lease: Lease,
    trie: PrefixTrie,
    clock: Clock,
    sliding: bool,
    counts: Stats,
    guards: Guards,
) -> Hit:
    """A :data:`~zoocache_core.fastpaths.Hit` for entries in this process that a lease covers."""
    now = clock.monotonic
    valid = trie.valid

    def hit(key: str) -> Entry | None:
        entry = peek(key)
        if entry is None:
            return None
        moment = now()
        if moment >= lease.until:
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
            if sliding and entry.ttl is not None:
                entry.expires = moment + entry.ttl
        # Last, lest one should be added in between: see `guards`.
        if guards.active and guards.hide(entry.deps, entry.stamp):
            return None
        if not entry.visited:
            entry.visited = True
        counts.hits += 1
        return entry

    return hit
