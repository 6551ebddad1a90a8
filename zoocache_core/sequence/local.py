"""Numbers from a counter in this process: for memory storage without a bus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zoocache_core.clock import Clock
from zoocache_core.trie import PrefixTrie

__all__ = ["LocalSequence"]


class LocalSequence:
    """The trie is its own authority: the next number is one more than the last."""

    leased: Callable[[], bool] | None = None
    reachable: Callable[[], bool] | None = None

    def __init__(self, trie: PrefixTrie, clock: Clock) -> None:
        self._trie = trie
        self._now = clock.monotonic

    def publish(self, tags: Sequence[str], strict: bool = False) -> bool:
        trie = self._trie
        with trie.lock:
            number = trie.position + 1
            trie.mark(number, tags, self._now())
            trie.advance(number)
        return True

    def catch_up(self) -> bool:
        return True

    def prune(self, before: float, max_age: float) -> int:
        return len(self._trie.prune(before))

    def close(self) -> None:
        """There is nothing to release."""

    def locks(self) -> Iterable[Any]:
        return (self._trie.lock,)

    def after_fork(self) -> None:
        """Nothing here belongs to a process."""

    async def apublish(self, tags: Sequence[str], strict: bool = False) -> bool:
        return self.publish(tags, strict)

    async def acatch_up(self) -> bool:
        return True
