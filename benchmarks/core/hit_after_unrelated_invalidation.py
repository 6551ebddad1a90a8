"""What does a hit cost right after something else was invalidated?

1024 entries, each depending on one tag of depth 4. One unrelated tag is invalidated, untimed,
then each entry is hit once: no hit can rely on having been judged since.
"""

from __future__ import annotations

from typing import Any

TITLE = "A hit after an unrelated invalidation, one dependency of depth 4"

GOALS = {"zoocache_pypi": 0.3}

LOOPS = 1024
VALUE = "A lion, a tiger and a bear walk into a zoo, and the keeper counts them twice."


def _load(n: int) -> str:
    return VALUE


def _dep(n: int) -> list[str]:
    return [f"org:1:product:{n}"]


def ours() -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    cached = engine.cacheable(deps=_dep)(_load)
    for n in range(LOOPS):
        cached(n)
    return {"run": "f(i)", "f": cached, "before": lambda: engine.invalidate("org:2:product:1")}


def zoocache_pypi() -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    cached = zoocache.cacheable(deps=_dep)(_load)
    for n in range(LOOPS):
        cached(n)
    return {"run": "f(i)", "f": cached, "before": lambda: zoocache.invalidate("org:2:product:1")}


def cachetools() -> dict[str, Any]:
    """Has no tags, so nothing happened: what 1024 hits of different keys cost."""
    from cachetools import TTLCache, cached

    function = cached(TTLCache(100_000, 3600))(_load)
    for n in range(LOOPS):
        function(n)
    return {"run": "f(i)", "f": function}


def lru_cache() -> dict[str, Any]:
    """Has no tags, so nothing happened: what 1024 hits of different keys cost."""
    from functools import lru_cache

    function = lru_cache(100_000)(_load)
    for n in range(LOOPS):
        function(n)
    return {"run": "f(i)", "f": function}
