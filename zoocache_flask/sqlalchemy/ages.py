"""How old objects are that left the session which loaded them, or may show what never was.

What a session has loaded is as old as its unit of work (see ``sessions``). But objects leave their
session: they are detached, pickled and unpickled. What is noted here is the age they had then.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy.orm import InstanceState

from zoocache_core.moments import Moment
from zoocache_core.naming import process_token
from zoocache_core.runtime import Runtime
from zoocache_flask.sqlalchemy.databases import all_caches

__all__ = ["Age", "PackedAge", "ages", "pack"]


class PackedAge:
    """The age that was given to :func:`pack`, here or in another process."""

    __slots__ = ("_positions",)

    def __init__(self, packed: Mapping[str, int]) -> None:
        self._positions = packed

    def position(self, engine: Runtime) -> int:
        """The position of ``engine`` then; 0, which is before everything, if it is not known."""
        found = self._positions.get(_history(engine), 0)
        # One that has not been reached yet belongs to what the store said before it was emptied.
        return found if found <= engine.trie.position else 0


Age = Moment | PackedAge
"""The moment before an object was loaded."""

ages: Final[WeakKeyDictionary[InstanceState[Any], Age | None]] = WeakKeyDictionary()
"""Of objects that are not simply as old as their session's unit of work. ``None``: it may show what
never was in the database, or nobody knows since when it does."""

_tokens: Final[WeakKeyDictionary[Runtime, tuple[int, str]]] = WeakKeyDictionary()


def pack(age: tuple[Age, ...]) -> dict[str, int]:
    """The oldest of ``age`` as plain data, which can be pickled with an object."""
    return {
        _history(cache): min(moment.position(cache) for moment in age)
        for cache in all_caches()
        if cache.configured
    }


def _history(cache: Runtime) -> str:
    """A name for the sequence that a cache's positions belong to."""
    settings = cache.settings
    if settings.storage_url is not None:
        place = f"{settings.storage_url} {settings.bus_url} {settings.prefix}"
        return blake2b(place.encode(), digest_size=8).hexdigest()
    generation, token = _tokens.get(cache, (0, ""))
    if generation != cache.generation:
        token = process_token()
        _tokens[cache] = (cache.generation, token)
    return token
