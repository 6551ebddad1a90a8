"""What does a miss add to the function: computing, storing, and evicting an older entry?"""

from __future__ import annotations

from itertools import count
from typing import Any

TITLE = "A miss of a cached function, in a full cache"

SIZE, HOUR = 10_000, 3600


def _load(n: int) -> str:
    return "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice."


def _full(cached: Any) -> dict[str, Any]:
    new = count().__next__
    for _ in range(SIZE + 1):
        cached(new())
    return {"run": "f(new())", "f": cached, "new": new}


def ours() -> dict[str, Any]:
    from zoocache_core import Engine

    return _full(Engine(max_entries=SIZE).cacheable(deps="shop:1")(_load))


def zoocache_pypi() -> dict[str, Any]:
    import zoocache

    zoocache.configure(max_entries=SIZE)
    return _full(zoocache.cacheable(deps=["shop:1"])(_load))


def cachetools() -> dict[str, Any]:
    from cachetools import TTLCache, cached

    return _full(cached(TTLCache(SIZE, HOUR))(_load))


def cachebox() -> dict[str, Any]:
    import cachebox

    return _full(cachebox.cached(cachebox.LRUCache(SIZE))(_load))


def dogpile() -> dict[str, Any]:
    """Evicts nothing: its memory backend has no limit."""
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=HOUR)
    return _full(region.cache_on_arguments()(_load))


def diskcache() -> dict[str, Any]:
    """Evicts nothing here: its limit is the size on disk."""
    from diskcache import Cache

    return _full(Cache("diskcache").memoize(expire=HOUR)(_load))


def lru_cache() -> dict[str, Any]:
    from functools import lru_cache

    return _full(lru_cache(SIZE)(_load))


async def ours_async() -> dict[str, Any]:
    from zoocache_core import Engine

    @Engine(max_entries=SIZE).cacheable(deps="shop:1")
    async def load(n: int) -> str:
        return _load(n)

    new = count().__next__
    for _ in range(SIZE + 1):
        await load(new())
    return {"run": "await f(new())", "f": load, "new": new}


async def cashews() -> dict[str, Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=SIZE)

    @cache(ttl=HOUR)
    async def load(n: int) -> str:
        return _load(n)

    new = count().__next__
    for _ in range(SIZE + 1):
        await load(new())
    return {"run": "await f(new())", "f": load, "new": new}
