"""What do the operations cost on a store in files, shared by the processes of a host?

PyPI zoocache on its LMDB storage; diskcache on SQLite. Neither has `get_many`, so they loop.
"""

from __future__ import annotations

import itertools
from typing import Any

TITLE = "LMDB"

ROW = {"id": 7, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}
KEYS = [f"product:{n}" for n in range(256)]
VARIANTS = {
    "hit": "f(7)",
    "miss": "f(next(fresh))",
    "set": "put(keys[i & 255], row, deps=deps)",
    "invalidate": "invalidate(tag)",
    "get_many(10)": "get_many(keys[:10])",
    "get_many(100)": "get_many(keys[:100])",
}
GOALS = {"hit": {"zoocache_pypi": 0.6}, "set": {"zoocache_pypi": 1.0}}
ROUNDS = 9


def _names(statement: str, f: Any, put: Any, invalidate: Any, get_many: Any) -> dict[str, Any]:
    for key in KEYS:
        put(key, ROW, deps=["shop:1"])
    if get_many(KEYS[:2]) != {KEYS[0]: ROW, KEYS[1]: ROW} or f(7) != f(7):
        raise RuntimeError("not cached")
    values = {
        "f": f,
        "fresh": itertools.count(),
        "put": put,
        "invalidate": invalidate,
        "get_many": get_many,
        "keys": KEYS,
        "row": ROW,
        "deps": ["shop:1:product:7"],
        "tag": "elsewhere:1",
    }
    return {"run": statement, **{name: v for name, v in values.items() if name in statement}}


def ours(statement: str) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine(storage_url="lmdb://./ours")

    @engine.cacheable
    def f(n: int) -> dict[str, Any]:
        return ROW

    return _names(statement, f, engine.set, engine.invalidate, engine.get_many)


def zoocache_pypi(statement: str) -> dict[str, Any]:
    import zoocache

    zoocache.configure(storage_url="lmdb://./pypi")

    @zoocache.cacheable()
    def f(n: int) -> dict[str, Any]:
        return ROW

    def get_many(keys: list[str]) -> dict[str, Any]:
        return {key: zoocache.get(key) for key in keys}

    return _names(statement, f, zoocache.set, zoocache.invalidate, get_many)


def diskcache(statement: str) -> dict[str, Any]:
    from diskcache import Cache

    cache = Cache("diskcache", tag_index=True)

    @cache.memoize()
    def f(n: int) -> dict[str, Any]:
        return ROW

    def put(key: str, value: Any, deps: list[str]) -> None:
        cache.set(key, value, tag=deps[0])

    def get_many(keys: list[str]) -> dict[str, Any]:
        return {key: cache.get(key) for key in keys}

    return _names(statement, f, put, cache.evict, get_many)
