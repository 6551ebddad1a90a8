"""How a queryset was made, as far as that is plain: the methods called, and the values given.

Two querysets of one model with equal recipes ask the same of the database, so that what was worked
out for the first (see ``plans``) serves the second, and no SQL has to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

__all__ = ["EMPTY", "METHODS", "Recipe", "followed_by"]


class Recipe(NamedTuple):
    """The calls without the values that conditions compare with, and these values in order."""

    shape: tuple[Any, ...]
    values: tuple[Any, ...]


EMPTY: Final = Recipe((), ())
"""All rows, as a manager gives them."""

_SCALARS: Final = frozenset({str, int, bool, type(None), UUID})
"""Types of which the value says all there is to know. Not dates and times, whose meaning depends on
the current time zone, nor numbers that may be written in several ways."""

_Extend = Callable[[Recipe, str, tuple[Any, ...], Mapping[str, Any]], "Recipe | None"]


def followed_by(
    recipe: Recipe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe | None:
    """``recipe`` with a call of the method ``name``; ``None`` if it is not a plain one."""
    return METHODS[name](recipe, name, args, kwargs)


def _compared(
    recipe: Recipe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe | None:
    if args:
        return None
    values = recipe.values
    for value in kwargs.values():
        kind = type(value)
        if kind in _SCALARS:
            values += (value,)
        elif (kind is list or kind is tuple) and _SCALARS.issuperset(map(type, value)):
            values += (tuple(value),)
        else:
            return None
    return Recipe((*recipe.shape, (name, *kwargs)), values)


def _unchanged(
    recipe: Recipe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe | None:
    return recipe


def _named(
    recipe: Recipe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe | None:
    written = (*args, *kwargs.values())
    if not all(type(item) is str or type(item) is bool for item in written):
        return None
    return Recipe((*recipe.shape, (name, args, tuple(kwargs.items()))), recipe.values)


def _sliced(
    recipe: Recipe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe | None:
    (place,) = args
    if not isinstance(place, slice) or place.step is not None:
        return None
    limits = place.start, place.stop
    if not _SCALARS.issuperset(map(type, limits)):
        return None
    return Recipe((*recipe.shape, name), recipe.values + limits)


METHODS: Final[dict[str, _Extend]] = {
    **dict.fromkeys(("filter", "exclude", "get"), _compared),
    **dict.fromkeys(
        (
            "defer",
            "only",
            "order_by",
            "reverse",
            "select_related",
            "using",
            "values",
            "values_list",
        ),
        _named,
    ),
    "all": _unchanged,
    "__getitem__": _sliced,
}
"""The methods of a queryset that can be part of a recipe."""
