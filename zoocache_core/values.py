"""Values by key: what ``get``, ``set``, ``touch``, ``delete`` and ``clear`` do, as flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zoocache_core.deps import current_scope
from zoocache_core.flows import Flow
from zoocache_core.immutables import ATOMS
from zoocache_core.missing import MISSING
from zoocache_core.reading import Found, acquainted, find_many
from zoocache_core.settings import seconds
from zoocache_core.stamps import note_miss, stamp_of_miss
from zoocache_core.storage.base import Entry, StorageUnavailable
from zoocache_core.tags import validate_many

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = [
    "checked_key",
    "clear",
    "delete",
    "found_or_noted",
    "get_many",
    "prepare",
    "set_many",
    "touch",
]

Ttl = float | timedelta | None


def found_or_noted(engine: Runtime, key: str, found: Found | None, default: Any) -> Any:
    """The value of ``found``; a miss is noted for the ``set`` that may follow it."""
    if found is None:
        note_miss(engine.generation, key, engine.stamp())
        return default
    scope = current_scope()
    if scope is not None:
        scope.add(found[0].deps)
    return found[1]


def get_many(engine: Runtime, keys: Iterable[str]) -> Flow[dict[str, Any]]:
    if isinstance(keys, str):
        raise TypeError(f"get_many() takes an iterable of keys, not the str {keys!r:.80}.")
    wanted = list(dict.fromkeys(map(checked_key, keys)))
    found = (yield from find_many(engine, wanted)) if wanted else []
    pairs = [
        (key, found_or_noted(engine, key, one, MISSING))
        for key, one in zip(wanted, found, strict=True)
    ]
    return {key: value for key, value in pairs if value is not MISSING}


def set_many(
    engine: Runtime,
    values: Mapping[str, Any],
    deps: str | Iterable[str],
    ttl: Ttl,
    stamp: int | None,
) -> Flow[bool]:
    if not isinstance(values, Mapping):
        raise TypeError(
            f"set_many() takes a mapping of keys to values, not {type(values).__name__}: "
            f"{values!r:.80}"
        )
    tags = validate_many(deps)
    lifetime = None if ttl is None else seconds(ttl)
    yield from acquainted(engine)
    prepared = [
        (key, prepare(engine, key, value, tags, lifetime, stamp)) for key, value in values.items()
    ]
    items = [(key, entry) for key, entry in prepared if entry is not None]
    if not items:
        return False
    storage = engine.storage
    try:
        if len(items) == 1:
            yield (storage.set, storage.aset, items[0])
        else:
            yield (storage.set_many, storage.aset_many, (items,))
    except StorageUnavailable as error:
        engine.report.failed("set", error)
        return False
    for key, _ in items:
        engine.report.stored(key)
    return len(items) == len(values)


def prepare(
    engine: Runtime,
    key: str,
    value: Any,
    tags: tuple[str, ...],
    lifetime: float | None,
    stamp: int | None,
) -> Entry | None:
    """An entry for ``value``, or ``None`` if it is outdated or uncommitted."""
    if type(key) is not str or not key:
        checked_key(key)
    if type(value) in ATOMS and engine.direct:
        held, thaw = value, None
    else:
        held, thaw = engine.storage.freeze(key, value)
    # The position first, since what moves it adds guards.
    present = engine.trie.position
    if engine.guarding.active or not engine.direct:
        present = engine.stamp()
    if stamp is None:
        stamp = stamp_of_miss(engine.generation, key)
    if stamp is None:
        scope = current_scope()
        if scope is not None and scope.engine is engine and not scope.ended:
            stamp = scope.stamp
    if stamp is None or stamp > present:
        stamp = present
    elif not engine.trie.valid(tags, stamp):
        return None
    if engine.guarding.active and engine.uncommitted():
        return None
    return engine.entry(held, thaw, tags, stamp, lifetime)


def touch(engine: Runtime, key: str, ttl: Ttl) -> Flow[bool]:
    lifetime = engine.entry(None, None, (), 0, None if ttl is None else seconds(ttl)).ttl
    storage = engine.storage
    try:
        found: bool = yield (storage.touch, storage.atouch, (checked_key(key), lifetime))
    except StorageUnavailable as error:
        engine.report.failed("touch", error)
        return False
    return found


def delete(engine: Runtime, key: str) -> Flow[bool]:
    storage = engine.storage
    try:
        removed: int = yield (storage.delete, storage.adelete, ([checked_key(key)],))
    except StorageUnavailable as error:
        engine.report.failed("delete", error)
        return False
    return removed > 0


def clear(engine: Runtime) -> Flow[None]:
    yield (engine.publish, engine.apublish, (("",),))
    storage = engine.storage
    try:
        yield (storage.clear, storage.aclear, ())
    except StorageUnavailable as error:
        # The entries are invalid already; only their space is not given back yet.
        engine.report.failed("clear", error)


def checked_key(key: str) -> str:
    if type(key) is not str or not key:
        raise TypeError(f"A cache key must be a non-empty str, not {key!r}.")
    return key
