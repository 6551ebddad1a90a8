"""What is going on in databases, and what it forbids the cache in which thread or task.

An ORM adapter declares an :class:`Activity` (an open transaction, a unit of work) with
:func:`begin` and :func:`end`. In between, each of its engines has a guard (see ``guards``) that
asks the activities *of the current thread or task*. While there is none in the process, no engine
has a guard, and a hit costs nothing extra.

Whose an activity is shows in who uses it: the threads and tasks that began or joined it, and those
that have a copy of their context. If all of these have ended while it goes on, as when it was begun
in a task that somebody awaited with a timeout, it may be anybody's and counts as everybody's.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import _get_running_loop
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from zoocache_core.engine import Engine

__all__ = ["Activity", "begin", "end", "join"]


class Activity(Protocol):
    """Something private that goes on in a database. It must be weakly referable."""

    @property
    def engines(self) -> Collection[Engine]:
        """Those whose values it concerns."""

    owners: set[Any]
    """The threads and tasks that use it; empty at first, and filled by this module."""

    def hides(self, engine: Engine, deps: Collection[str], stamp: int) -> bool:
        """Whether its owners must not be given a value with these deps, as new as ``stamp``."""

    def uncommitted(self) -> bool:
        """Whether its owners see data that is not committed, so that they may store nothing."""

    def stamp(self, engine: Engine) -> int | None:
        """The position of ``engine`` that its owners' reads are at least as new as."""


class _Guard:
    """The say of all activities of the current thread or task."""

    def __init__(self, engine: Engine) -> None:
        # Weak, because the guards are kept by their engines.
        self._engine = ref(engine)

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        engine = self._engine()
        return engine is not None and any(one.hides(engine, deps, stamp) for one in _mine(engine))

    def uncommitted(self) -> bool:
        engine = self._engine()
        return engine is not None and any(one.uncommitted() for one in _mine(engine))

    def stamp(self) -> int | None:
        engine = self._engine()
        if engine is None:
            return None
        stamps = [one.stamp(engine) for one in _mine(engine)]
        return min((stamp for stamp in stamps if stamp is not None), default=None)


# Replaced as a whole, so that it can be read without the lock. Weak, because what is dropped
# without an end forbids nothing.
_open: tuple[ref[Activity], ...] = ()
# Reentrant, for the garbage collector may close a connection, and so end a transaction, anywhere.
_lock = threading.RLock()
_context: Final[ContextVar[tuple[ref[Activity], ...]]] = ContextVar(
    "zoocache_activities", default=()
)
_guards: Final[WeakKeyDictionary[Engine, _Guard]] = WeakKeyDictionary()


def begin(activity: Activity) -> None:
    """Let ``activity`` forbid what it does, to the current thread or task first of all."""
    global _open
    with _lock:
        _open = (*_open, ref(activity))
        _guard(activity)
    _own(activity)


def join(activity: Activity) -> None:
    """The current thread or task uses ``activity``, too. Does nothing if it has ended."""
    if _owner() not in activity.owners and any(one() is activity for one in _open):
        _own(activity)
    if any(engine.configured and not engine.guards for engine in activity.engines):
        # Configured anew since the beginning.
        with _lock:
            _guard(activity)


def end(activity: Activity) -> None:
    """It forbids nothing any more; doing it again has no effect."""
    global _open
    with _lock:
        left = [one() for one in _open]
        _open = tuple(ref(one) for one in left if one is not None and one is not activity)
        for engine in activity.engines:
            if not any(engine in one.engines for one in left if one not in (None, activity)):
                guard = _guards.get(engine)
                if guard is not None and engine.configured:
                    engine.remove_guard(guard)
    activity.owners.clear()
    mine = _context.get()
    if any(one() is activity for one in mine):
        _context.set(tuple(one for one in mine if one() is not activity))


def _guard(activity: Activity) -> None:
    for engine in activity.engines:
        if engine.configured:
            guard = _guards.get(engine)
            if guard is None:
                guard = _guards[engine] = _Guard(engine)
            engine.add_guard(guard)


def _own(activity: Activity) -> None:
    activity.owners.add(_owner())
    mine = [one for one in _context.get() if _is_open(one) and one() is not activity]
    _context.set((*mine, ref(activity)))


def _is_open(one: ref[Activity]) -> bool:
    # What ended in another context is still in this one.
    activity = one()
    return activity is not None and bool(activity.owners)


def _owner() -> Any:
    task = None if _get_running_loop() is None else asyncio.current_task()
    return threading.current_thread() if task is None else task


def _mine(engine: Engine) -> Iterator[Activity]:
    owner, inherited = _owner(), _context.get()
    for one in _open:
        activity = one()
        if activity is not None and engine in activity.engines:
            owners = activity.owners
            if owner in owners or one in inherited or all(map(_finished, tuple(owners))):
                yield activity


def _finished(owner: Any) -> bool:
    return bool(owner.done()) if isinstance(owner, asyncio.Task) else not owner.is_alive()


def _after_fork() -> None:
    """The activities of the parent process use its connections, which a child must not."""
    global _open, _lock
    _open = ()
    _lock = threading.RLock()
    for engine, guard in list(_guards.items()):
        if engine.configured:
            engine.remove_guard(guard)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
