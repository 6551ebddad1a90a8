"""Everything that is changed in Django, in one list.

======================================  ===========================================================
``CursorWrapper.execute``…              every statement: what it reads and writes
``SQLCompiler.execute_sql``…            which rows a statement of the ORM is about
``BaseDatabaseWrapper.commit``…         the end of transactions
signal ``class_prepared``               which tables there are
======================================  ===========================================================

No signal of models has a receiver: Django takes shortcuts where none is connected (deleting without
loading, adding to a relation without looking), and an application keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from zoocache_django import transactions
from zoocache_django.database import compilers, connections, cursors, relations, rows, tables

__all__ = ["PATCHES", "install", "installed", "uninstall"]

Method = Callable[..., Any]

PATCHES: Final[tuple[tuple[type, str, Callable[[Method], Method]], ...]] = (
    *cursors.PATCHES,
    *compilers.PATCHES,
    *connections.PATCHES,
)

_originals: Final[dict[tuple[type, str], Method]] = {}


def installed() -> bool:
    """Whether Django is changed at present."""
    return bool(_originals)


def install() -> None:
    """Apply every patch; doing it again has no effect."""
    if _originals:
        return
    for owner, name, wrapper in PATCHES:
        original = owner.__dict__.get(name)
        if original is not None:
            _originals[owner, name] = original
            setattr(owner, name, wraps(original)(wrapper(original)))
    transactions.watch(True)
    tables.watch_models(_forget_models)


def uninstall() -> None:
    """Restore Django as it was.

    Raises:
        RuntimeError: somebody else has patched the same method since, and would be undone, too.
    """
    for (owner, name), original in _originals.items():
        if getattr(owner.__dict__[name], "__wrapped__", None) is not original:
            raise RuntimeError(
                f"{owner.__name__}.{name} was replaced after ZooCache had wrapped it; undo that "
                "first."
            )
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()
    transactions.watch(False)
    tables.unwatch_models()


def _forget_models() -> None:
    relations.forget_models()
    rows.forget_models()
    cursors.forget_models()
