"""Putting Redis storage together: what ``storage_url`` asks for.

Where ``bus_url`` names the same server, or nothing, that server numbers invalidations too, and
every read is strong. Another ``bus_url`` makes that one the authority, and reads are served under
its lease. A near cache is put in front of either.
"""

from __future__ import annotations

from zoocache_core.bus import connect_bus, follow
from zoocache_core.lease import Lease
from zoocache_core.parts import Context, Parts
from zoocache_core.redis.address import Address
from zoocache_core.redis.authority import Authority
from zoocache_core.redis.keys import Keys
from zoocache_core.redis.link import Link
from zoocache_core.sequence.bus import FollowedSequence
from zoocache_core.sequence.redis import RedisSequence
from zoocache_core.storage.near import NearStorage
from zoocache_core.storage.redis import RedisStorage

__all__ = ["build"]


def build(context: Context) -> Parts:
    """The parts for ``storage_url``. Nothing is connected yet.

    Raises:
        ConfigurationError: a URL is not understood.
    """
    settings, trie = context.settings, context.trie
    address = Address.of(settings.storage_url or "", settings.socket_timeout)
    link, keys = Link(address, context.report.recovered), Keys(settings.prefix)
    if settings.bus_url is not None:
        other = Address.of(settings.bus_url, settings.socket_timeout)
        if not other.same_server(address):
            numbers, lease = connect_bus(context)
            storage = RedisStorage(link, keys, None, context)
            if settings.near_max_entries is None:
                return Parts(storage, numbers, local=False, position=numbers.position)
            near = NearStorage(storage, lease, context, settings.near_max_entries)
            return Parts(near, numbers, local=False, hit=near.hot_path(), position=numbers.position)
    authority = Authority(link, keys, trie, settings.clock, context.report.failed)
    storage = RedisStorage(link, keys, authority, context)
    if settings.near_max_entries is None:
        sequence = RedisSequence(authority, trie, context.report.failed)
        return Parts(storage, sequence, local=False, position=sequence.position)
    lease = Lease(settings.clock, settings.max_staleness)
    follower = follow(context, authority, lease)
    followed = FollowedSequence(authority, follower, trie, context.report.failed)
    near = NearStorage(storage, lease, context, settings.near_max_entries, follower.ensure)
    return Parts(near, followed, local=False, hit=near.hot_path(), position=followed.position)
