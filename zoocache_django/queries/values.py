"""A value under a key, from the cache or computed: the shortest way for querysets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoocache_core import Engine
from zoocache_core.calls import pass_outward
from zoocache_core.deps import current_scope

__all__ = ["value_of"]


def value_of(engine: Engine, key: str, compute: Callable[[], Any], ttl: float | None) -> Any:
    """What is stored under ``key``, else what ``compute`` returns; it lives ``ttl`` seconds."""
    entry = engine.hit(key)
    if entry is None:
        return engine.fetch(key, compute, ttl=ttl)
    scope = current_scope()
    if scope is not None:
        pass_outward(scope, entry.deps, key)
    return entry.value()
