"""The engines that are told what is written through Django."""

from __future__ import annotations

from collections.abc import Collection

from zoocache_core import Engine, isolation
from zoocache_core.publishing import Publishing

__all__ = ["follow", "followers", "invalidate", "publishing", "unfollow"]

_followers: tuple[Engine, ...] = ()


def followers() -> tuple[Engine, ...]:
    """The engines that are told."""
    return _followers


def follow(engine: Engine) -> None:
    """Invalidate in ``engine``, too, what is written through Django."""
    global _followers
    if engine not in _followers:
        _followers = (*_followers, engine)
        isolation.reconsider(engine)


def unfollow(engine: Engine) -> None:
    """Take back :func:`follow`."""
    global _followers
    if engine in _followers:
        _followers = tuple(other for other in _followers if other is not engine)
        isolation.reconsider(engine)


def publishing(tags: Collection[str]) -> Publishing:
    """Around what makes writes visible to others."""
    return Publishing(_followers, tags)


def invalidate(tags: Collection[str]) -> None:
    """Tell every engine at once."""
    for engine in _followers:
        if engine.configured and tags:
            engine.invalidate(*tags)
