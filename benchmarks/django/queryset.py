"""What does a cached query cost, against the query, and against what else caches queries?

A local SQLite file, the fastest database to read from. "uncached" is Django as it is. cachalot
patches Django's compilers, cacheops its querysets: hence a process for each contender. cacheops has
Redis only, and it is on Redis here in every variant; the others are where the variant says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TITLE = "A cached query"
NEEDS_REDIS = True

_READS = {
    "get(pk)": "get(pk=7)",
    "list of 100": "list(filter(legs=4))",
    "count": "filter(legs=4).count()",
}
VARIANTS = {
    f"{name}, {storage}": (name, storage) for storage in ("memory", "redis") for name in _READS
}
_AHEAD = {"cachalot": 1.0, "cacheops": 1.0, "zoocache_pypi": 1.0}
GOALS = {
    "get(pk), memory": {"uncached": 0.6, **_AHEAD},
    "list of 100, memory": {"uncached": 0.5, **_AHEAD},
    "count, memory": {"uncached": 0.5, **_AHEAD},
    **{f"{name}, redis": _AHEAD for name in _READS},
}


def _site() -> Any:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    return site


def _read(name: str, queries: int = 0) -> dict[str, Any]:
    from zoo import site

    site.populate()
    from zoo.models import Animal

    cached = Animal.cached
    reads = {
        "get(pk)": lambda: cached.get(pk=7),
        "list of 100": lambda: list(cached.filter(legs=4)),
        "count": lambda: cached.filter(legs=4).count(),
    }
    expected = {
        "get(pk)": lambda: Animal.objects.get(pk=7),
        "list of 100": lambda: list(Animal.objects.filter(legs=4)),
        "count": lambda: 100,
    }
    read = reads[name]
    for _ in range(3):
        if read() != expected[name]():
            raise RuntimeError(f"another result: {read()!r:.200}")
    if site.queries_of(read) != queries:
        raise RuntimeError("not cached" if queries == 0 else "cached")
    return {"run": "read()", "read": read}


def ours(variant: tuple[str, str]) -> dict[str, Any]:
    name, storage = variant
    site = _site()
    options = {"storage_url": site.redis_url(), "prefix": site.PREFIX} if storage == "redis" else {}
    site.start(
        apps=["zoocache_django"],
        manager="zoocache_django.ZooCacheManager",
        manager_options={"ttl": site.HOUR},
        ZOOCACHE=options,
    )
    return _read(name)


def zoocache_pypi(variant: tuple[str, str]) -> dict[str, Any]:
    name, storage = variant
    site = _site()
    options = {"storage_url": site.redis_url(), "prefix": site.PREFIX} if storage == "redis" else {}
    site.start(
        manager="zoocache.contrib.django.ZooCacheManager",
        manager_options={"ttl": site.HOUR},
        ZOOCACHE={"default_ttl": site.HOUR, **options},
    )
    return _read(name)


def cachalot(variant: tuple[str, str]) -> dict[str, Any]:
    name, storage = variant
    site = _site()
    site.start(
        apps=["cachalot"],
        caches=site.redis_cache() if storage == "redis" else site.locmem(),
        CACHALOT_TIMEOUT=site.HOUR,
    )
    return _read(name)


def cacheops(variant: tuple[str, str]) -> dict[str, Any]:
    name, _ = variant
    site = _site()
    site.start(
        apps=["cacheops"],
        CACHEOPS_REDIS=site.redis_url(),
        CACHEOPS_PREFIX=lambda query: site.PREFIX,
        CACHEOPS={"zoo.*": {"ops": "all", "timeout": site.HOUR}},
    )
    return _read(name)


def uncached(variant: tuple[str, str]) -> dict[str, Any]:
    _site().start()
    return _read(variant[0], queries=1)
