"""What do the operations of a cache backend cost that the processes of a host share by files?

diskcache is a database of SQLite; Django's own file-based cache a file an entry.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TITLE = "Cache backend on files"

ROW = {"id": 7, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}
VARIANTS = {
    "get": "get('row')",
    "get: none there": "get('nothing')",
    "set": "set('row', row)",
    "get_many(10)": "get_many(names)",
    "set_many(10)": "set_many(rows)",
    "incr": "incr('count')",
}
GOALS = {"get": {"diskcache": 1.0, "file_based": 1.0}}
ROUNDS = 9


def _names(statement: str, backend: str, location: str) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    site.start(caches={"BACKEND": backend, "LOCATION": location, "TIMEOUT": site.HOUR})
    from django.core.cache import cache

    rows = {f"row:{n}": ROW for n in range(10)}
    cache.set_many({"row": ROW, "count": 1, **rows})
    if cache.get("row") != ROW or cache.get_many(rows) != rows:
        raise RuntimeError("not cached")
    name = statement.partition("(")[0]
    values = {"row": ROW, "rows": rows, "names": list(rows)}
    return {"run": statement, name: getattr(cache, name), **values}


def ours(statement: str) -> dict[str, Any]:
    location = f"lmdb://{Path.cwd() / 'lmdb'}"
    return _names(statement, "zoocache_django.cache.ZooCacheBackend", location)


def diskcache(statement: str) -> dict[str, Any]:
    return _names(statement, "diskcache.DjangoCache", str(Path.cwd() / "diskcache"))


def file_based(statement: str) -> dict[str, Any]:
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    return _names(statement, backend, str(Path.cwd() / "files"))
