"""Around what makes writes visible to others: a database's COMMIT, or a statement without one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from zoocache_core.tags import invalidation_target

if TYPE_CHECKING:
    from typing_extensions import Self

    from zoocache_core.engine import Engine

__all__ = ["Publishing"]

_MOST_DOUBTS: Final = 32


class Publishing:
    """Invalidates ``tags`` in ``engines`` when its block ends, however it ends.

    In between, this process trusts nothing that depends on them. So its threads never see in the
    cache what the database no longer says; other processes may, until the invalidation reaches
    them. ``tags`` may be replaced before the end, when more is known. An engine that is not
    configured holds nothing to invalidate.
    """

    __slots__ = ("_doubted", "_engines", "_given", "tags")

    def __init__(self, engines: Iterable[Engine], tags: Collection[str]) -> None:
        self._engines = [(engine, engine.trie) for engine in engines if engine.configured]
        self._doubted: list[str] = []
        self.tags = self._given = tags

    def __enter__(self) -> Self:
        tags = self.tags
        if tags:
            if len(tags) > _MOST_DOUBTS:
                # Readers look through all that is doubted.
                tags = set(map(_parent, tags))
            self._doubted = [*map(invalidation_target, tags)]
            for _, trie in self._engines:
                trie.doubt(self._doubted)
        return self

    def __exit__(self, *exception: object) -> None:
        tags, doubted = self.tags, self._doubted
        targets = doubted
        if tags is not self._given or len(tags) > _MOST_DOUBTS:
            targets = [*map(invalidation_target, tags)]
        for engine, trie in self._engines:
            try:
                if targets and engine.configured:
                    _invalidate(engine, targets)
            finally:
                if doubted:
                    trie.settle(doubted)


def _invalidate(engine: Engine, targets: list[str]) -> None:
    """What ``Engine.invalidate`` does, with tags that need no second look."""
    if len(targets) > 1 or not engine.forget(targets[0]):
        engine.publish(targets)


def _parent(tag: str) -> str:
    return tag.rpartition(":")[0] or tag
