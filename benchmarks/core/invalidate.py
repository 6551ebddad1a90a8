"""What does it cost to forget what depends on one tag: one entry, of 1024 that are there?"""

from __future__ import annotations

from typing import Any

TITLE = "invalidate(tag), one live entry below it"

GOALS = {"zoocache_pypi": 1.0}

LOOPS = 1024
KEYS = [f"product:{n}" for n in range(LOOPS)]
TAGS = [f"shop:1:product:{n}" for n in range(LOOPS)]


def ours() -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()

    def before() -> None:
        for key, tag in zip(KEYS, TAGS, strict=True):
            engine.set(key, "value", deps=[tag])

    return {"run": "forget(tags[i])", "forget": engine.invalidate, "tags": TAGS, "before": before}


def zoocache_pypi() -> dict[str, Any]:
    import zoocache

    zoocache.configure()

    def before() -> None:
        for key, tag in zip(KEYS, TAGS, strict=True):
            zoocache.set(key, "value", deps=[tag])

    return {"run": "forget(tags[i])", "forget": zoocache.invalidate, "tags": TAGS, "before": before}


def diskcache() -> dict[str, Any]:
    from diskcache import Cache

    cache = Cache("diskcache", tag_index=True)

    def before() -> None:
        for key, tag in zip(KEYS, TAGS, strict=True):
            cache.set(key, "value", tag=tag)

    return {"run": "forget(tags[i])", "forget": cache.evict, "tags": TAGS, "before": before}


async def ours_async() -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()

    def before() -> None:
        for key, tag in zip(KEYS, TAGS, strict=True):
            engine.set(key, "value", deps=[tag])

    return {
        "run": "await forget(tags[i])",
        "forget": engine.invalidate_async,
        "tags": TAGS,
        "before": before,
    }


async def cashews() -> dict[str, Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=100_000)

    async def before() -> None:
        for key, tag in zip(KEYS, TAGS, strict=True):
            await cache.set(key, "value", tags=[tag])

    return {
        "run": "await forget(tags[i])",
        "forget": cache.delete_tags,
        "tags": TAGS,
        "before": before,
    }


def cachetools() -> dict[str, Any]:
    """Has no tags: the caller knows the key and deletes the entry."""
    from cachetools import TTLCache

    cache: Any = TTLCache(100_000, 3600)

    def before() -> None:
        cache.update(dict.fromkeys(KEYS, "value"))

    return {"run": "forget(keys[i])", "forget": cache.pop, "keys": KEYS, "before": before}
