"""What does a request to a cached Flask view cost, from WSGI to WSGI?

The view returns 8 kB of HTML. "Flask alone" is that view without any cache: what a request costs
anyway. Flask-Caching's `cached()` keys by the path alone unless told otherwise, and sends no ETag;
"with query" makes it look at the query string, too, as ours always does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

TITLE = "A request to a cached view"
NEEDS_REDIS = True

VARIANTS = {"memory": "memory", "redis": "redis"}
GOALS = {"flask_caching": 1.0, "flask_caching_with_query": 1.0}

PAGE = "<!doctype html><title>Zoo</title>" + "<p>A lion, a tiger and a bear.</p>" * 240


def _served(app: Any, outcome: str | None = None) -> dict[str, Any]:
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder(path="/animals/7").get_environ()
    answers: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[..., Any]:
        answers.append((status, headers))
        return answers.append

    def request() -> bytes:
        answers.clear()
        body = app(environ.copy(), start)
        content = b"".join(body)
        body.close()
        return content

    for _ in range(3):
        content = request()
    status, headers = answers[0]
    if status != "200 OK" or content != PAGE.encode():
        raise RuntimeError(f"not the page: {status}, {content[:50]!r}")
    if outcome is not None and dict(headers).get("X-Cache") != outcome:
        raise RuntimeError(f"not {outcome}: {headers}")
    return {"run": "request()", "request": request}


def ours(storage: str) -> dict[str, Any]:
    from flask import Flask

    from zoocache_flask import ZooCache, cache_view

    app = Flask("ours")
    if storage == "redis":
        app.config["ZOOCACHE"] = {"storage_url": os.environ["ZOOCACHE_BENCH_REDIS"]}
    ZooCache(app)

    @app.get("/animals/<int:pk>")
    @cache_view(ttl=3600)
    def animal(pk: int) -> str:
        return PAGE

    return _served(app, "HIT")


def _flask_caching(storage: str, **options: Any) -> dict[str, Any]:
    from flask import Flask
    from flask_caching import Cache

    config: dict[str, Any] = {"CACHE_TYPE": "SimpleCache"}
    if storage == "redis":
        config = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": os.environ["ZOOCACHE_BENCH_REDIS"]}
    app = Flask("flask_caching")
    cache = Cache(app, config=config)
    runs = []

    @app.get("/animals/<int:pk>")
    @cache.cached(timeout=3600, **options)  # type: ignore[untyped-decorator, unused-ignore]
    def animal(pk: int) -> str:
        runs.append(pk)
        return PAGE

    served = _served(app)
    if len(runs) != 1:
        raise RuntimeError(f"not cached: ran {len(runs)} times")
    return served


def flask_caching(storage: str) -> dict[str, Any]:
    return _flask_caching(storage)


def flask_caching_with_query(storage: str) -> dict[str, Any]:
    return _flask_caching(storage, query_string=True)


def flask_alone(storage: str) -> dict[str, Any]:
    from flask import Flask

    app = Flask("alone")

    @app.get("/animals/<int:pk>")
    def animal(pk: int) -> str:
        return PAGE

    return _served(app)
