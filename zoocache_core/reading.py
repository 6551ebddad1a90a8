"""Lookup and verdict: the long way of a read, where storage and authority may have to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoocache_core.flows import Flow
from zoocache_core.storage.base import Entry, StorageUnavailable

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["Found", "acquainted", "find", "find_many", "find_now", "judge"]

Found = tuple[Entry, Any]
"""A valid entry and its value, a copy of the reader's own."""


def find(engine: Runtime, key: str, quiet: bool = False) -> Flow[Found | None]:
    """The valid entry of ``key``. A ``quiet`` lookup is not counted as a miss."""
    return (yield from find_many(engine, (key,), quiet))[0]


def find_now(engine: Runtime, key: str, quiet: bool = False) -> Found | None:
    """:func:`find` for blocking callers where reading entries keeps the trie up to date."""
    try:
        entry = engine.storage.get(key)
    except StorageUnavailable as error:
        engine.report.failed("get", error)
        entry = None
    if entry is not None and entry.stamp > engine.trie.position:
        engine.sequence.catch_up()
    return judge(engine, key, entry, quiet)


def find_many(
    engine: Runtime, keys: Sequence[str], quiet: bool = False
) -> Flow[list[Found | None]]:
    """The valid entries of ``keys``, asked for in one round trip."""
    sequence, storage, trie = engine.sequence, engine.storage, engine.trie
    found: Sequence[Entry | None] = [None] * len(keys)
    leased = sequence.leased
    current = leased is None or leased() or (yield (sequence.catch_up, sequence.acatch_up, ()))
    if current:
        try:
            if len(keys) == 1:
                found = [(yield (storage.get, storage.aget, (keys[0],)))]
            else:
                found = yield (storage.get_many, storage.aget_many, (keys,))
        except StorageUnavailable as error:
            engine.report.failed("get", error)
        if any(entry is not None and entry.stamp > trie.position for entry in found):
            # Somebody who knows of more invalidations than this process stored one of these.
            yield (sequence.catch_up, sequence.acatch_up, ())
    return [judge(engine, key, entry, quiet) for key, entry in zip(keys, found, strict=True)]


def acquainted(engine: Runtime) -> Flow[None]:
    """Before anything is given a stamp: ask the authority for the position, if this process has
    never heard from it. What it stored would else be older than everything, and never valid."""
    if not engine.direct and not engine.trie.position:
        yield (engine.sequence.catch_up, engine.sequence.acatch_up, ())


def judge(engine: Runtime, key: str, entry: Entry | None, quiet: bool = False) -> Found | None:
    """``entry`` with its value, if it is valid for this context; counted and told to the sinks."""
    outcome = "miss"
    if entry is not None:
        trie = engine.trie
        # Read before judging: an invalidation that comes in between makes the memo outdated.
        epoch = trie.epoch
        # A stamp ahead of the position, even after catching up, belongs to a history that the
        # authority no longer has.
        if entry.judged != epoch and (
            entry.stamp > trie.position or not trie.valid(entry.deps, entry.stamp, key)
        ):
            outcome = "stale"
        elif not engine.hides(entry.deps, entry.stamp):
            entry.judged = epoch
            try:
                value = entry.value()
            except Exception as error:  # noqa: BLE001
                # Foreign, truncated or tampered bytes, or a class that no longer loads.
                engine.report.failed("decode", error)
            else:
                engine.report.looked_up("hit", key)
                return entry, value
    if not quiet:
        engine.report.looked_up(outcome, key)
    return None
