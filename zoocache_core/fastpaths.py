"""The hot paths of a cache in memory: a hit and an invalidation, in as few operations as can be.

Nothing here can block and nothing here decides anything that the long way (``reading``,
``sequence``) would decide differently; what is not the common case is left to it. The functions are
built once, at configure time, with all they need in closure cells. One ``hit`` serves every reader
(``cacheable``, ``get``, their asynchronous forms).
"""

from __future__ import annotations

from collections.abc import Callable

from zoocache_core.clock import Clock
from zoocache_core.events import Stats
from zoocache_core.guards import Guards
from zoocache_core.storage.base import Entry
from zoocache_core.tags import invalidation_target
from zoocache_core.trie import PrefixTrie

__all__ = ["Forget", "Hit", "local_forget", "local_hit", "no_forget", "no_hit"]

Hit = Callable[[str], "Entry | None"]
"""The valid entry of a key if that can be told at once; ``None`` means "take the long way"."""


Forget = Callable[[str], bool]
"""Invalidates a tag if that can be done at once; ``False`` means "take the long way"."""


def no_hit(key: str) -> Entry | None:
    """For configurations in which every read has to take the long way."""
    return None


def local_hit(
    peek: Callable[[str], Entry | None],
    trie: PrefixTrie,
    clock: Clock,
    sliding: bool,
    counts: Stats,
    guards: Guards,
) -> Hit:
    """A :data:`Hit` for entries in this process whose trie is always up to date."""
    now = clock.monotonic
    valid = trie.valid

    def hit(key: str) -> Entry | None:
        entry = peek(key)
        if entry is None:
            return None
        # Read before judging: an invalidation that comes in between makes the memo outdated.
        epoch = trie.epoch
        if entry.judged != epoch:
            if not valid(entry.deps, entry.stamp, key):
                return None
            entry.judged = epoch
        if entry.expires is not None:
            moment = now()
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


def no_forget(tag: str) -> bool:
    """For configurations in which every invalidation has to take the long way."""
    return False


def local_forget(trie: PrefixTrie, clock: Clock, counts: Stats) -> Forget:
    """A :data:`Forget` for a trie that is its own authority."""
    now = clock.monotonic
    lock = trie.lock

    def forget(tag: str) -> bool:
        # One that has a path has been validated before.
        if tag not in trie.paths and invalidation_target(tag) != tag:
            return False
        moment = now()
        with lock:
            path = trie.path(tag, moment)
            number = trie.position + 1
            for node in path:
                node.highest = number
                node.touched = moment
            node.number = number
            if trie.watchers:
                for moving in trie.watchers:
                    moving()
            # Numbers on the nodes first, then the position, then the epoch: see ``trie``.
            trie.position = number
            trie.epoch += 1
        counts.invalidations += 1
        return True

    return forget
