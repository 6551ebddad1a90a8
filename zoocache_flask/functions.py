"""``cacheable`` and ``invalidate`` with the engine of the current application.

A function is decorated when its module is imported, and called in any number of applications. Each
of them makes its own cached function of it on first use (``Engine.cacheable``) and keeps that with
its cache, so that nothing is left of an application that is gone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from zoocache_core import Engine
from zoocache_core.decorator import Cached, Decorator, Deps
from zoocache_flask import mapped
from zoocache_flask.conf import DEFAULT
from zoocache_flask.current import current_engine, current_state

__all__ = ["cacheable", "cacheable_by", "clear", "invalidate", "invalidate_async"]

P = ParamSpec("P")
R = TypeVar("R")

# Has no storage. It tells of mistakes where they are written, and of what kind a function is.
_ADVISER = Engine.unconfigured()

mapped.install()

_NAMES = ("key", "invalidate", "invalidate_all", "cached_value")


@overload
def cacheable(function: Callable[P, R], /) -> Cached[P, R]: ...


@overload
def cacheable(
    namespace: str | None = None,
    deps: Deps = None,
    ttl: float | timedelta | None = None,
    key: str | Callable[..., Any] | None = None,
) -> Decorator: ...


def cacheable(namespace: Any = None, deps: Deps = None, ttl: Any = None, key: Any = None) -> Any:
    """Cache what a function returns, by its arguments, in the current application's cache.

    Used as ``@cacheable`` or ``@cacheable(...)`` on functions, methods and coroutine functions;
    see :meth:`zoocache_core.Engine.cacheable` for the arguments. What is decorated has
    ``.invalidate(...)`` for the result of one call and of all that used it, ``.invalidate_all()``,
    ``.key(...)`` and ``.uncached``.

    Raises:
        InvalidTag: a static dep is malformed.
        UnsupportedValue: the function cannot be cached.
        ValueError: the ttl is not above 0.
        NotConfigured: called outside an application, or the application has no ZooCache.
    """
    return cacheable_by(DEFAULT, namespace, deps=deps, ttl=ttl, key=key)


def cacheable_by(name: str, namespace: Any = None, **options: Any) -> Any:
    """:func:`cacheable` in the cache called ``name``."""
    if callable(namespace) or isinstance(namespace, (classmethod, staticmethod)):
        return _decorate(name, namespace, None, options)
    return lambda function: _decorate(name, function, namespace, options)


def invalidate(*tags: str, strict: bool = False) -> None:
    """Forget everything that depends on ``tags``, and on any tag below them.

    See :meth:`zoocache_core.Engine.invalidate`.

    Raises:
        InvalidTag: a tag is malformed; nothing has been invalidated then.
        NotConfigured: outside an application, or the application has no ZooCache.
    """
    current_engine().invalidate(*tags, strict=strict)


async def invalidate_async(*tags: str, strict: bool = False) -> None:
    """:func:`invalidate` without blocking the event loop."""
    await current_engine().invalidate_async(*tags, strict=strict)


def clear() -> None:
    """Forget everything in the current application's cache."""
    current_engine().clear()


def _decorate(name: str, function: Any, namespace: Any, options: dict[str, Any]) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(name, function.__func__, namespace, options))
    advice: Any = _ADVISER.cacheable(namespace=namespace, **options)(function)
    current = _current(name, function, namespace, options)
    if not inspect.isfunction(advice):
        return _Method(current, function)
    wrapper: Any = _async_wrapper(current) if inspect.iscoroutinefunction(function) else None
    if wrapper is None:
        wrapper = _wrapper(current)
    functools.update_wrapper(wrapper, function)
    for each in _NAMES:
        setattr(wrapper, each, _forwarded(current, each))
    wrapper.uncached = function
    return wrapper


def _current(
    name: str, function: Any, namespace: Any, options: dict[str, Any]
) -> Callable[[], Any]:
    """Gives the cached function of the current application."""
    mark = object()

    def current() -> Any:
        state = current_state(name)
        found = state.functions.get(mark)
        if found is None:
            # Two threads may both make one. They are interchangeable, and one of them stays.
            made = state.engine.cacheable(namespace=namespace, **options)(function)
            found = state.functions.setdefault(mark, made)
        return found

    return current


def _wrapper(current: Callable[[], Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return current()(*args, **kwargs)

    return wrapper


def _async_wrapper(current: Callable[[], Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await current()(*args, **kwargs)

    return wrapper


def _forwarded(current: Callable[[], Any], name: str) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return getattr(current(), name)(*args, **kwargs)

    method.__name__ = name
    return method


class _Method:
    """A cached method: on an instance, ``obj.method.invalidate(...)`` knows its object."""

    def __init__(self, current: Callable[[], Any], function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._current = current
        self.uncached = function
        for name in _NAMES:
            setattr(self, name, _forwarded(current, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._current()(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else self._current().__get__(instance, owner)
