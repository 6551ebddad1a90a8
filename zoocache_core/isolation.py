"""What is going on in databases, and what it forbids the cache in which thread or task.

An ORM adapter declares an :class:`Activity` (an open transaction, a unit of work) with
:func:`begin` and :func:`end`. In between, its engines may have a guard (see ``guards``) that asks
the activities *of the current thread or task*.

They have one only while it matters. A transaction that has written nothing, and began after the
newest invalidation, forbids nothing: no value is newer than what it reads. That changes when it
writes (:func:`rouse`) and when somebody invalidates, of which the engine tells (``Engine.watch``).
Until then a hit costs nothing extra.

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
from threading import current_thread
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet, ref

from zoocache_core.guards import Guard

if TYPE_CHECKING:
    from zoocache_core.engine import Engine

__all__ = ["Activity", "begin", "end", "inherited", "join", "reconsider", "rouse"]


class Activity(Protocol):
    """Something private that goes on in a database. It must be weakly referable."""

    @property
    def engines(self) -> Collection[Engine]:
        """Those whose values it concerns."""

    owners: set[Any]
    """The threads and tasks that use it; filled by this module, and empty when it is over."""

    @property
    def by_thread(self) -> bool:
        """Whether its connection belongs to a thread with all the tasks in it, and is of no use to
        anybody once that has ended, as a connection of Django is."""

    def quiet(self, engine: Engine) -> bool:
        """Whether it forbids nothing at present, and will not until it is roused or the engine's
        position moves."""

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

    def moving(self) -> None:
        """The position is about to move: what an activity reads may be older from now on."""
        if _open:
            engine = self._engine()
            if engine is not None and self not in engine.guards:
                engine.add_guard(self)

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        engine = self._engine()
        if engine is None:
            return False
        if not _open:
            # It was left behind by the last one, whose end came at a bad moment.
            _relax(engine)
        return any(one.hides(engine, deps, stamp) for one in _mine(engine))

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
# That is also why nobody waits for another lock while holding it.
_lock = threading.RLock()
_context: Final[ContextVar[tuple[ref[Activity], ...]]] = ContextVar(
    "zoocache_activities", default=()
)
# The engines that have a guard of this module.
_kept: Final[WeakSet[Engine]] = WeakSet()


def begin(activity: Activity) -> None:
    """Let ``activity`` forbid what it does, to the current thread or task first of all.

    The positions that it reads at have been taken before: a move that this call comes too late for
    makes them old, which shows.
    """
    global _open
    _own(activity)
    with _lock:
        _open = (*_open, ref(activity))
    for engine in activity.engines:
        if engine.configured:
            guard = engine.keeper or _guard_of(engine)
            if guard not in engine.guards and not activity.quiet(engine):
                with _lock:
                    engine.add_guard(guard)


def rouse(activity: Activity) -> None:
    """``activity`` has just got something to forbid."""
    with _lock:
        for engine in activity.engines:
            if engine.configured:
                guard = engine.keeper or _guard_of(engine)
                if guard not in engine.guards:
                    engine.add_guard(guard)


def join(activity: Activity) -> None:
    """The current thread or task uses ``activity``, too. Does nothing if it has ended."""
    owners = activity.owners
    if owners and _owner(activity) not in owners:
        _own(activity)


def end(activity: Activity) -> None:
    """It forbids nothing any more; doing it again has no effect."""
    global _open
    # There is one weak reference to an object, whoever asks for it.
    ended = (ref(activity),)
    with _lock:
        if _open == ended:
            _open = ()
        else:
            _open = tuple([one for one in _open if one() not in (None, activity)])
    activity.owners.clear()
    mine = _context.get()
    if mine:
        _context.set(() if mine == ended else tuple([one for one in mine if _is_open(one)]))
    for engine in activity.engines:
        if engine.guards:
            _relax(engine)


def reconsider(engine: Engine) -> None:
    """Other activities than before concern ``engine`` from now on."""
    if engine.configured:
        guard = engine.keeper or _guard_of(engine)
        with _lock:
            engine.add_guard(guard)
        _relax(engine)


def inherited() -> Iterator[Activity]:
    """The open activities of the current context, whoever's thread they go on in."""
    for one in _context.get():
        activity = one()
        if activity is not None and activity.owners:
            yield activity


def _guard_of(engine: Engine) -> Guard:
    with _lock:
        if engine.keeper is None:
            engine.keeper = _Guard(engine)
            _kept.add(engine)
        guard: Any = engine.keeper
    engine.watch(guard.moving)
    return engine.keeper


def _relax(engine: Engine) -> None:
    """Remove the guard of ``engine`` if no activity needs it."""
    guard = engine.keeper
    if guard is None or guard not in engine.guards or not engine.configured:
        return
    lock = engine.trie.lock
    with _lock:
        # The position must not move meanwhile. It is about to, if somebody else has the lock; then
        # the guard stays until the next end.
        if lock.acquire(blocking=False):
            try:
                if not _open or not any(_needs_guard(one(), engine) for one in _open):
                    engine.remove_guard(guard)
            finally:
                lock.release()


def _needs_guard(activity: Activity | None, engine: Engine) -> bool:
    return (
        activity is not None
        and bool(activity.owners)
        and engine in activity.engines
        and not activity.quiet(engine)
    )


def _own(activity: Activity) -> None:
    activity.owners.add(_owner(activity))
    mine, reference = _context.get(), ref(activity)
    if mine:
        mine = tuple([one for one in mine if _is_open(one) and one is not reference])
    _context.set((*mine, reference))


def _is_open(one: ref[Activity]) -> bool:
    # What ended in another context is still in this one.
    activity = one()
    return activity is not None and bool(activity.owners)


def _owner(activity: Activity) -> Any:
    if activity.by_thread or _get_running_loop() is None:
        return current_thread()
    return asyncio.current_task() or current_thread()


def _mine(engine: Engine) -> Iterator[Activity]:
    mine = _context.get()
    for one in _open:
        activity = one()
        if activity is not None and engine in activity.engines:
            owners = activity.owners
            # What another thread has ended in this moment has no owners left.
            if owners and (
                one in mine or _owner(activity) in owners or _is_anybodys(activity, owners)
            ):
                yield activity


def _is_anybodys(activity: Activity, owners: set[Any]) -> bool:
    return not activity.by_thread and all(map(_finished, tuple(owners)))


def _finished(owner: Any) -> bool:
    return bool(owner.done()) if isinstance(owner, asyncio.Task) else not owner.is_alive()


def _after_fork() -> None:
    """The activities of the parent process use its connections, which a child must not."""
    global _open, _lock
    _open = ()
    _lock = threading.RLock()
    for engine in list(_kept):
        if engine.keeper is not None and engine.configured:
            engine.remove_guard(engine.keeper)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
