"""Querysets of the application's own classes: what of them may be cached in the short way.

``class Tenants(CachedQuerySet, TenantQuerySet)`` must go on doing what a ``TenantQuerySet`` does,
also where it does that in a method which a cached queryset has no reason to call.
"""

from __future__ import annotations

from typing import Any, Final

from zoocache_django.queries.recipes import METHODS

__all__ = ["judge"]

_READING: Final = {"_fetch_all", "_iterator", "count", "exists", "aggregate"}
"""Methods that give results."""

_EVALUATING: Final = {"_fetch_all", "_iterator", "query"}
"""What decides, when results are asked for, which ones."""

_HOOKS: Final = {
    *("_chain", "_clone", "_filter_or_exclude", "_filter_or_exclude_inplace", "_values", "query"),
    *("_next_is_sticky", "_add_hints"),
}
"""What the plain methods call."""


def judge(kind: type[Any], cached: type[Any]) -> tuple[frozenset[str], bool]:
    """For a subclass ``kind`` of ``cached``: the methods that read in the application's own way
    although ``cached`` comes before it, and whether plain calls mean what they mean to Django."""
    place = kind.__mro__.index(cached)
    django = set(cached.__mro__)
    above = _names(base for base in kind.__mro__[:place] if base not in django)
    beneath = _names(base for base in kind.__mro__[place:] if base not in django)
    reading = beneath & _READING
    if beneath & _EVALUATING:
        reading = _READING
    plain = not (above | beneath) & _HOOKS and not beneath & METHODS.keys()
    return frozenset(reading), plain


def _names(classes: Any) -> set[str]:
    return {name for base in classes for name in vars(base)}
