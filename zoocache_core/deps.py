"""What a running computation depends on.

A :class:`Scope` exists while a cached function runs. Whoever reads something on its behalf adds the
tags of what was read: the function itself through :func:`add_deps`, a cached function it calls, an
ORM adapter. The current scope lives in a context variable, so it reaches the threads and tasks that
the function starts wherever the context is copied to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from zoocache_core.tags import validate_many

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["Scope", "activate", "add_deps", "current_scope"]


class Scope:
    """The tags, the stamp and the storability of one computation under way.

    ``stamp`` is the position before anything was read. ``forbidden`` is the reason why the result
    may not be stored, or ``None``.
    """

    __slots__ = ("deps", "ended", "engine", "forbidden", "key", "parent", "stamp")

    def __init__(
        self, engine: Runtime, key: str, deps: Iterable[str], stamp: int, parent: Scope | None
    ) -> None:
        self.engine = engine
        self.key = key
        self.deps: set[str] = set(deps)
        self.stamp = stamp
        self.parent = parent
        self.forbidden: str | None = None
        self.ended = False

    def add(self, tags: Iterable[str]) -> None:
        """Depend on ``tags``, which must be valid. Too late once the computation has ended: a task
        that it left running reads on its own account."""
        if not self.ended:
            self.deps.update(tags)

    def forbid(self, reason: str) -> None:
        """Let the result be returned but not stored; spreads to the enclosing computations."""
        if self.forbidden is None:
            self.forbidden = reason

    def lower_stamp(self, stamp: int) -> None:
        """Declare that the data read is only as new as ``stamp``, an earlier position."""
        if stamp < self.stamp:
            self.stamp = stamp

    def absorb(self, inner: Scope) -> None:
        """Take over what an enclosed computation found out: a page depends on its parts."""
        self.deps.update(inner.deps)
        if inner.forbidden is not None:
            self.forbid(inner.forbidden)
        if inner.engine is self.engine:
            self.lower_stamp(inner.stamp)


_current: ContextVar[Scope | None] = ContextVar("zoocache_scope", default=None)

current_scope = _current.get
"""The innermost :class:`Scope` of this context, or ``None`` outside cached computations."""

activate = _current.set
"""Make a scope the current one. Undone by activating its parent, never by token: a coroutine may
be closed in another context than the one it started in, where its token would be refused."""


def add_deps(tags: str | Iterable[str]) -> None:
    """Add ``tags`` to what the running cached function depends on.

    A string is one tag; a tag may end in ``:*`` ("anything under"). Outside a cached function the
    call does nothing, so that code which declares deps can also be used uncached.

    Raises:
        InvalidTag: a tag is malformed.
    """
    valid = validate_many(tags)
    scope = _current.get()
    if scope is not None:
        scope.add(valid)
