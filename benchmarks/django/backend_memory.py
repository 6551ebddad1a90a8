"""What do the operations of a cache backend in memory cost?

Django's LocMemCache has no asynchronous operations of its own: each runs in a thread.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TITLE = "Cache backend in memory"

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
    "get: str": {"locmem": 0.7, "locmem_async": 0.05},
    "get: dict": {"locmem": 0.7, "locmem_async": 0.05},
}


def _cache(settings: str) -> Any:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    site.start(caches=getattr(site, settings)())
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


def locmem(statement: str) -> dict[str, Any]:
    return _names("locmem", statement)


def _names_async(settings: str, statement: str) -> dict[str, Any]:
    cache, values = _cache(settings)
    name = f"a{statement.partition('(')[0]}"
    return {"run": f"await a{statement}", name: getattr(cache, name), **values}


async def ours_async(statement: str) -> dict[str, Any]:
    return _names_async("zoocache", statement)


async def locmem_async(statement: str) -> dict[str, Any]:
    return _names_async("locmem", statement)
