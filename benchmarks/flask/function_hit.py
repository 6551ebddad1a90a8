"""What does a hit of a cached function cost in a Flask application?

cachelib has no decorator; its `get` of a known key is the least that one built on it could cost.
"""

from __future__ import annotations

import os
from typing import Any

TITLE = "A hit of a cached function in an application"
NEEDS_REDIS = True

VARIANTS = {"memory": "memory", "redis": "redis"}
GOALS = {"flask_caching": 1.0}

_computed: list[int] = []


def _row(n: int) -> dict[str, Any]:
    _computed.append(n)
    return {"id": n, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}


def _hit(app: Any, cached: Any) -> dict[str, Any]:
    # Stays open: a statement is timed within a request, not its beginning and end.
    app.app_context().push()
    if cached(7) != cached(7) or _computed != [7]:
        raise RuntimeError(f"not cached: computed {_computed}")
    return {"run": "f(7)", "f": cached}


def ours(storage: str) -> dict[str, Any]:
    from flask import Flask

    from zoocache_flask import ZooCache, cacheable

    app = Flask("ours")
    if storage == "redis":
        app.config["ZOOCACHE"] = {"storage_url": os.environ["ZOOCACHE_BENCH_REDIS"]}
    ZooCache(app)
    return _hit(app, cacheable(ttl=3600)(_row))


def flask_caching(storage: str) -> dict[str, Any]:
    from flask import Flask
    from flask_caching import Cache

    config: dict[str, Any] = {"CACHE_TYPE": "SimpleCache"}
    if storage == "redis":
        config = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": os.environ["ZOOCACHE_BENCH_REDIS"]}
    app = Flask("flask_caching")
    return _hit(app, Cache(app, config=config).memoize(3600)(_row))


def cachelib_get(storage: str) -> dict[str, Any]:
    from urllib.parse import urlsplit

    import cachelib

    cache: Any = cachelib.SimpleCache()
    if storage == "redis":
        url = urlsplit(os.environ["ZOOCACHE_BENCH_REDIS"])
        cache = cachelib.RedisCache(host=url.hostname or "", port=url.port or 6379)
    cache.set("animal:7", _row(7), timeout=3600)
    return {"run": "get('animal:7')", "get": cache.get}
