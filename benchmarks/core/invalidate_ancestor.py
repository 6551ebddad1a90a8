"""Does it take longer to forget a branch when more is cached?

The entries are spread over 100 branches, each of which is invalidated once: every call forgets
live entries, a hundredth of all that are there. They are stored again, untimed, for each round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TITLE = "invalidate(ancestor) of a hundredth of all entries"

VARIANTS = {"10^3 entries": 10**3, "10^4": 10**4, "10^5": 10**5, "10^6": 10**6}
LOOPS = 100
ROUNDS = 5


def _work(set_: Callable[..., Any], invalidate: Callable[..., Any], entries: int) -> dict[str, Any]:
    def before() -> None:
        for n in range(entries):
            set_(f"user:{n}", n, deps=[f"org:{n % LOOPS}:user:{n}"])
        # Storing has pushed the code of invalidation out of the processor's caches.
        for _ in range(1000):
            invalidate("elsewhere:1")

    tags = [f"org:{n}" for n in range(LOOPS)]
    return {"run": "forget(tags[i])", "forget": invalidate, "tags": tags, "before": before}


def ours(entries: int) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine()
    return _work(engine.set, engine.invalidate, entries)


def zoocache_pypi(entries: int) -> dict[str, Any]:
    import zoocache

    zoocache.configure()
    return _work(zoocache.set, zoocache.invalidate, entries)
