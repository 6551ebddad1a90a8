"""``@cache_view``: whole pages from the cache.

What may be stored, who may see it and which headers are sent is decided by ``zoocache_core.http``;
here is only how Django calls its views.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial, wraps
from typing import Any, Final, Protocol, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from zoocache_core.http import PageCache, PagePolicy
from zoocache_core.http.key import shown_query_of
from zoocache_django import conf
from zoocache_django.pages.background import in_a_task, in_a_thread
from zoocache_django.pages.bound import Given, closure_of, state_of, with_objects
from zoocache_django.pages.exchange import DjangoRequest, Unresolved
from zoocache_django.pages.responses import page_response, response_to

__all__ = ["cache_view"]

View = Callable[..., Any]


class CachedView(Protocol):
    """What ``@cache_view`` makes of a view."""

    uncached: View
    """The view itself."""

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer from the cache, or by calling the view."""

    def invalidate(self, **arguments: object) -> None:
        """Forget the pages made with these arguments of the URL; without any, all of them."""


@overload
def cache_view(view: View, /) -> CachedView: ...


@overload
def cache_view(
    ttl: float | timedelta | None = None, **options: Any
) -> Callable[[View], CachedView]: ...


def cache_view(ttl: Any = None, **options: Any) -> Any:
    """Cache the responses of a view, sync or async, function or class-based.

    Used as ``@cache_view``, ``@cache_view(60)`` or ``@cache_view(ttl=60, deps=...)``, and on
    classes through ``method_decorator(cache_view(60), name="dispatch")``.

    Args:
        ttl: for how long a page may be shown, in seconds or as a timedelta; ``None``: until its
            data changes.
        deps: tags that every page of the view depends on, or a callable that is given what the
            view is given and returns them. A model's label (``"shop.product"``) means any of its
            rows.
        options: the other fields of :class:`zoocache_core.http.policy.PagePolicy`.

    Raises:
        ConfigurationError: an option is unknown, mistyped or out of range.
        InvalidTag: one of the static deps is malformed.
    """
    if callable(ttl):
        return _Decorator(PagePolicy.of(**options), _bare_caches)(ttl)
    return _Decorator(PagePolicy.of(ttl=ttl, **options), {})


_bare_caches: dict[str, PageCache] = {}


class _Decorator:
    """One use of ``@cache_view(...)``.

    ``method_decorator`` applies a decorator anew for every request, to a fresh partial of the bound
    method. What was learned about the pages has to outlive that, so it is kept here, by name.
    """

    def __init__(self, policy: PagePolicy, caches: dict[str, PageCache]) -> None:
        self._policy = policy
        self._caches = caches

    def __call__(self, view: View) -> CachedView:
        owner = getattr(getattr(view, "func", None), "__self__", None)
        name = _name_of(view, owner)
        if owner is None:
            cache = PageCache(name, self._policy, conf.engine)
        else:
            cache = self._caches.get(name) or self._caches.setdefault(
                name, PageCache(name, self._policy, conf.engine)
            )
        is_async = iscoroutinefunction(view) or getattr(owner, "view_is_async", False)
        make = _async_view if is_async else _sync_view
        given = state_of(owner) if owner is not None else closure_of(view)
        cached: Any = make(view, name, self._policy, cache, given)
        cached.uncached = view
        cached.invalidate = cache.invalidate
        return cached  # type: ignore[no-any-return]


def _name_of(view: View, owner: object | None) -> str:
    """The name of a view, the same in every process."""
    if owner is not None:
        return f"{type(owner).__module__}.{type(owner).__qualname__}"
    while isinstance(view, partial):
        view = view.func
    named: Any = getattr(view, "view_class", view)
    if not hasattr(named, "__qualname__"):
        named = type(named)
    if isinstance(named, type) and "." not in named.__qualname__:
        # Django REST framework calls the class that it makes of a function view as the function.
        return f"{named.__module__}.{named.__name__}"
    return f"{named.__module__}.{named.__qualname__}"


def _sync_view(
    view: View, name: str, policy: PagePolicy, cache: PageCache, given: Given | None
) -> View:
    shown_query = shown_query_of(policy)

    @wraps(view)
    def cached(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        arguments, held = with_objects(_by_name(view, args, kwargs), given)
        exchange = DjangoRequest(request, policy, args, kwargs, arguments, held)
        answer = cache.at_once(conf.engine(), exchange)
        if answer is not None:
            return response_to(answer)

        def run() -> HttpResponseBase:
            if exchange.method not in _CACHED_METHODS:
                return _checked(view(request, *args, **kwargs), name)
            with exchange.watched(shown_query):
                response = _checked(view(exchange.request, *args, **kwargs), name)
                return _rendered(response, exchange.request)

        def later(work: Callable[[], Any]) -> bool:
            exchange.detach()
            return in_a_thread(work)

        read = partial(page_response, exchange)
        return response_to(cache.respond(exchange, run, read, later))

    return cached


def _async_view(
    view: View, name: str, policy: PagePolicy, cache: PageCache, given: Given | None
) -> View:
    shown_query = shown_query_of(policy)

    @wraps(view)
    async def cached(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        arguments, held = with_objects(_by_name(view, args, kwargs), given)
        exchange = DjangoRequest(request, policy, args, kwargs, arguments, held, resolved=False)

        async def run() -> HttpResponseBase:
            if exchange.method not in _CACHED_METHODS:
                return _checked(await view(request, *args, **kwargs), name)
            with exchange.watched(shown_query):
                response = _checked(await view(exchange.request, *args, **kwargs), name)
                response = await sync_to_async(_rendered)(response, exchange.request)
            # The page may turn out to be kept apart by what this run did not look at.
            await sync_to_async(exchange.resolve)()
            return response

        def later(work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
            exchange.detach()
            return in_a_task(exchange.http, work)

        read = partial(page_response, exchange)
        try:
            answer = await cache.respond_async(exchange, run, read, later)
        except Unresolved:
            # Raised while the key is made, before the view runs.
            await sync_to_async(exchange.resolve)()
            answer = await cache.respond_async(exchange, run, read, later)
        return response_to(answer)

    return cached


def _by_name(view: View, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, object]:
    """The view's arguments by parameter name, also those that the URL pattern left unnamed."""
    if not args:
        return kwargs
    _, *parameters = inspect.signature(view).parameters.values()
    names = [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]
    # What a view takes as *args has no names; it goes by its number.
    names += map(str, range(len(names), len(args)))
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _checked(response: object, name: str) -> HttpResponseBase:
    if isinstance(response, HttpResponseBase):
        return response
    raise ValueError(
        f"The view {name} did not return an HttpResponse object. It returned "
        f"{type(response).__name__} instead."
    )


def _rendered(response: HttpResponseBase, request: Any) -> HttpResponseBase:
    # What is stored is text, so a lazy response is rendered before the middleware would do it.
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        if request is not getattr(request, "_request", request):
            # That of a method of a DRF view, which would say afterwards how to render it.
            drf: Any = response
            drf.accepted_renderer = request.accepted_renderer
            drf.accepted_media_type = request.accepted_media_type
            view = request.parser_context["view"]
            drf.renderer_context = view.get_renderer_context()
            # Its browsable API shows the headers as part of the page.
            for name, value in view.headers.items():
                drf.setdefault(name, value)
        response.render()
    return response


_CACHED_METHODS: Final = ("GET", "HEAD")
