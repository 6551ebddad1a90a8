"""Invalidations numbered by a Redis that reads do not ask: the bus, and the near cache.

A :class:`~zoocache_core.sequence.follower.Follower` brings the invalidations of other processes and
renews a lease, and only under the lease is anything served that lies in this process, in LMDB or in
another Redis. Without one the reader asks by itself, and where there is no answer, nothing stored
is trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from zoocache_core.clock import Clock
from zoocache_core.lease import Lease
from zoocache_core.redis.authority import Authority
from zoocache_core.sequence.follower import Follower
from zoocache_core.sequence.redis import RedisSequence
from zoocache_core.trie import PrefixTrie

__all__ = ["BusSequence", "FollowedSequence"]


class FollowedSequence(RedisSequence):
    """For strong reads with copies in this process: followed, but reads need no lease."""

    def __init__(
        self,
        authority: Authority,
        follower: Follower,
        trie: PrefixTrie,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(authority, trie, on_error)
        self._follower = follower

    def close(self) -> None:
        self._follower.close()
        super().close()

    def locks(self) -> Iterable[Any]:
        return (*self._follower.locks(), *super().locks())

    def after_fork(self) -> None:
        super().after_fork()
        self._follower.after_fork()


class BusSequence(FollowedSequence):
    """For entries on which the bus's Redis has no say. The link to it belongs to this sequence.

    ``authority`` names that Redis; entries that another one numbered mean nothing to it.
    """

    def __init__(
        self,
        authority: Authority,
        follower: Follower,
        lease: Lease,
        trie: PrefixTrie,
        clock: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(authority, follower, trie, on_error)
        self.leased = lease.current
        self.authority = str(authority.link.address)
        self._lease = lease
        self._now = clock.monotonic
        self._asking = threading.Lock()

    def catch_up(self) -> bool:
        self._follower.ensure()
        arrived = self._now()
        with self._asking:
            # Whoever had to wait here takes the answer that another thread has got meanwhile.
            if not self._lease.asked_since(arrived):
                asked = self._now()
                if not super().catch_up():
                    return False
                self._lease.renew(asked)
            return self._lease.current()

    async def acatch_up(self) -> bool:
        self._follower.ensure()
        asked = self._now()
        if not await super().acatch_up():
            return False
        self._lease.renew(asked)
        return self._lease.current()

    def close(self) -> None:
        super().close()
        self._authority.link.close()

    def locks(self) -> Iterable[Any]:
        return (*super().locks(), *self._authority.link.locks())

    def after_fork(self) -> None:
        self._asking = threading.Lock()
        self._authority.link.after_fork()
        super().after_fork()
