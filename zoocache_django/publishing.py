"""Invalidations on their way to the engines, around the moment at which others see a write."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from zoocache_core import Engine
from zoocache_core.tags import invalidation_target

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Publishing", "followed", "invalidate"]

followed: Final[list[Engine]] = []
"""The engines that are told what is written through Django."""

_MOST_DOUBTS: Final = 32


class Publishing:
    """Around what makes writes visible to others: invalidates ``tags`` afterwards.

    In between, this process trusts nothing that depends on them. So its threads never see in the
    cache what the database no longer says; other processes may, until the invalidation reaches
    them. ``tags`` may be replaced before the end, when more is known.
    """

    __slots__ = ("_doubted", "_engines", "tags")

    def __init__(self, tags: Collection[str]) -> None:
        self.tags = tags

    def __enter__(self) -> Self:
        self._engines = [engine for engine in followed if engine.configured]
        self._doubted = [*map(invalidation_target, self.tags)]
        if len(self._doubted) > _MOST_DOUBTS:
            # As whole tables, since every reader looks through all that is doubted.
            self._doubted = list({tag.rpartition(":")[0] or tag for tag in self._doubted})
        for engine in self._engines:
            engine.trie.doubt(self._doubted)
        return self

    def __exit__(self, *exception: object) -> None:
        for engine in self._engines:
            if engine.configured:
                if self.tags:
                    engine.invalidate(*self.tags)
                engine.trie.settle(self._doubted)


def invalidate(tags: Collection[str]) -> None:
    """Tell every engine at once."""
    for engine in followed:
        if engine.configured and tags:
            engine.invalidate(*tags)
