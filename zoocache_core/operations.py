"""What the cache APIs of frameworks ask for, as flows over an engine (see ``flows``).

Keys are those that the storage sees. A lifetime is in seconds: infinite for a value that never
expires, and 0 or less for one that has expired already, which Django's API allows.

What is stored without tags follows the framework's rules alone. It does not matter which
transaction is open, and only the cache's own methods forget it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from zoocache_core import MISSING, Engine, atomic
from zoocache_core.calls import Call, call, unwrap
from zoocache_core.errors import StorageIsFull, UnsupportedValue
from zoocache_core.flows import Flow
from zoocache_core.stamps import stamp_of_miss
from zoocache_core.storage.base import Entry, StorageUnavailable
from zoocache_core.trie import CALLS

__all__ = [
    "add",
    "change",
    "delete",
    "exists",
    "get_or_add",
    "get_or_compute",
    "move",
    "put",
    "put_at_once",
    "remaining",
    "remove",
    "touch",
]

Tags = tuple[str, ...] | None
"""Valid tags, or ``None`` for a value that is stored without any."""

_ATTEMPTS: Final = 3
"""How often a value is stored again because the cache was cleared meanwhile."""


def exists(engine: Engine, key: str) -> Flow[bool]:
    """Whether there is a valid entry."""
    if engine.hit(key) is not None:
        return True
    return (yield engine.find_step(key)) is not None


def put(engine: Engine, values: Mapping[str, Any], lifetime: float, tags: Tags) -> Flow[list[str]]:
    """Store ``values``; the keys that could not be.

    Whatever was under such a key before is gone, too: an old value in place of a new one would be
    worse than none.
    """
    keys = list(values)
    if lifetime <= 0:
        yield from remove(engine, keys)
        return []
    try:
        if tags is None:
            stored = yield from _put_plain(engine, values, lifetime)
        else:
            arguments = (values, tags, lifetime)
            stored = yield (engine.set_many, engine.set_many_async, arguments)
    except UnsupportedValue as error:
        raise pickling_error(error) from None
    except StorageIsFull as error:
        engine.report.failed("set", error)
        stored = False
    if stored or not keys:
        return []
    yield from remove(engine, keys)
    return keys


def _put_plain(engine: Engine, values: Mapping[str, Any], lifetime: float) -> Flow[bool]:
    storage = engine.storage
    frozen = [(key, storage.freeze(key, value)) for key, value in values.items()]
    if not frozen:
        return True
    for _ in range(_ATTEMPTS):
        stamp = engine.present()
        items = [(key, engine.entry(*held, (), stamp, lifetime)) for key, held in frozen]
        try:
            if len(items) == 1:
                yield (storage.set, storage.aset, items[0])
            else:
                yield (storage.set_many, storage.aset_many, (items,))
        except StorageUnavailable as error:
            engine.report.failed("set", error)
            return False
        # The answer may have told of a clear() that others had done before.
        if all(engine.trie.valid((), stamp, key) for key, _ in items):
            break
    for key, _ in items:
        stamp_of_miss(engine.generation, key)
        engine.report.stored(key)
    return True


def put_at_once(engine: Engine, key: str, value: Any, lifetime: float, tags: Tags) -> None:
    """:func:`put` of one value for an engine that is ``direct``, where no step can block."""
    storage = engine.storage
    try:
        if lifetime > 0 and tags is None:
            held, thaw = storage.freeze(key, value)
            storage.set(key, engine.entry(held, thaw, (), engine.trie.position, lifetime))
            stamp_of_miss(engine.generation, key)
            engine.report.stored(key)
        elif lifetime <= 0 or not engine.set(key, value, tags or (), lifetime):
            storage.delete((key,))
    except UnsupportedValue as error:
        raise pickling_error(error) from None


def add(engine: Engine, key: str, value: Any, lifetime: float, tags: Tags) -> Flow[bool]:
    """Store ``value`` unless there is a valid entry; whether it was stored, or would have been
    but for its lifetime."""
    if lifetime <= 0:
        return not (yield from exists(engine, key))
    noted, present = stamp_of_miss(engine.generation, key), engine.stamp()
    age = present if noted is None else min(noted, present)
    try:
        held, thaw = engine.storage.freeze(key, value)
        if tags is not None and engine.uncommitted():
            return False

        def if_absent(found: Entry | None, _: Any) -> tuple[bool, Entry | None]:
            if found is not None:
                return False, None
            # Without tags, as new as the look that found nothing, and was told of every clear().
            stamp = engine.present() if tags is None else age
            return True, engine.entry(held, thaw, tags or (), stamp, lifetime)

        flow = atomic.exchange(engine, key, if_absent)
        return (yield from atomic.attempt(engine, "add", flow))
    except UnsupportedValue as error:
        raise pickling_error(error) from None
    except StorageIsFull as error:
        engine.report.failed("add", error)
        return False


def change(engine: Engine, key: str, function: Callable[[Any], Any]) -> Flow[Any]:
    """Replace the value by ``function(value)``, which is returned; ``MISSING`` without an entry."""
    try:
        return (yield from atomic.update(engine, key, function))
    except UnsupportedValue as error:
        raise pickling_error(error) from None
    except StorageIsFull as error:
        engine.report.failed("update", error)
        return MISSING


def touch(engine: Engine, key: str, lifetime: float) -> Flow[bool]:
    """Give the entry another lifetime; whether there is one."""
    if not (yield from exists(engine, key)):
        return False
    if lifetime <= 0:
        yield from remove(engine, [key])
        return True
    touched: bool = yield (engine.touch, engine.touch_async, (key, lifetime))
    return touched


def delete(engine: Engine, key: str) -> Flow[bool]:
    """Remove the entry; whether there was a valid one."""
    existed = yield from exists(engine, key)
    yield from remove(engine, [key])
    return existed


def remove(engine: Engine, keys: Collection[str]) -> Flow[None]:
    """Remove entries, in one round trip.

    If the storage cannot be reached, they are invalidated instead: that is delivered later, and
    what was deleted in an outage, a session for example, does not come back after it.
    """
    if not keys:
        return
    storage = engine.storage
    try:
        yield (storage.delete, storage.adelete, (list(keys),))
    except StorageUnavailable as error:
        engine.report.failed("delete", error)
        yield (engine.publish, engine.apublish, ([f"{CALLS}:{key}" for key in keys],))


def move(engine: Engine, key: str, new_key: str) -> Flow[bool]:
    """Store under ``new_key``, with its tags and the rest of its lifetime, what is under ``key``;
    whether there was anything."""
    found: tuple[Entry, Any] | None = yield engine.find_step(key)
    left = (yield from remaining(engine, key)) if found is not None else 0
    if found is None or left <= 0:
        return False
    entry, value = found
    storage = engine.storage
    moved = Entry(*storage.freeze(new_key, value), entry.deps, entry.stamp)
    if left != math.inf:
        moved.ttl, moved.expires = entry.ttl, engine.now() + left
    try:
        yield (storage.set, storage.aset, (new_key, moved))
    except (StorageUnavailable, StorageIsFull) as error:
        engine.report.failed("set", error)
        yield from remove(engine, [new_key])
    yield from remove(engine, [key])
    return True


def remaining(engine: Engine, key: str) -> Flow[float]:
    """Seconds until the entry expires, infinite if it never does, 0 without one."""
    if not (yield from exists(engine, key)):
        return 0.0
    storage = engine.storage
    try:
        left: float | None = yield (storage.remaining, storage.aremaining, (key,))
    except StorageUnavailable as error:
        engine.report.failed("ttl", error)
        return 0.0
    return left or 0.0


def get_or_add(engine: Engine, key: str, value: Any, lifetime: float, tags: Tags) -> Flow[Any]:
    """The value under ``key``, or else ``value``, which is stored then."""
    found = yield (engine.get, engine.get_async, (key, MISSING))
    if found is not MISSING:
        return found
    yield from add(engine, key, value, lifetime, tags)
    # Somebody else may have been faster.
    return (yield (engine.get, engine.get_async, (key, value)))


def get_or_compute(
    engine: Engine,
    key: str,
    function: Callable[[], Any],
    lifetime: float,
    tags: Tags,
    blocking: bool,
) -> Flow[Any]:
    """The value under ``key``, or what ``function()`` returns, which is stored then.

    One caller computes and the others wait for it. With ``tags`` the entry also depends on what
    the computation is found to read, like that of a cached function.
    """
    own: Any = MISSING

    def compute() -> Any:
        nonlocal own
        own = function()
        return own

    async def acompute() -> Any:
        nonlocal own
        value = function()
        own = await value if inspect.isawaitable(value) else value
        return own

    request = Call(
        key,
        compute if blocking else acompute,
        deps=tags or (),
        ttl=lifetime,
        tracked=tags is not None,
        admit=None if lifetime > 0 else _never,
        exclusive=True,
    )
    try:
        value = unwrap((yield from call(engine, request, blocking)))
    except UnsupportedValue as error:
        raise pickling_error(error) from None
    if own is MISSING:
        return value
    # Somebody else may have stored another one while this caller computed.
    return (yield (engine.get, engine.get_async, (key, value)))


def _never(value: Any) -> bool:
    return False


def pickling_error(error: UnsupportedValue) -> BaseException:
    """What the pickler itself raised, as callers of such caches expect."""
    return error.__cause__ or error
