"""Connections per event loop.

A connection belongs to the loop it was opened in, and an application may have many loops: WSGI
servers that run asynchronous views make one per request. So that nothing is left open when a loop
ends, its connections are kept by an asynchronous generator: ``asyncio.run`` and everything like it
closes those (``loop.shutdown_asyncgens``) while the loop can still work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from zoocache_core.redis.wire import FAILURES, AsyncWire

__all__ = ["Loops", "Pool"]

_IDLE = 64
"""Idle connections kept per event loop."""

_inherited: list[Loops] = []
"""Of the parent process. Never finalised: that would take the parent's sockets out of the selector
of its event loop, which a forked child shares."""


class Pool:
    """The connections of one event loop, used by nothing but that loop."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.idle: list[AsyncWire] = []
        self.wires: set[AsyncWire] = set()
        self._keeper = self._keep_until_the_loop_ends(on_end)
        self._ended = False

    async def start(self) -> None:
        await anext(self._keeper)

    async def end(self) -> None:
        """Close every connection."""
        await self._keeper.aclose()

    async def _keep_until_the_loop_ends(
        self, on_end: Callable[[], None]
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._ended = True
            on_end()
            self.idle.clear()
            for wire in list(self.wires):
                with suppress(*FAILURES):
                    await wire.close(at_once=False)
            self.wires.clear()

    async def keep(self, wire: AsyncWire) -> None:
        """Take back a connection whose exchange is complete."""
        if self._ended or len(self.idle) >= _IDLE:
            await self.discard(wire)
        else:
            self.idle.append(wire)

    async def discard(self, wire: AsyncWire) -> None:
        """Close ``wire``."""
        self.wires.discard(wire)
        with suppress(*FAILURES):
            await wire.close()

    async def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        while self.idle:
            await self.discard(self.idle.pop())


class Loops:
    """The pools of all event loops of this process."""

    def __init__(self) -> None:
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}

    async def pool(self) -> Pool:
        """The pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for other in list(self._pools):
                if other.is_closed():
                    # It was closed without ``shutdown_asyncgens``: nothing can be closed in it.
                    self._pools.pop(other, None)

            def forget() -> None:
                self._pools.pop(loop, None)

            pool = self._pools[loop] = Pool(forget)
            await pool.start()
        return pool

    def close(self) -> None:
        """Close the connections of every loop, in the loop where that is possible."""
        for loop, pool in list(self._pools.items()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(pool.end(), loop)
            elif not loop.is_closed():
                loop.run_until_complete(pool.end())

    def after_fork(self) -> Loops:
        """In a forked child: what to use instead."""
        _inherited.append(self)
        return Loops()
