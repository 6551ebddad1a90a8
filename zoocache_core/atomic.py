"""Read-modify-write of one entry, for counters, locks and "store if there is none".

Everything here is one loop around the storage's compare-and-set (``Storage.replace``): read the
record, judge it, make the new one, store it if the record is still the same, else begin again. An
update that fails has been overtaken by one that succeeded, so somebody always gets on (the loop is
lock-free; Herlihy, "Wait-free synchronization", 1991).

An entry whose tags were invalidated counts as absent, although its record is still there. An
update keeps the deps and the stamp of the entry it changes, so that it cannot make an outdated
entry valid again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zoocache_core.flows import Flow
from zoocache_core.missing import MISSING
from zoocache_core.reading import acquainted, judge
from zoocache_core.runtime import Runtime
from zoocache_core.storage.base import Entry, StorageUnavailable

__all__ = ["Decision", "add", "add_entry", "attempt", "discard", "exchange", "update"]

_ROUNDS = 10_000
"""After so many lost races the storage is taken for one that cannot compare."""

Decision = Callable[["Entry | None", Any], "tuple[bool, Entry | None]"]
"""Given the valid entry and its value, or ``None`` and ``MISSING``: whether to write, and what to
store (``None``: remove the key)."""


def add(
    engine: Runtime,
    key: str,
    value: Any,
    deps: Iterable[str] = (),
    ttl: float | None = None,
    stamp: int | None = None,
) -> Flow[bool]:
    """Store ``value`` unless there is a valid entry; whether it was stored.

    ``deps`` are valid tags, ``ttl`` and ``stamp`` as in ``Engine.set``.

    Raises:
        UnsupportedValue: the value cannot be stored faithfully.
        StorageIsFull: there is no room for it.
    """
    held, thaw = engine.storage.freeze(key, value)
    yield from acquainted(engine)
    position = engine.stamp() if stamp is None else min(stamp, engine.stamp())
    entry = engine.entry(held, thaw, tuple(deps), position, ttl)
    return (yield from add_entry(engine, key, entry))


def add_entry(engine: Runtime, key: str, entry: Entry) -> Flow[bool]:
    """Store ``entry`` unless there is a valid one; whether it was stored.

    Raises:
        StorageIsFull: there is no room for it.
    """

    def if_absent(found: Entry | None, _: Any) -> tuple[bool, Entry | None]:
        return found is None, entry

    return (yield from attempt(engine, "add", exchange(engine, key, if_absent)))


def update(engine: Runtime, key: str, change: Callable[[Any], Any]) -> Flow[Any]:
    """Replace the value under ``key`` by ``change(value)``, which is returned; ``MISSING`` if there
    is none. The entry's deps and the rest of its lifetime stay as they are.

    ``change`` is called again for every attempt, and whatever it raises is raised here.

    Raises:
        UnsupportedValue, StorageIsFull: as :func:`add`.
    """
    new: Any = MISSING

    def changed(found: Entry | None, value: Any) -> tuple[bool, Entry | None]:
        nonlocal new
        if found is None:
            return False, None
        new = change(value)
        held, thaw = engine.storage.freeze(key, new)
        return True, Entry(held, thaw, found.deps, found.stamp, found.ttl, found.expires)

    stored = yield from attempt(engine, "update", exchange(engine, key, changed, keep_expiry=True))
    return new if stored else MISSING


def discard(engine: Runtime, key: str, wanted: Callable[[Any], bool]) -> Flow[bool]:
    """Remove ``key`` if ``wanted(value)`` says so of its value; whether it was removed."""

    def removed(found: Entry | None, value: Any) -> tuple[bool, Entry | None]:
        return found is not None and wanted(value), None

    return (yield from attempt(engine, "discard", exchange(engine, key, removed)))


def exchange(engine: Runtime, key: str, decide: Decision, keep_expiry: bool = False) -> Flow[bool]:
    """Write what ``decide`` makes of the entry under ``key``; whether it wanted to write.

    Raises:
        StorageUnavailable: nobody can tell what is stored, or whether it was.
        StorageIsFull: there is no room for it.
    """
    storage = engine.storage
    for _ in range(_ROUNDS):
        record = yield from _read(engine, key)
        found = judge(engine, key, record, quiet=True)
        write, entry = decide(*(found or (None, MISSING)))
        if not write:
            return False
        arguments = (key, record, entry, keep_expiry)
        # A step that cannot block need not be left to whoever drives the flow.
        if engine.direct:
            replaced = storage.replace(*arguments)
        else:
            replaced = yield (storage.replace, storage.areplace, arguments)
        if replaced:
            if entry is not None:
                engine.report.stored(key)
            return True
    raise StorageUnavailable(f"{key!r} changed {_ROUNDS} times in a row")


def attempt(engine: Runtime, operation: str, flow: Flow[bool]) -> Flow[bool]:
    """``flow``, or ``False`` and a failure counted if the storage cannot be reached."""
    try:
        return (yield from flow)
    except StorageUnavailable as error:
        engine.report.failed(operation, error)
        return False


def _read(engine: Runtime, key: str) -> Flow[Entry | None]:
    """The record of ``key``, valid or not, with the trie brought up to date."""
    sequence, storage = engine.sequence, engine.storage
    if engine.direct:
        return storage.get_strong(key)
    leased = sequence.leased
    if leased is not None and not leased():
        current = yield (sequence.catch_up, sequence.acatch_up, ())
        if not current:
            raise StorageUnavailable("the bus cannot say what was invalidated")
    record: Entry | None = yield (storage.get_strong, storage.aget_strong, (key,))
    if record is not None and record.stamp > engine.trie.position:
        yield (sequence.catch_up, sequence.acatch_up, ())
    return record
