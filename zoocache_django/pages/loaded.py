"""What a part of a page, or a cached function, is given that was read before: instances, querysets
that were evaluated, and whatever holds some.

Nobody noticed for it how these were read, or when, and they may have been changed since without
being saved. So they are part of its key with all that they hold, and what is made of them is right
for them whatever their rows say by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import models
from django.http import HttpRequest
from django.template import Context
from django.utils.functional import LazyObject, empty
from django.utils.safestring import SafeString

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import KeyAdapter, register_adapter_finder
from zoocache_core.naming import class_label
from zoocache_django.pages.identities import Unresolved, identify
from zoocache_django.pages.portraits import portrait

__all__ = ["install", "loaded", "noticing"]

_WITHOUT: Final = frozenset({str, SafeString, int, bool, float, type(None)})
_DEEPEST: Final = 4


def install() -> None:
    """Let instances and querysets be arguments of cached functions; again, it has no effect."""
    register_adapter_finder(_find)


def _find(kind: type) -> KeyAdapter | None:
    return _key if issubclass(kind, models.Model | models.QuerySet) else None


def _key(value: Any) -> str:
    return loaded(value) or identify(value)[0]


def loaded(value: Any) -> str | None:
    """Text that tells the rows in ``value``, and everything around them, from any others; ``None``
    if there are none, or nobody can look for them.

    Raises:
        UnsupportedValue: there are, and nothing tells what holds them from others of its kind.
    """
    if type(value) in _WITHOUT or _is_open(value):
        return None
    if not isinstance(value, models.Model | models.QuerySet):
        try:
            _, rows = identify(value, evaluate=False)
        except (UnsupportedValue, Unresolved):
            return None
        if not rows:
            return None
    return _text(value, 0)


def _is_open(value: Any) -> bool:
    """Whether ``value`` will be read when it is looked at, which is noticed then."""
    if isinstance(value, models.QuerySet):
        return value._result_cache is None
    return isinstance(value, LazyObject) and value._wrapped is empty


def _text(value: Any, depth: int) -> str:
    if isinstance(value, HttpRequest):
        return "request"
    if _is_open(value):
        return "open"
    try:
        return portrait(value)
    except UnsupportedValue:
        if depth > _DEEPEST or not hasattr(value, "__dict__"):
            raise
        # An object that has nothing but its attributes, or identify() had refused it.
        parts = [(name, _text(part, depth + 1)) for name, part in sorted(vars(value).items())]
        return repr((class_label(type(value)), parts))


class _Around(dict[str, Any]):
    """A layer of a context that tells which variables of the layers below are looked at."""

    def __init__(self, below: list[Any]) -> None:
        super().__init__()
        self.holding: set[str] = set()
        self._below = below
        self._seen: set[str] = set()

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name):
            return True
        if isinstance(name, str) and name not in self._seen:
            # As it is at the first look: what is read from then on is noticed.
            self._seen.add(name)
            self._look(name)
        return False

    def __iter__(self) -> Iterator[str]:
        for layer in self._below:
            for name in list(layer):
                _ = name in self
        return dict.__iter__(self)

    def keys(self) -> Any:
        # All at once, as `flatten()` asks.
        return list(self)

    def _look(self, name: str) -> None:
        for layer in reversed(self._below):
            if name in layer:
                try:
                    holding = loaded(layer[name]) is not None
                except UnsupportedValue:
                    holding = True
                if holding:
                    self.holding.add(name)
                return


@contextmanager
def noticing(context: Context) -> Iterator[set[str]]:
    """Give the names of those variables of ``context`` that are looked at meanwhile, and that held
    rows already."""
    before = context.dicts
    layer = _Around(list(before))
    context.dicts = [*before, layer]
    try:
        yield layer.holding
    finally:
        context.dicts = before
