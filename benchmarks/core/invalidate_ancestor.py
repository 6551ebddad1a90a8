"""Does it take longer to forget a branch when more is cached?

The entries are spread over 1000 branches, each of which is invalidated once: every call forgets
live entries, a thousandth of all that are there. They are stored again, untimed, for each round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TITLE = "invalidate(ancestor) of a thousandth of all entries"

VARIANTS = {"10^3 entries": 10**3, "10^4": 10**4, "10^5": 10**5, "10^6": 10**6}
GROWTH = 1.2
LOOPS = 1000
ROUNDS = 5

TAGS = [f"org:{n}" for n in range(LOOPS)]


def _work(
    put: Callable[..., Any],
    invalidate: Callable[..., Any],
    version: Callable[[str], Any],
    entries: int,
) -> dict[str, Any]:
    def before() -> None:
        for n in range(entries):
            put(f"user:{n}", n, deps=[f"org:{n % LOOPS}:user:{n}"])
        # Storing has pushed code and tags out of the processor's caches, more so the more there
        # was to store. That is not what is asked.
        for tag in TAGS:
            version(tag)
            invalidate("elsewhere:1")

    return {"run": "forget(tags[i])", "forget": invalidate, "tags": TAGS, "before": before}


def ours(entries: int) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    return _work(engine.set, engine.invalidate, engine.get_tag_version, entries)


def zoocache_pypi(entries: int) -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    return _work(zoocache.set, zoocache.invalidate, zoocache.get_tag_version, entries)
