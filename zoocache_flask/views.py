"""``@cache_view``: whole pages from the cache.

What may be stored, who may see it and which headers are sent is decided by ``zoocache_core.http``;
here is only how Flask calls its views.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial, wraps
from typing import Any, Final, Protocol, overload

from flask import Flask, Response, current_app
from flask.views import View as ViewClass
from werkzeug.exceptions import HTTPException

from zoocache_core.http import Answer, PageCache, PagePolicy
from zoocache_flask import signals
from zoocache_flask.background import renew_later, renewal_of
from zoocache_flask.bound import given_to
from zoocache_flask.conf import DEFAULT
from zoocache_flask.current import State, current_engine, settled_state
from zoocache_flask.exchange import FlaskRequest, response_to

__all__ = ["CachedView", "View", "cache_view", "cache_view_by"]

View = Callable[..., Any]


class CachedView(Protocol):
    """What ``@cache_view`` makes of a view."""

    uncached: View
    """The view itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer from the cache, or by calling the view."""

    def invalidate(self, **arguments: object) -> None:
        """Forget the pages made with these arguments of the URL; without any, all of them."""

    async def invalidate_async(self, **arguments: object) -> None:
        """:meth:`invalidate` without blocking the event loop."""


@overload
def cache_view(view: View, /) -> CachedView: ...


@overload
def cache_view(
    ttl: float | timedelta | None = None, **options: Any
) -> Callable[[View], CachedView]: ...


def cache_view(ttl: Any = None, **options: Any) -> Any:
    """Cache the responses of a view in the current application's cache.

    Used as ``@cache_view``, ``@cache_view(60)`` or ``@cache_view(ttl=60, deps=...)``, between the
    route and the view: on functions and coroutine functions, on methods of a ``MethodView``, and in
    a ``View``'s ``decorators``.

    Args:
        ttl: for how long a page may be shown, in seconds or as a timedelta; ``None``: until its
            data changes.
        deps: tags that every page of the view depends on, or a callable that is given what the
            view is given (the arguments of the URL) and returns them.
        options: the other fields of :class:`zoocache_core.http.policy.PagePolicy`.

    Raises:
        ConfigurationError: an option is unknown, mistyped or out of range.
        InvalidTag: one of the static deps is malformed.
    """
    return cache_view_by(DEFAULT, ttl, **options)


def cache_view_by(name: str, ttl: Any = None, **options: Any) -> Any:
    """:func:`cache_view` in the cache called ``name``."""
    if callable(ttl):
        return _decorate(name, PagePolicy.of(**options), ttl)
    return partial(_decorate, name, PagePolicy.of(ttl=ttl, **options))


def _decorate(name: str, policy: PagePolicy, view: View) -> CachedView:
    # Pages of all applications that use the view share what is known of it, never the pages.
    cache = PageCache(_name_of(view), policy, partial(current_engine, name))
    make = _async_view if inspect.iscoroutinefunction(view) else _sync_view
    cached: Any = make(view, name, policy, cache)
    cached.uncached = view
    cached.invalidate = cache.invalidate
    cached.invalidate_async = cache.invalidate_async
    return cached  # type: ignore[no-any-return]


def _name_of(view: View) -> str:
    """The name of a view, the same in every process."""
    if getattr(view, "__qualname__", "").endswith(".as_view.<locals>.view"):
        # All views made of classes share that name; this one was given to `as_view`.
        return f"{view.__module__}.{view.__name__}"
    while isinstance(view, partial):
        view = view.func
    named: Any = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"


def _sync_view(view: View, name: str, policy: PagePolicy, cache: PageCache) -> View:
    given = given_to(view)

    @wraps(view)
    def cached(*args: Any, **kwargs: Any) -> Response:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        state = settled_state(app, name)
        exchange = FlaskRequest(policy, args, kwargs, _by_name(args, kwargs), given(args))
        answer = cache.at_once(state.engine, exchange)
        if answer is not None:
            return _told(answer, app, state)

        def run() -> Response:
            if exchange.method not in _CACHED_METHODS:
                return _response(view(*args, **kwargs))
            with exchange.watched(state.options.shared_globals):
                try:
                    return _response(view(*args, **kwargs))
                except HTTPException as error:
                    return _storable(error, policy)

        renewal = renewal_of(exchange.environ, cache)
        if renewal is not None:
            renewal(exchange, run, exchange.page_response)
            return _nothing()
        later = partial(renew_later, app, exchange.environ, cache)
        answer = cache.respond(exchange, run, exchange.page_response, later)
        return _told(answer, app, state)

    return cached


def _async_view(view: View, name: str, policy: PagePolicy, cache: PageCache) -> View:
    given = given_to(view)

    @wraps(view)
    async def cached(*args: Any, **kwargs: Any) -> Response:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        state = settled_state(app, name)
        exchange = FlaskRequest(policy, args, kwargs, _by_name(args, kwargs), given(args))

        async def run() -> Response:
            if exchange.method not in _CACHED_METHODS:
                return _response(await view(*args, **kwargs))
            with exchange.watched(state.options.shared_globals):
                try:
                    return _response(await view(*args, **kwargs))
                except HTTPException as error:
                    return _storable(error, policy)

        renewal = renewal_of(exchange.environ, cache)
        if renewal is not None:
            await renewal(exchange, run, exchange.page_response)
            return _nothing()
        later = partial(renew_later, app, exchange.environ, cache)
        answer = await cache.respond_async(exchange, run, exchange.page_response, later)
        return _told(answer, app, state)

    return cached


def _told(answer: Answer[Response], app: Flask, state: State) -> Response:
    signals.tell_page(app, answer.outcome)
    return response_to(answer, app, state)


def _nothing() -> Response:
    """The answer to a request that nobody has made."""
    return current_app.response_class(status=204)


def _by_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, object]:
    """The view's arguments by parameter name. Flask gives them so, after a method's own object."""
    if args and isinstance(args[0], ViewClass):
        args = args[1:]
    if not args:
        return kwargs
    # Another decorator has passed some by position.
    return {**{str(number): value for number, value in enumerate(args)}, **kwargs}


def _response(returned: Any) -> Response:
    return current_app.make_response(returned)


def _storable(error: HTTPException, policy: PagePolicy) -> Response:
    """What the application's error handlers answer, if its status may be stored."""
    if error.code not in policy.statuses:
        raise error
    return _response(current_app.handle_user_exception(error))


_CACHED_METHODS: Final = ("GET", "HEAD")
