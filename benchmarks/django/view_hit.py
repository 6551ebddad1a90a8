"""What does a hit of a cached Django view cost?

The view returns 8 kB of HTML. "view" calls what the decorator made of the view, with a new request
each time; "request" goes through a whole WSGI application without middleware, so that it also pays
for what a request costs anyway ("Django alone"). `cache_page` does not send an ETag, and knows
nothing of invalidation.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TITLE = "A hit of a cached view"
NEEDS_REDIS = True

VARIANTS = {
    "memory, view": ("memory", "view"),
    "memory, request": ("memory", "request"),
    "redis, view": ("redis", "view"),
    "redis, request": ("redis", "request"),
}
GOALS = {
    "memory, view": {"cache_page": 0.6},
    "memory, request": {"cache_page": 1.0},
    "redis, view": {"cache_page": 1.0},
    "redis, request": {"cache_page": 1.0},
}

PAGE = "<!doctype html><title>Zoo</title>" + "<p>A lion, a tiger and a bear.</p>" * 240

_runs: list[int] = []


def _view(request: Any, pk: int) -> Any:
    from django.http import HttpResponse

    _runs.append(pk)
    return HttpResponse(PAGE)


def _site() -> Any:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    return site


def _served(through: str, view: Any, runs: int | None = 1) -> dict[str, Any]:
    serve = {"view": _call, "request": _handle}[through](view)
    contents = {serve() for _ in range(5)}
    if contents != {PAGE.encode()}:
        raise RuntimeError(f"not the page: {contents!r:.200}")
    if runs is not None and len(_runs) != runs:
        raise RuntimeError(f"not cached: ran {len(_runs)} times")
    return {"run": "serve()", "serve": serve}


def _environ() -> dict[str, Any]:
    from django.test import RequestFactory

    environ: dict[str, Any] = RequestFactory()._base_environ(
        PATH_INFO="/animals/7/", HTTP_HOST="testserver"
    )
    return environ


def _call(view: Any) -> Callable[[], bytes]:
    from django.core.handlers.wsgi import WSGIRequest

    environ = _environ()

    def serve() -> bytes:
        content: bytes = view(WSGIRequest(environ.copy()), pk=7).content
        return content

    return serve


def _handle(view: Any) -> Callable[[], bytes]:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import path

    settings.ROOT_URLCONF = (path("animals/<int:pk>/", view),)
    application, environ = WSGIHandler(), _environ()

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        if status != "200 OK":
            raise RuntimeError(status)

    def serve() -> bytes:
        response = application({**environ, "wsgi.input": io.BytesIO()}, start)
        content = b"".join(response)
        response.close()
        return content

    return serve


def ours(variant: tuple[str, str]) -> dict[str, Any]:
    storage, through = variant
    site = _site()
    options = {"storage_url": site.redis_url(), "prefix": site.PREFIX} if storage == "redis" else {}
    site.start(apps=["zoocache_django"], ZOOCACHE=options)
    from zoocache_django import cache_view

    return _served(through, cache_view(ttl=3600)(_view))


def cache_page(variant: tuple[str, str]) -> dict[str, Any]:
    storage, through = variant
    site = _site()
    site.start(caches=site.redis_cache() if storage == "redis" else site.locmem())
    from django.views.decorators.cache import cache_page

    return _served(through, cache_page(3600)(_view))


def cache_page_on_zoocache(variant: tuple[str, str]) -> dict[str, Any]:
    storage, through = variant
    site = _site()
    site.start(caches=site.zoocache(site.redis_url() if storage == "redis" else ""))
    from django.views.decorators.cache import cache_page

    return _served(through, cache_page(3600)(_view))


def django_alone(variant: tuple[str, str]) -> dict[str, Any]:
    _site().start()
    return _served(variant[1], _view, None)
