"""What do the operations of a cache backend on Redis cost, over the loopback interface?

A read of ours is a strong one: it asks, in its one round trip, for the invalidations, too, which
the others do not have. Their asynchronous operations run the blocking ones in a thread.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TITLE = "Cache backend on Redis"
NEEDS_REDIS = True

TEXT = "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice. " * 2
ROW = {"id": 7, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}
VARIANTS = {
    "get: str": "get('text')",
    "get: dict": "get('row')",
    "get: none there": "get('nothing')",
    "set": "set('row', row)",
    "add: there is one": "add('row', row)",
    "get_or_set": "get_or_set('row', row)",
    "get_many(10)": "get_many(names)",
    "set_many(10)": "set_many(rows)",
    "incr": "incr('count')",
    "touch": "touch('row')",
    "has_key": "has_key('row')",
}
GOALS = {
    "get: str": {"django_redis": 0.5},
    "get: dict": {"django_redis": 0.5},
}
ROUNDS = 11


def _cache(settings: str, **arguments: Any) -> Any:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    if settings == "zoocache":
        arguments = {"location": site.redis_url()}
    site.start(caches=getattr(site, settings)(**arguments))
    from django.core.cache import cache

    rows = {f"row:{n}": ROW for n in range(10)}
    cache.set_many({"text": TEXT, "row": ROW, "count": 1, **rows})
    if cache.get("row") != ROW or cache.get_many(rows) != rows:
        raise RuntimeError("not cached")
    return cache, {"row": ROW, "rows": rows, "names": list(rows)}


def _names(settings: str, statement: str) -> dict[str, Any]:
    cache, values = _cache(settings)
    name = statement.partition("(")[0]
    return {"run": statement, name: getattr(cache, name), **values}


def ours(statement: str) -> dict[str, Any]:
    return _names("zoocache", statement)


def django_redis(statement: str) -> dict[str, Any]:
    return _names("django_redis", statement)


def redis_cache(statement: str) -> dict[str, Any]:
    return _names("redis_cache", statement)


def _names_async(settings: str, statement: str) -> dict[str, Any]:
    cache, values = _cache(settings)
    name = f"a{statement.partition('(')[0]}"
    return {"run": f"await a{statement}", name: getattr(cache, name), **values}


async def ours_async(statement: str) -> dict[str, Any]:
    return _names_async("zoocache", statement)


async def django_redis_async(statement: str) -> dict[str, Any]:
    return _names_async("django_redis", statement)
