"""What a view holds when it is called: the variables that it closes over, the attributes of its
object.

Views that one factory has made, or one class with several ``as_view(...)``, have one name and may
be at one URL (another view chooses), so that these tell their pages apart.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final
from uuid import UUID

from zoocache_core import UnsupportedValue
from zoocache_core.naming import class_label, is_unnamed
from zoocache_django.pages.identities import identify

__all__ = ["Given", "closure_of", "state_of", "with_objects"]

Given = Callable[[bool], "tuple[str, frozenset[str]]"]
"""Text that tells what a view holds, and the tags of the rows that were read for it. The argument
is that of :func:`~zoocache_django.pages.identities.identify`, which it may raise the errors of."""

_log = logging.getLogger("zoocache.http")

_OF_EVERY_VIEW: Final = frozenset(
    {"args", "format_kwarg", "head", "headers", "kwargs", "request", "response"}
)
"""Attributes that Django, or Django REST framework, gives every object of a class-based view, and
that are part of the key otherwise."""


def closure_of(view: Callable[..., Any]) -> Given | None:
    """How to find out what ``view`` closes over; ``None`` if that is nothing."""
    if isinstance(view, FunctionType) and not view.__closure__:
        return None
    found: list[tuple[str, frozenset[str]]] = []

    def given(evaluate: bool) -> tuple[str, frozenset[str]]:
        # At the first request, when everything is imported. What changes afterwards is a variable
        # like those of modules, of which nothing is known either.
        if not found:
            found.append((_text(view), frozenset()))
        return found[0]

    return given


def _text(view: Callable[..., Any]) -> str:
    try:
        return identify(view)[0]
    except UnsupportedValue as error:
        _log.warning(
            "The pages of %s are not shared with other processes, because nothing tells it from "
            "other views of its name: %s.",
            getattr(view, "__qualname__", view),
            error,
        )
        return secrets.token_hex(16)


def state_of(owner: object) -> Given | None:
    """How to find out what was put into the object of a class-based view before the cached method
    was called: by ``as_view(...)``, by ``setup()``; ``None`` if that is nothing."""
    # As it is now: the view may change it.
    state = {name: value for name, value in vars(owner).items() if name not in _OF_EVERY_VIEW}
    kind = type(owner)
    if is_unnamed(class_label(kind)):
        # One of several classes with one name, maybe.
        state[""] = kind
    return (lambda evaluate: identify(state, evaluate)) if state else None


def with_objects(
    arguments: Mapping[str, object], given: Given | None
) -> tuple[Mapping[str, object], Given | None]:
    """The arguments that have a text of their own, and ``given`` with the others: objects that
    converters of the path have looked up, or that the URL pattern hands to the view (sitemaps)."""
    objects = {name: each for name, each in arguments.items() if type(each) not in _OF_PATHS}
    if not objects:
        return arguments, given

    def with_given(evaluate: bool) -> tuple[str, frozenset[str]]:
        text, rows = identify(objects, evaluate)
        if given is None:
            return text, rows
        other, other_rows = given(evaluate)
        return f"{len(text)}:{text}{other}", rows | other_rows

    return {name: each for name, each in arguments.items() if name not in objects}, with_given


_OF_PATHS: Final = frozenset({str, int, float, bool, UUID, type(None)})
