"""What does a hit of a cached function cost?

Without a TTL where the contender can do without one; "str, ttl" gives every contender one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TITLE = "A hit of a cached function"

SIZE, HOUR = 100_000, 3600

_computed: list[int] = []


def _text(n: int) -> str:
    _computed.append(n)
    return "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice." * 2


def _row(n: int) -> dict[str, Any]:
    _computed.append(n)
    return {"id": n, "name": "Lion", "price": 9.5, "stock": 3, "labels": ["cat", "big"]}


Case = tuple[Callable[[int], Any], Any]
VARIANTS: dict[str, Case] = {"str": (_text, None), "dict": (_row, None), "str, ttl": (_text, HOUR)}
GOALS = {
    "str": {"zoocache_pypi": 0.35, "cachetools": 1.0},
    "dict": {"zoocache_pypi": 0.5},
    "str, ttl": {"zoocache_pypi": 0.35, "cachetools": 1.0},
}


def _hit(cached: Any) -> dict[str, Any]:
    if cached(7) != cached(7) or _computed != [7]:
        raise RuntimeError(f"not cached: computed {_computed}")
    return {"run": "f(7)", "f": cached}


async def _hit_async(cached: Any) -> dict[str, Any]:
    if await cached(7) != await cached(7) or _computed != [7]:
        raise RuntimeError(f"not cached: computed {_computed}")
    return {"run": "await f(7)", "f": cached}


def ours(case: Case) -> dict[str, Any]:
    from zoocache_core import Engine

    load, ttl = case
    return _hit(Engine().cacheable(ttl=ttl)(load))


def zoocache_pypi(case: Case) -> dict[str, Any]:
    import zoocache

    load, ttl = case
    zoocache.configure()
    return _hit(zoocache.cacheable(ttl=ttl)(load))


def cachetools(case: Case) -> dict[str, Any]:
    from cachetools import TTLCache, cached

    load, _ = case
    return _hit(cached(TTLCache(SIZE, HOUR))(load))


def cachetools_locked(case: Case) -> dict[str, Any]:
    from threading import RLock

    from cachetools import TTLCache, cached

    load, _ = case
    return _hit(cached(TTLCache(SIZE, HOUR), lock=RLock())(load))


def cachebox(case: Case) -> dict[str, Any]:
    import cachebox

    load, ttl = case
    cache = cachebox.TTLCache(SIZE, ttl) if ttl else cachebox.LRUCache(SIZE)
    return _hit(cachebox.cached(cache)(load))


def dogpile(case: Case) -> dict[str, Any]:
    from dogpile.cache import make_region

    load, ttl = case
    region = make_region().configure("dogpile.cache.memory", expiration_time=ttl)
    return _hit(region.cache_on_arguments()(load))


def diskcache(case: Case) -> dict[str, Any]:
    from diskcache import Cache

    load, ttl = case
    return _hit(Cache("diskcache").memoize(expire=ttl)(load))


def lru_cache(case: Case) -> dict[str, Any]:
    from functools import lru_cache

    load, _ = case
    return _hit(lru_cache(SIZE)(load))


async def ours_async(case: Case) -> dict[str, Any]:
    from zoocache_core import Engine

    function, ttl = case

    @Engine().cacheable(ttl=ttl)
    async def load(n: int) -> Any:
        return function(n)

    return await _hit_async(load)


async def cashews(case: Case) -> dict[str, Any]:
    from cashews import Cache

    function, _ = case
    cache = Cache()
    cache.setup("mem://", size=SIZE)

    @cache(ttl=HOUR)
    async def load(n: int) -> Any:
        return function(n)

    return await _hit_async(load)
