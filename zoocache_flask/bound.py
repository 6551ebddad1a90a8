"""What a view holds when it is called: the variables that it closes over, the attributes of its
object.

Views that one factory has made, or one class with several ``as_view(...)``, have one name and may
be at one path, on several hosts or under a ``key=``; so that these tell their pages apart. Only
plain values do: applications made by a factory have views that close over databases and much else
that is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.views import View

from zoocache_core.encoding import encode
from zoocache_core.http.key import digest
from zoocache_core.identity import plain_closure
from zoocache_core.immutables import is_immutable

__all__ = ["Given", "given_to"]

Given = Callable[[tuple[Any, ...]], "str | None"]
"""Text that tells what a view holds that is called with these arguments, or ``None``."""


def given_to(view: Callable[..., Any]) -> Given:
    """How to find out what ``view`` holds."""
    closure: list[str | None] = [] if getattr(view, "__closure__", None) else [None]

    def given(args: tuple[Any, ...]) -> str | None:
        if not closure:
            # At the first request, when everything is imported and set.
            closure.append(plain_closure(view) or None)
        return (
            _with_state(args[0], closure[0]) if args and isinstance(args[0], View) else closure[0]
        )

    return given


def _with_state(owner: View, closure: str | None) -> str | None:
    state = {name: value for name, value in vars(owner).items() if is_immutable(value)}
    return digest([closure, encode(state)]) if state else closure
