"""What do the operations cost on Redis, over the loopback interface?

redis-py alone (GET or SET of a JSON text, no invalidation) is the limit: it does one round trip and
nothing else. Its "invalidate" is one INCR. PyPI zoocache has no `get_many`, so it loops.
"""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

TITLE = "Redis"
NEEDS_REDIS = True

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
GOALS = {"hit": {"zoocache_pypi": 1.0}}
ROUNDS = 9


def _url() -> str:
    return os.environ["ZOOCACHE_BENCH_REDIS"]


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

    engine = Engine(storage_url=_url(), prefix="ours")

    @engine.cacheable(ttl=3600)
    def f(n: int) -> dict[str, Any]:
        return ROW

    return _names(statement, f, engine.set, engine.invalidate, engine.get_many)


def ours_near(statement: str) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine(storage_url=_url(), prefix="near", near_max_entries=10_000)

    @engine.cacheable(ttl=3600)
    def f(n: int) -> dict[str, Any]:
        return ROW

    return _names(statement, f, engine.set, engine.invalidate, engine.get_many)


def zoocache_pypi(statement: str) -> dict[str, Any]:
    import zoocache

    zoocache.configure(storage_url=_url(), prefix="pypi")

    @zoocache.cacheable(ttl=3600)
    def f(n: int) -> dict[str, Any]:
        return ROW

    def get_many(keys: list[str]) -> dict[str, Any]:
        return {key: zoocache.get(key) for key in keys}

    return _names(statement, f, zoocache.set, zoocache.invalidate, get_many)


def redis_py(statement: str) -> dict[str, Any]:
    import redis

    client = redis.Redis.from_url(_url())

    def f(n: int) -> Any:
        found = client.get(f"alone:f:{n}")
        if found is None:
            client.set(f"alone:f:{n}", json.dumps(ROW), ex=3600)
            return ROW
        return json.loads(found)

    def put(key: str, value: Any, deps: list[str]) -> None:
        client.set(f"alone:{key}", json.dumps(value))

    def get_many(keys: list[str]) -> dict[str, Any]:
        found = client.mget([f"alone:{key}" for key in keys])
        return {key: json.loads(value) for key, value in zip(keys, found, strict=True)}

    return _names(statement, f, put, lambda tag: client.incr(f"alone:{tag}"), get_many)
