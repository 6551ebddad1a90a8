"""Engines across ``os.fork()``.

A configured engine may be forked (gunicorn and uwsgi with preloading do). Its locks are held across
the fork, so that the child never finds a structure half changed; in the child, sockets, threads and
the flights of threads that no longer exist are dropped, and opened again on first use.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["follow"]

_engines: weakref.WeakSet[Runtime] = weakref.WeakSet()
_held: list[object] = []


def follow(engine: Runtime) -> None:
    """Prepare ``engine`` for forks from now on."""
    _engines.add(engine)


def _before() -> None:
    for engine in list(_engines):
        for lock in engine.locks():
            lock.acquire()
            _held.append(lock)


def _in_parent() -> None:
    while _held:
        _held.pop().release()  # type: ignore[attr-defined]


def _in_child() -> None:
    _in_parent()
    for engine in list(_engines):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
