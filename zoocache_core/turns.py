"""Whose turn it is to compute a missing key, among the processes that share a storage.

Inside one process that is settled by ``flight``; the leader of a flight then takes the storage's
lease on the key. Efficiency only: without a lease, a key is computed more than once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from zoocache_core.flows import Flow
from zoocache_core.reading import Found
from zoocache_core.storage.base import Leases, StorageUnavailable

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["give_back", "take_turn"]


def take_turn(
    engine: Runtime, leases: Leases, key: str, refresh: bool = False
) -> Flow[tuple[Any, Found | None]]:
    """This process's lease to compute ``key``, or the entry that another one's computation left.

    To ``refresh`` an entry takes the lease in any case; whether somebody else has just done so is
    then for the holder to find out. Neither, if the storage cannot be reached or the holder takes
    longer than ``flight_timeout``.
    """
    deadline = time.monotonic() + engine.flight_timeout
    while True:
        try:
            lease = yield (leases.acquire, leases.aacquire, (key,))
        except StorageUnavailable as error:
            engine.report.failed("lease", error)
            return None, None
        if lease is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None, None
            yield (leases.wait, leases.await_, (key, left))
        if refresh:
            if lease is None:
                continue
            return lease, None
        # Whoever had the lease before may have stored an entry since this caller looked.
        found: Found | None = yield engine.find_step(key, quiet=True)
        if found is not None and lease is not None:
            yield from give_back(engine, key, lease)
            lease = None
        if found is not None or lease is not None:
            return lease, found


def give_back(engine: Runtime, key: str, lease: Any) -> Flow[None]:
    """Let the next process compute ``key``."""
    leases = engine.storage.leases
    if leases is None:
        return
    try:
        yield (leases.release, leases.arelease, (key, lease))
    except StorageUnavailable as error:
        # It ends by itself.
        engine.report.failed("lease", error)
