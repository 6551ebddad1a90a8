"""Mutual exclusion by way of an engine: among the threads of a process, and among all processes
and hosts that share its storage.

The lock is an entry that says who holds it, made and removed by compare-and-set. It ends by itself
after ``timeout`` seconds, so that a holder that died does not keep the others out for ever. That
makes it a *lease*: a holder that is slower than its timeout has lost the lock without noticing, and
is told so when it releases it. What must not happen twice in that case needs a check of its own
where it takes effect (Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from zoocache_core.atomic import exchange
from zoocache_core.errors import StorageIsFull, ZooCacheError
from zoocache_core.flows import Flow, arun, run
from zoocache_core.runtime import Runtime
from zoocache_core.settings import seconds
from zoocache_core.storage.base import Entry, StorageUnavailable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Lock", "LockError"]

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1


class LockError(ZooCacheError):
    """A lock could not be acquired, is not held any more, or nobody can tell."""


class Lock:
    """A lock with the name ``key``. Use it with ``with`` or ``async with``.

    Args:
        timeout: seconds after which it ends even if it is not released.
        blocking_timeout: how many seconds to wait for it at most; ``None``: for ever.

    An object is for one holder at a time: threads that compete make one each. It is not reentrant.
    """

    def __init__(
        self, engine: Runtime, key: str, timeout: float, blocking_timeout: float | None = None
    ) -> None:
        self._engine = engine
        # No pattern and no prefix of the application's keys begins like this.
        self._key = f"\x00lock:{key}"
        self._name = key
        self.timeout = seconds(timeout, "timeout")
        self.blocking_timeout = blocking_timeout
        self._token: str | None = None

    def acquire(self, blocking: bool = True) -> bool:
        """Wait for the lock and take it; whether that succeeded in time.

        Raises:
            LockError: this object holds it already, or the storage cannot be reached.
        """
        for pause in self._pauses(blocking):
            time.sleep(pause)
            if self._run(self._take()):
                return True
        return False

    async def aacquire(self, blocking: bool = True) -> bool:
        """See :meth:`acquire`."""
        for pause in self._pauses(blocking):
            await asyncio.sleep(pause)
            if await self._arun(self._take()):
                return True
        return False

    def release(self) -> None:
        """Give the lock back.

        Raises:
            LockError: it ended before, or the storage cannot be reached (it ends by itself then).
        """
        if not self._run(self._give()):
            raise self._lost()

    async def arelease(self) -> None:
        """See :meth:`release`."""
        if not await self._arun(self._give()):
            raise self._lost()

    def extend(self, timeout: float | None = None) -> None:
        """Let the lock end ``timeout`` seconds from now (by default, its own).

        Raises:
            LockError: it ended before, or the storage cannot be reached.
        """
        if not self._run(self._prolong(timeout)):
            raise self._lost()

    async def aextend(self, timeout: float | None = None) -> None:
        """See :meth:`extend`."""
        if not await self._arun(self._prolong(timeout)):
            raise self._lost()

    def __enter__(self) -> Self:
        if not self.acquire():
            raise self._not_acquired()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        if not await self.aacquire():
            raise self._not_acquired()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.arelease()

    def _pauses(self, blocking: bool) -> Iterator[float]:
        """How long to wait before each attempt."""
        if self._token is not None:
            raise LockError(f"lock {self._name!r} is held by this very object already")
        yield 0.0
        if not blocking:
            return
        started, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that waiters do not march in step
            if self.blocking_timeout is not None:
                left = started + self.blocking_timeout - time.monotonic()
                if left <= 0:
                    return
                wait = min(wait, left)
            yield wait
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _take(self) -> Flow[bool]:
        token = uuid4().hex

        def take(found: Entry | None, _: Any) -> tuple[bool, Entry | None]:
            if found is not None:
                return False, None
            return True, self._entry(token, self.timeout)

        taken = yield from exchange(self._engine, self._key, take)
        if taken:
            self._token = token
        return taken

    def _give(self) -> Flow[bool]:
        token, self._token = self._token, None

        def give(_: Entry | None, holder: Any) -> tuple[bool, Entry | None]:
            return holder == token, None

        return (yield from exchange(self._engine, self._key, give))

    def _prolong(self, timeout: float | None) -> Flow[bool]:
        lifetime = self.timeout if timeout is None else seconds(timeout, "timeout")

        def prolong(_: Entry | None, holder: Any) -> tuple[bool, Entry | None]:
            if holder != self._token:
                return False, None
            return True, self._entry(self._token, lifetime)

        return (yield from exchange(self._engine, self._key, prolong))

    def _entry(self, token: str | None, lifetime: float) -> Entry:
        engine = self._engine
        held, thaw = engine.storage.freeze(self._key, token)
        # Without a ttl of its own: those who look whether it is free must not prolong it.
        return Entry(held, thaw, (), engine.present(), None, engine.now() + lifetime)

    def _run(self, flow: Flow[bool]) -> bool:
        try:
            return run(flow)
        except (StorageUnavailable, StorageIsFull) as error:
            raise self._unknown(error) from error

    async def _arun(self, flow: Flow[bool]) -> bool:
        try:
            return await arun(flow)
        except (StorageUnavailable, StorageIsFull) as error:
            raise self._unknown(error) from error

    def _unknown(self, error: Exception) -> LockError:
        return LockError(f"lock {self._name!r}: the storage does not answer ({error})")

    def _not_acquired(self) -> LockError:
        return LockError(f"lock {self._name!r} was not free within {self.blocking_timeout} seconds")

    def _lost(self) -> LockError:
        return LockError(
            f"lock {self._name!r} is not held any more: it was released, it ended after its "
            f"timeout of {self.timeout} seconds, or the cache was cleared"
        )
