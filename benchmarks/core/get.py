"""What does reading one value by its key cost?"""

from __future__ import annotations

from typing import Any

TITLE = "get(key)"

TEXT = "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice. " * 2
ROW = {"id": 7, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}
VARIANTS = {"str": TEXT, "dict": ROW}
GOALS = {"zoocache_pypi": 1.0}

SIZE, HOUR, KEY = 100_000, 3600, "product:7"


def ours(value: Any) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    engine.set(KEY, value, deps=["shop:1:product:7"])
    return {"run": "get('product:7')", "get": engine.get}


def zoocache_pypi(value: Any) -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    zoocache.set(KEY, value, deps=["shop:1:product:7"])
    return {"run": "get('product:7')", "get": zoocache.get}


def cachetools(value: Any) -> dict[str, Any]:
    from cachetools import TTLCache

    cache: Any = TTLCache(SIZE, HOUR)
    cache[KEY] = value
    return {"run": "get('product:7')", "get": cache.get}


def cachebox(value: Any) -> dict[str, Any]:
    import cachebox

    cache = cachebox.TTLCache(SIZE, HOUR)
    cache[KEY] = value
    return {"run": "get('product:7')", "get": cache.get}


def dogpile(value: Any) -> dict[str, Any]:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=HOUR)
    region.set(KEY, value)
    return {"run": "get('product:7')", "get": region.get}


def diskcache(value: Any) -> dict[str, Any]:
    from diskcache import Cache

    cache = Cache("diskcache")
    cache.set(KEY, value, expire=HOUR)
    return {"run": "get('product:7')", "get": cache.get}


async def ours_async(value: Any) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    await engine.set_async(KEY, value, deps=["shop:1:product:7"])
    return {"run": "await get('product:7')", "get": engine.get_async}


async def cashews(value: Any) -> dict[str, Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=SIZE)
    await cache.set(KEY, value, expire=HOUR)
    return {"run": "await get('product:7')", "get": cache.get}
