"""Storing what was computed: whether it may be stored, and under which conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoocache_core.atomic import add_entry
from zoocache_core.deps import Scope, activate
from zoocache_core.errors import StorageIsFull, UnsupportedValue
from zoocache_core.flows import Flow
from zoocache_core.storage.base import Entry, StorageUnavailable

if TYPE_CHECKING:
    from zoocache_core.calls import Call
    from zoocache_core.runtime import Runtime

__all__ = ["keep"]


def keep(engine: Runtime, request: Call, scope: Scope, value: Any) -> Flow[Entry | None]:
    """Store ``value``, computed in ``scope``; its entry, or ``None`` if it must not be stored.

    An entry is returned also when the storage is down or full: others who wait for the value may
    have it all the same.
    """
    entry = _entry(engine, request, scope, value)
    if entry is not None:
        yield from (_store_first if request.exclusive else _store)(engine, request.key, entry)
    return entry


def _entry(engine: Runtime, request: Call, scope: Scope, value: Any) -> Entry | None:
    """What to store for ``value``, or ``None`` if it must not be stored."""
    if request.tracked and (scope.forbidden is not None or engine.uncommitted()):
        return None
    if request.admit is not None and not request.admit(value):
        return None
    # What is lazy (a queryset that the function returned) reads its data when it is frozen.
    activate(scope)
    try:
        held, thaw = engine.storage.freeze(request.key, value)
    except UnsupportedValue as error:
        if not request.tracked:
            raise
        engine.report.uncacheable(request.key, error)
        return None
    finally:
        activate(scope.parent)
    ttl = request.ttl(value) if callable(request.ttl) else request.ttl
    if not request.tracked:
        return engine.entry(held, thaw, tuple(request.deps), engine.present(), ttl)
    if scope.forbidden is not None:
        return None
    return engine.entry(held, thaw, tuple(scope.deps), scope.stamp, ttl)


def _store(engine: Runtime, key: str, entry: Entry) -> Flow[None]:
    """Store a computed entry if it is still valid. A failing storage is counted, never raised."""
    epoch = engine.trie.epoch
    if not engine.trie.valid(entry.deps, entry.stamp, key):
        # Outdated while it was computed; storing it could only displace a newer one.
        return
    entry.judged = epoch
    storage = engine.storage
    try:
        yield (storage.set, storage.aset, (key, entry))
    except (StorageUnavailable, StorageIsFull) as error:
        engine.report.failed("set", error)
    else:
        engine.report.stored(key)


def _store_first(engine: Runtime, key: str, entry: Entry) -> Flow[None]:
    """:func:`_store`, unless there is a valid entry by now."""
    if engine.trie.valid(entry.deps, entry.stamp, key):
        try:
            yield from add_entry(engine, key, entry)
        except StorageIsFull as error:
            engine.report.failed("set", error)
