"""What the cache backend offers beyond Django's cache API."""

from __future__ import annotations

import math
from typing import Any

from zoocache_core import operations
from zoocache_core.flows import arun, run
from zoocache_core.globs import escape, name_of
from zoocache_core.lock import Lock
from zoocache_django.cache_base import EngineCache

__all__ = ["Extras"]


class Extras(EngineCache):
    """Tags, patterns, lifetimes, locks."""

    def invalidate_tags(self, *tags: str) -> None:
        """Forget every value of this cache that depends on ``tags`` or on a tag below them.

        Raises:
            InvalidTag: a tag is malformed; nothing has been forgotten then.
        """
        self.engine.invalidate(*tags)

    async def ainvalidate_tags(self, *tags: str) -> None:
        """See :meth:`invalidate_tags`."""
        await self.engine.invalidate_async(*tags)

    def delete_pattern(self, pattern: str, version: int | None = None) -> None:
        """Forget every value whose key matches ``pattern``; how many there were is not counted.

        ``*`` stands for any characters, ``?`` for one, ``[ab]`` for one of these; a backslash
        takes a character literally. No key is looked at: what matches is forgotten like what has
        an invalidated tag, at a cost that does not depend on how much is cached. A pattern that
        begins literally is cheaper for later reads than one that begins with a wildcard.
        """
        self.engine.publish([name_of(self._made_pattern(pattern, version))])

    async def adelete_pattern(self, pattern: str, version: int | None = None) -> None:
        """See :meth:`delete_pattern`."""
        await self.engine.apublish([name_of(self._made_pattern(pattern, version))])

    def _made_pattern(self, pattern: str, version: int | None) -> str:
        if type(self).make_key is not EngineCache.make_key:
            return self.make_key(pattern, version)
        # The prefix is meant literally.
        made: str = self.key_func(
            pattern, escape(self.key_prefix), self.version if version is None else version
        )
        return made

    def ttl(self, key: Any, version: int | None = None) -> float | None:
        """Seconds until the value expires; ``None`` if it never does, 0 if there is none."""
        made = self.make_and_validate_key(key, version)
        return _finite(run(operations.remaining(self.engine, made)))

    async def attl(self, key: Any, version: int | None = None) -> float | None:
        """See :meth:`ttl`."""
        made = self.make_and_validate_key(key, version)
        return _finite(await arun(operations.remaining(self.engine, made)))

    def lock(
        self,
        key: Any,
        timeout: float = 60,
        blocking_timeout: float | None = None,
        version: int | None = None,
    ) -> Lock:
        """A lock among all who use this cache: ``with cache.lock("report"): ...``.

        It works with ``async with`` as well, and by ``acquire()`` and ``release()``.

        Args:
            timeout: seconds after which it ends even if its holder does not release it.
            blocking_timeout: how many seconds to wait for it at most; ``None``: for ever.

        ``with`` raises :class:`~zoocache_core.lock.LockError` if it cannot be had in time or, at
        the end, if it was lost meanwhile.
        """
        return Lock(
            self.engine, self.make_and_validate_key(key, version), timeout, blocking_timeout
        )


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds
