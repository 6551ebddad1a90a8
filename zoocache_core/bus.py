"""Putting a bus together: what ``bus_url`` and ``max_staleness`` ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoocache_core.lease import Lease
from zoocache_core.redis.address import Address
from zoocache_core.redis.authority import Authority
from zoocache_core.redis.keys import Keys
from zoocache_core.redis.link import Link
from zoocache_core.sequence.bus import BusSequence
from zoocache_core.sequence.follower import Follower

if TYPE_CHECKING:
    from zoocache_core.parts import Context

__all__ = ["connect_bus", "follow"]

_DELIVERY = 1.0
"""The longest pause between two attempts to reach the server (see ``redis.breaker``)."""


def follow(context: Context, authority: Authority, lease: Lease) -> Follower:
    """A follower of the log, not started yet, that renews ``lease``."""
    settings = context.settings
    return Follower(
        authority,
        lease,
        settings.clock,
        settings.max_staleness,
        context.report.failed,
        context.report.recovered,
        context.report.lagged if settings.events else None,
    )


def connect_bus(context: Context) -> tuple[BusSequence, Lease]:
    """The sequence of the bus and the lease under which what is local may be served.

    Raises:
        ConfigurationError: ``bus_url`` is not understood.
    """
    settings, trie, clock = context.settings, context.trie, context.settings.clock
    report = context.report
    link = Link(Address.of(settings.bus_url or "", settings.socket_timeout), report.recovered)
    authority = Authority(link, Keys(settings.prefix), trie, clock, report.failed)
    lease = Lease(clock, settings.max_staleness, _DELIVERY)
    follower = follow(context, authority, lease)
    return BusSequence(authority, follower, lease, trie, clock, report.failed), lease
