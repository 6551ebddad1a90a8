"""The position at which a ``get`` missed, for the ``set`` that follows it.

``get`` → miss → read the data → ``set`` is how a cache is used by hand. The value is as old as the
moment of the miss: an invalidation that comes between the two calls must make it invalid. So a miss
leaves its position in the context, and ``set`` of the same key picks it up. (Memcached's leases
serve the same end: Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.)

The notes are immutable and replaced as a whole, so that tasks which copied the context cannot make
each other's values look newer than they are.
"""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["forget_misses", "note_miss", "stamp_of_miss"]

_KEPT = 32
"""Misses remembered per context. A forgotten one only loses the extra protection."""

_Notes = dict[tuple[int, str], int]

_none: _Notes = {}
_notes: ContextVar[_Notes] = ContextVar("zoocache_misses", default=_none)


def note_miss(engine: int, key: str, stamp: int) -> None:
    """Remember that ``key`` was missing at ``stamp``; ``engine`` is the engine's generation."""
    notes = {note: at for note, at in _notes.get().items() if note != (engine, key)}
    if len(notes) >= _KEPT:
        del notes[next(iter(notes))]
    notes[engine, key] = stamp
    _notes.set(notes)


def stamp_of_miss(engine: int, key: str) -> int | None:
    """The position noted for ``key`` in this context, if one was. It is forgotten thereby."""
    notes = _notes.get()
    stamp = notes.get((engine, key)) if notes else None
    if stamp is not None:
        _notes.set({note: at for note, at in notes.items() if note != (engine, key)})
    return stamp


def forget_misses(engine: int) -> None:
    """Forget every position noted for ``engine`` in this context."""
    notes = _notes.get()
    if notes:
        _notes.set({note: at for note, at in notes.items() if note[0] != engine})
