"""Databases' say in what a caller may be given and what may be stored.

A cached value is shared, a database transaction is private. While a context has an open transaction
that wrote something, it must not be given cached values of what it wrote, nor may what it reads be
stored for others; and what it reads from an old snapshot is only as new as the snapshot. An ORM
adapter knows all this and tells the engine through a guard, which it adds to the engine while there
are such transactions in the process (``Engine.add_guard``) and removes afterwards: with none added,
a hit costs nothing extra.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

__all__ = ["Guard"]


class Guard(Protocol):
    """Asked about the current context (thread or task), whenever one is added to the engine."""

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        """Whether a value with these deps, as new as ``stamp``, must not be given to this context:
        its open transaction has written what the value depends on, or reads an older snapshot."""

    def uncommitted(self) -> bool:
        """Whether this context sees data that is not committed, so that nothing may be stored."""

    def stamp(self) -> int | None:
        """The position before the open transaction's first statement, or ``None`` without one."""
