"""How much memory does an entry take, over all: a key, a str of 100 characters, one dependency?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TITLE = "Memory of an entry"
UNIT = "bytes"
LOOPS = 100_000
ROUNDS = 3


def _work(put: Callable[[str, str, str], Any]) -> dict[str, Any]:
    # One call first, so that what is imported and allocated once is not counted.
    put("product:first", "value", "shop:1")
    return {"run": "put(f'product:{i}', f'{i:0100d}', f'shop:{i % 1000}')", "put": put}


def plain_dict() -> dict[str, Any]:
    """The limit: keys and values alone."""
    cache: dict[str, str] = {}
    return _work(lambda key, value, tag: cache.__setitem__(key, value))


def ours() -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    return _work(lambda key, value, tag: engine.set(key, value, deps=[tag]))


def zoocache_pypi() -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    return _work(lambda key, value, tag: zoocache.set(key, value, deps=[tag]))


def cachetools() -> dict[str, Any]:
    from cachetools import TTLCache

    cache: Any = TTLCache(10**6, 3600)
    return _work(lambda key, value, tag: cache.__setitem__(key, value))


def cachebox() -> dict[str, Any]:
    import cachebox

    cache = cachebox.TTLCache(10**6, 3600)
    return _work(lambda key, value, tag: cache.__setitem__(key, value))


def dogpile() -> dict[str, Any]:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=3600)
    return _work(lambda key, value, tag: region.set(key, value))


async def cashews() -> dict[str, Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=10**6)
    await cache.set("product:first", "value", tags=["shop:1"])
    return {
        "run": "await put(f'product:{i}', f'{i:0100d}', tags=[f'shop:{i % 1000}'])",
        "put": cache.set,
    }
