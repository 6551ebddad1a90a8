"""What tells one value from another, for values that a view was given and may show.

The values are those that code before the view has left behind: what middleware puts in the request,
what ``setup()`` puts in a class-based view, what a factory of views closes over. Equal text means
equal in everything that a page could show; where nothing says that, there is no text, and the page
cannot be kept for others.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import models
from django.http import HttpRequest
from django.utils.functional import LazyObject, cached_property, empty

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode, has_own_key
from zoocache_core.identity import named_fingerprint
from zoocache_core.naming import class_label, is_unnamed
from zoocache_django.pages.made_from import rows_of, tables_of

__all__ = ["Unresolved", "evaluated", "identify"]

_MOST: Final = 1000
"""Parts of a value; one with more would take longer to tell than a page to make."""
_DEEPEST: Final = 40


class Unresolved(Exception):  # noqa: N818 - not an error: it asks for something
    """The key of an asynchronous view needs a value that may take a query to find out."""


def evaluated(lazy: Any) -> Any:
    """The object that a lazy one stands for; any other object is itself."""
    if not isinstance(lazy, LazyObject):
        return lazy
    if lazy._wrapped is empty:
        lazy._setup()
    return evaluated(lazy._wrapped)


def identify(value: object, evaluate: bool = True) -> tuple[str, frozenset[str]]:
    """Text that is the same only for values that show the same, and the tags of the rows that were
    read for the value.

    A row is told by its model, database and primary key; what its columns say changes with the row,
    on which the page depends. What else was put into an instance is told by its value.

    Raises:
        UnsupportedValue: nothing says what the value, or a part of it, is.
        Unresolved: it is a lazy object that was not looked at yet, and ``evaluate`` is false.
    """
    walk = _Walk(evaluate)
    return encode(walk.plain(value, "it")), frozenset(walk.tags)


class _Walk:
    def __init__(self, evaluate: bool) -> None:
        self.evaluate = evaluate
        self.tags: set[str] = set()
        # The values too: another could have the id of one that is gone.
        self._seen: dict[int, tuple[int, Any]] = {}
        self._depth = 0

    def plain(self, value: Any, name: str) -> Any:
        """``value`` in terms of what :func:`encode` knows."""
        if isinstance(value, LazyObject):
            if not self.evaluate and value._wrapped is empty:
                raise Unresolved
            value = evaluated(value)
        if type(value) in _PLAIN:
            return value
        told = next((tell for kinds, tell in _KINDS if isinstance(value, kinds)), None)
        if told is None:
            try:
                return _marked("encoded", encode(value))
            except UnsupportedValue:
                told = _object
        if id(value) in self._seen:
            return _marked("again", self._seen[id(value)][0])
        self.enter(value)
        if len(self._seen) > _MOST or self._depth > _DEEPEST:
            raise UnsupportedValue(f"{name} has too many parts to tell it from others by")
        self._depth += 1
        try:
            return told(self, value, name)
        finally:
            self._depth -= 1

    def enter(self, value: Any) -> None:
        """Remember that the parts of ``value`` come now."""
        self._seen[id(value)] = (len(self._seen), value)

    def several(self, values: Iterable[Any], name: str) -> list[Any]:
        return [self.plain(value, name) for value in values]

    def named(self, values: Mapping[str, Any]) -> list[Any]:
        """In the order of the names, so that what refers to another one does so in one way."""
        return [(name, self.plain(values[name], name)) for name in sorted(values)]


class _Mark(tuple[Any, ...]):
    """What no value that an application may use can be mistaken for."""

    __slots__ = ()


def _marked(*parts: Any) -> _Mark:
    return _Mark(parts)


class _Pure:
    """An object that has all its state in its ``__dict__``."""


def _is_pure(kind: type) -> bool:
    """Whether the instances of ``kind`` have nothing but a ``__dict__``: no slots, and nothing that
    only code in C can see."""
    return (
        kind.__basicsize__ == _Pure.__basicsize__
        and not kind.__itemsize__
        and kind.__dictoffset__ != 0
        and not any(vars(base).get("__slots__") for base in kind.__mro__)
    )


def _object(walk: _Walk, value: Any, name: str) -> Any:
    kind = type(value)
    if not _is_pure(kind) or has_own_key(value):
        raise UnsupportedValue(
            f"{name} is a {kind.__module__}.{kind.__qualname__}, and nothing is known that tells "
            "one from another: give its class an attribute or method __zoocache_key__"
        )
    if isinstance(vars(value).get("_request"), HttpRequest):
        return _marked("request")
    return kind, walk.named({k: v for k, v in vars(value).items() if not _derived(kind, k)})


def _derived(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), cached_property | functools.cached_property)


def _model(walk: _Walk, value: models.Model, _: str) -> Any:
    walk.tags.update(rows_of(value))
    kind = type(value)
    columns = {field.attname for field in value._meta.concrete_fields}
    # Names with an underscore are those of caches, Django's own and others'.
    added = {
        name: content
        for name, content in vars(value).items()
        if name not in columns and name[0] != "_" and not _derived(kind, name)
    }
    # A row that is not in the database is known by nothing but its columns.
    unsaved = value.pk is None or value._state.adding
    shown = {name: vars(value).get(name) for name in columns} if unsaved else {}
    return (
        _marked(kind, value._state.db, encode(str(value.pk))),
        walk.named(shown),
        walk.named(added),
    )


def _queryset(walk: _Walk, value: Any, name: str) -> Any:
    try:
        sql: Any = value.query.sql_with_params()
    except EmptyResultSet:
        sql = "nothing"
    if value._result_cache is None:
        return type(value), value.db, walk.plain(sql, name)
    walk.tags.update(tables_of(value))
    return type(value), value.db, walk.plain(sql, name), walk.several(value._result_cache, name)


def _function(walk: _Walk, value: FunctionType, name: str) -> Any:
    uncached = getattr(value, "uncached", None)
    if uncached is not None:
        # What a cached function or view closes over is the cache.
        return _marked("cached"), walk.plain(uncached, name)
    # Its code, and what it closes over.
    closed = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
    content = {name: _content(cell) for name, cell in closed.items()}
    defaults = {
        **(value.__kwdefaults__ or {}),
        **{str(number): each for number, each in enumerate(value.__defaults__ or ())},
    }
    return _marked("function", named_fingerprint(value)), walk.named(content), walk.named(defaults)


def _class(walk: _Walk, value: type, name: str) -> Any:
    label = class_label(value)
    if not is_unnamed(label):
        return _marked("class", label)
    text = _made_classes.get(value)
    if text is None:
        # Once, for it is one class whatever becomes of the variables that its methods close over.
        text = _made_classes.setdefault(value, _consists_of(value, label))
    return _marked("made", text)


_made_classes: Final[WeakKeyDictionary[type, str]] = WeakKeyDictionary()


def _consists_of(made: type, label: str) -> str:
    """What tells a class that was made by a function, like the one that Django REST framework makes
    of a function view: no other process knows it by its ``label``."""
    own = {name: each for name, each in vars(made).items() if name not in _OF_EVERY_CLASS}
    walk = _Walk(evaluate=True)
    walk.enter(made)
    try:
        bases, content = walk.several(made.__bases__, "a base"), walk.named(own)
    except UnsupportedValue:
        return label
    return encode((made.__module__, made.__qualname__, made.__name__, bases, content))


_OF_EVERY_CLASS: Final = frozenset(
    {
        *("__dict__", "__doc__", "__module__", "__qualname__", "__weakref__"),
        *("__firstlineno__", "__static_attributes__"),
        # Of views: the methods say so as well, and here they are in no order; and a description.
        *("http_method_names", "schema"),
    }
)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _method(walk: _Walk, value: MethodType, name: str) -> Any:
    return _marked("method"), walk.plain(value.__func__, name), walk.plain(value.__self__, name)


def _partial(walk: _Walk, value: Any, name: str) -> Any:
    return (
        _marked("partial"),
        walk.plain(value.func, name),
        walk.several(value.args, name),
        walk.named(value.keywords),
    )


def _dict(walk: _Walk, value: Mapping[Any, Any], name: str) -> Any:
    pairs = [(encode(walk.plain(key, name)), walk.plain(each, name)) for key, each in value.items()]
    return type(value), sorted(pairs, key=lambda pair: pair[0])


def _set(walk: _Walk, value: Collection[Any], name: str) -> Any:
    return type(value), sorted(encode(walk.plain(each, name)) for each in value)


_PLAIN: Final = frozenset({str, int, bool, float, bytes, type(None)})

_KINDS: Final[tuple[tuple[Any, Callable[[_Walk, Any, str], Any]], ...]] = (
    # What is read through the request is noticed by itself.
    (HttpRequest, lambda walk, value, name: _marked("request")),
    (models.Model, _model),
    (models.QuerySet, _queryset),
    (type, _class),
    (FunctionType, _function),
    (
        (staticmethod, classmethod),
        lambda walk, value, name: (type(value), walk.plain(value.__func__, name)),
    ),
    (property, lambda walk, value, name: (property, walk.plain(value.fget, name))),
    (cached_property, lambda walk, value, name: (cached_property, walk.plain(value.func, name))),
    (MethodType, _method),
    (functools.partial, _partial),
    ((logging.Logger, logging.LoggerAdapter), lambda walk, value, name: _marked("logger")),
    (dict, _dict),
    ((list, tuple), lambda walk, value, name: (type(value), walk.several(value, name))),
    ((set, frozenset), _set),
)
