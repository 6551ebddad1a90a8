"""What does a write cost with what it outdates being forgotten, against a plain write?

On SQLite in memory, where a write costs least and whatever is added shows most; on a file, which is
what an application would have. Results are cached before, as they would be. cacheops has Redis
only; the others are in memory. PyPI zoocache and cacheops do not notice `update()`, and both
invalidate after the commit only, so that they have no work within a transaction.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TITLE = "A write"
NEEDS_REDIS = True

_KINDS = (
    "save()",
    "create()",
    "child's save()",
    "child's create()",
    "save() in atomic()",
    "update()",
)
VARIANTS = {
    **{f"{kind}, SQLite in memory": (kind, ":memory:") for kind in _KINDS},
    **{f"{kind}, SQLite file": (kind, "zoo.sqlite3") for kind in ("save()", "create()")},
}
GOALS = {"plain": 1.15}
ROUNDS = 21


def _site() -> Any:
    sys.path.insert(0, str(Path(__file__).with_name("project")))
    from zoo import site

    return site


def _write(kind: str) -> dict[str, Any]:
    from zoo import site

    site.populate()
    from django.db.transaction import atomic
    from zoo.models import Animal, Aviary

    animal, aviary = Animal.objects.get(pk=7), Aviary.objects.get()
    numbers = itertools.count()

    # Each write differs from the one before: SQLite does not write what is there already.
    def save() -> None:
        animal.legs = next(numbers)
        animal.save()

    def save_child() -> None:
        aviary.height = next(numbers)
        aviary.name = f"aviary {aviary.height}"
        aviary.save()

    def in_atomic() -> None:
        with atomic():
            save()

    def create() -> None:
        Animal.objects.create(name="new", legs=2, weight=animal.weight, born=animal.born)

    writes: dict[str, Callable[[], Any]] = {
        "save()": save,
        "create()": create,
        "child's save()": save_child,
        "child's create()": lambda: Aviary.objects.create(name="new", height=3),
        "save() in atomic()": in_atomic,
        "update()": lambda: Animal.objects.filter(pk=7).update(legs=next(numbers)),
    }
    for _ in range(2):
        Animal.cached.get(pk=7)
        list(Animal.cached.filter(legs=4))
    return {"run": "write()", "write": writes[kind]}


def ours(variant: tuple[str, str]) -> dict[str, Any]:
    kind, database = variant
    site = _site()
    site.start(
        database=database,
        apps=["zoocache_django"],
        manager="zoocache_django.ZooCacheManager",
        manager_options={"ttl": site.HOUR},
    )
    return _write(kind)


def zoocache_pypi(variant: tuple[str, str]) -> dict[str, Any]:
    kind, database = variant
    site = _site()
    site.start(
        database=database,
        manager="zoocache.contrib.django.ZooCacheManager",
        manager_options={"ttl": site.HOUR},
        ZOOCACHE={"default_ttl": site.HOUR},
    )
    return _write(kind)


def cachalot(variant: tuple[str, str]) -> dict[str, Any]:
    kind, database = variant
    site = _site()
    site.start(database=database, apps=["cachalot"], caches=site.locmem())
    return _write(kind)


def cacheops(variant: tuple[str, str]) -> dict[str, Any]:
    kind, database = variant
    site = _site()
    site.start(
        database=database,
        apps=["cacheops"],
        CACHEOPS_REDIS=site.redis_url(),
        CACHEOPS_PREFIX=lambda query: site.PREFIX,
        CACHEOPS={"zoo.*": {"ops": "all", "timeout": site.HOUR}},
    )
    return _write(kind)


def plain(variant: tuple[str, str]) -> dict[str, Any]:
    kind, database = variant
    _site().start(database=database)
    return _write(kind)
