"""For tests: a clock moved by hand, and the behaviour that every storage must show.

:class:`StorageContract` is a set of pytest test methods written against an engine. A storage's own
tests subclass it and say how an engine on that storage is opened; applications and third-party
storages may do the same.
"""

from __future__ import annotations

from zoocache_core.testing.atomic import AtomicContract
from zoocache_core.testing.clock import ManualClock
from zoocache_core.testing.computations import ComputationsContract
from zoocache_core.testing.invalidation import InvalidationContract
from zoocache_core.testing.lifetime import LifetimeContract
from zoocache_core.testing.threads import in_threads
from zoocache_core.testing.values import ValuesContract

__all__ = ["ManualClock", "StorageContract", "in_threads"]


class StorageContract(
    ValuesContract, InvalidationContract, LifetimeContract, AtomicContract, ComputationsContract
):
    """What an engine does on any storage.

    Subclasses implement ``open(**settings)``, which gives an engine on an empty store, and
    ``pass_time(seconds)``; and may set ``ttl``, a lifetime that ``pass_time`` can let pass.
    """
