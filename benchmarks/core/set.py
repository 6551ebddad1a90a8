"""What does writing one value under its key cost, with a dependency where there are any?"""

from __future__ import annotations

from typing import Any

TITLE = "set(key, value), with one dependency"

TEXT = "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice. " * 2
ROW = {"id": 7, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}
VARIANTS = {"str": TEXT, "dict": ROW}
GOALS = {"zoocache_pypi": 1.0}

SIZE, HOUR = 100_000, 3600
KEYS = [f"product:{n}" for n in range(1024)]
DEPS = [[f"shop:1:product:{n}"] for n in range(1024)]


def ours(value: Any) -> dict[str, Any]:
    from zoocache_core import Engine

    return {
        "run": "put(keys[i & 1023], value, deps=deps[i & 1023])",
        "put": Engine().set,
        "value": value,
        "keys": KEYS,
        "deps": DEPS,
    }


def zoocache_pypi(value: Any) -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    return {
        "run": "put(keys[i & 1023], value, deps=deps[i & 1023])",
        "put": zoocache.set,
        "value": value,
        "keys": KEYS,
        "deps": DEPS,
    }


def cachetools(value: Any) -> dict[str, Any]:
    from cachetools import TTLCache

    cache: Any = TTLCache(SIZE, HOUR)
    return {"run": "cache[keys[i & 1023]] = value", "cache": cache, "value": value, "keys": KEYS}


def cachebox(value: Any) -> dict[str, Any]:
    import cachebox

    cache = cachebox.TTLCache(SIZE, HOUR)
    return {"run": "cache[keys[i & 1023]] = value", "cache": cache, "value": value, "keys": KEYS}


def dogpile(value: Any) -> dict[str, Any]:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=HOUR)
    return {"run": "put(keys[i & 1023], value)", "put": region.set, "value": value, "keys": KEYS}


def diskcache(value: Any) -> dict[str, Any]:
    from diskcache import Cache

    return {
        "run": "put(keys[i & 1023], value, 3600, tag=deps[i & 1023][0])",
        "put": Cache("diskcache").set,
        "value": value,
        "keys": KEYS,
        "deps": DEPS,
    }


async def ours_async(value: Any) -> dict[str, Any]:
    from zoocache_core import Engine

    return {
        "run": "await put(keys[i & 1023], value, deps=deps[i & 1023])",
        "put": Engine().set_async,
        "value": value,
        "keys": KEYS,
        "deps": DEPS,
    }


async def cashews(value: Any) -> dict[str, Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=SIZE)
    return {
        "run": "await put(keys[i & 1023], value, 3600, tags=deps[i & 1023])",
        "put": cache.set,
        "value": value,
        "keys": KEYS,
        "deps": DEPS,
    }
