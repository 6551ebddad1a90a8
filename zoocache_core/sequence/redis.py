"""Invalidations numbered by the same Redis that holds the entries.

Reads bring the trie up to date in their own round trip (see ``storage.redis``), so there is no
lease and nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from zoocache_core.redis.authority import Authority
from zoocache_core.storage.base import StorageUnavailable
from zoocache_core.trie import PrefixTrie

__all__ = ["RedisSequence"]


class RedisSequence:
    """``publish`` and ``apublish`` are the authority's own."""

    leased: Callable[[], bool] | None = None

    def __init__(
        self,
        authority: Authority,
        trie: PrefixTrie,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.publish = authority.publish
        self.apublish = authority.apublish
        self.reachable: Callable[[], bool] | None = authority.link.reachable
        self._authority = authority
        self._trie = trie
        self._on_error = on_error

    def catch_up(self) -> bool:
        try:
            self._authority.link.converse(self._authority.catch_up())
        except StorageUnavailable as error:
            self._on_error("catch_up", error)
            return False
        return True

    async def acatch_up(self) -> bool:
        try:
            await self._authority.link.aconverse(self._authority.catch_up())
        except StorageUnavailable as error:
            self._on_error("catch_up", error)
            return False
        return True

    def position(self) -> int:
        """The position of this process, asked for only if it has never heard from Redis.

        Asynchronous callers have asked already (see ``reading.acquainted``).
        """
        if not self._trie.position and not _in_event_loop():
            try:
                self._authority.link.converse(self._authority.catch_up())
            except StorageUnavailable:
                # Whatever wants to know the position uses the storage next, which says so.
                return 0
        return self._trie.position

    def prune(self, before: float, max_age: float) -> int:
        dropped = len(self._trie.prune(before))
        try:
            self._authority.link.converse(self._authority.prune(max_age))
        except StorageUnavailable as error:
            self._on_error("prune", error)
        return dropped

    def close(self) -> None:
        """Deliver what waits, if that can be done now. The link is closed by the storage."""
        self._authority.close()

    def locks(self) -> Iterable[Any]:
        return self._authority.locks()

    def after_fork(self) -> None:
        self._authority.after_fork()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
