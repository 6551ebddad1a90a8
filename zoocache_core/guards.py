"""Databases' say in what a caller may be given and what may be stored.

A cached value is shared, a database transaction is private. While a context has an open transaction
that wrote something, it must not be given cached values of what it wrote, nor may what it reads be
stored for others; and what it reads from an old snapshot is only as new as the snapshot. An ORM
adapter knows all this and tells the engine through a guard, which it adds to the engine while there
are such transactions in the process (``Engine.add_guard``) and removes afterwards: with none added,
a hit costs nothing extra.

One may be added while somebody is on the way to a hit: because another thread, or another process,
has committed. Who adds it does so before anything newer can be stored. So a hit asks whether there
is a guard *after* it has found its entry; asking before, it could be given what was committed and
stored in between to a transaction that reads an older snapshot.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

__all__ = ["Guard", "Guards"]


class Guard(Protocol):
    """Asked about the current context (thread or task), whenever one is added to the engine."""

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        """Whether a value with these deps, as new as ``stamp``, must not be given to this context:
        its open transaction has written what the value depends on, or reads an older snapshot."""

    def uncommitted(self) -> bool:
        """Whether this context sees data that is not committed, so that nothing may be stored."""

    def stamp(self) -> int | None:
        """The position before the open transaction's first statement, or ``None`` without one."""


class Guards:
    """Those of one engine, at present."""

    __slots__ = ("active",)

    def __init__(self) -> None:
        # Replaced as a whole, so that it can be gone through without a lock.
        self.active: tuple[Guard, ...] = ()

    def hide(self, deps: Collection[str], stamp: int) -> bool:
        """Whether a transaction of this context forbids it a value with these deps and stamp.

        None does where the value depends on nothing: it was not read from a database.
        """
        if deps:
            for guard in self.active:
                if guard.hides(deps, stamp):
                    return True
        return False
