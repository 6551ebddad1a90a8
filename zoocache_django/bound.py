"""What a view holds when it is called: the variables that it closes over, the attributes of its
object.

Views that one factory has made, or one class with several ``as_view(...)``, have one name and may
be at one URL (another view chooses), so that these tell their pages apart.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from zoocache_core import UnsupportedValue
from zoocache_django.identities import identify

__all__ = ["Given", "closure_of", "state_of"]

Given = Callable[[bool], "tuple[str, frozenset[str]]"]
"""Text that tells what a view holds, and the tags of the rows that were read for it. The argument
is that of :func:`~zoocache_django.identities.identify`, which it may raise the errors of."""

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
    return (lambda evaluate: identify(state, evaluate)) if state else None
