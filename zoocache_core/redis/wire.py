"""One connection: packed commands out, replies in.

Built on the connection objects of redis-py, which log in and parse (with hiredis), and without its
client on top, which would cost more than the rest of a hit.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis import exceptions

from zoocache_core.redis.dialogue import Replies, Request

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Protocol

    class BlockingConnection(Protocol):
        """What is used of ``redis.connection.Connection``."""

        def connect(self) -> None: ...
        def send_packed_command(self, command: tuple[bytes], check_health: bool) -> None: ...
        def read_response(self, disable_decoding: bool) -> Any: ...
        def can_read(self, timeout: float) -> bool: ...
        def disconnect(self) -> None: ...

    class AsyncConnection(Protocol):
        """What is used of ``redis.asyncio.connection.Connection``."""

        async def connect(self) -> None: ...
        async def send_packed_command(self, command: tuple[bytes], check_health: bool) -> None: ...
        async def read_response(self, disable_decoding: bool) -> Any: ...
        async def disconnect(self, nowait: bool) -> None: ...

    def time_limit(seconds: float) -> AbstractAsyncContextManager[Any]: ...

elif sys.version_info >= (3, 11, 3):
    from asyncio import timeout as time_limit
else:
    # Which redis-py depends on there.
    from async_timeout import timeout as time_limit

__all__ = ["FAILURES", "AsyncWire", "Wire", "is_timeout", "time_limit", "unusable"]

FAILURES = (exceptions.RedisError, OSError, asyncio.TimeoutError)
"""What an exchange may raise. After any exception at all a wire can only be closed."""

_UNUSABLE = (
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
    exceptions.MovedError,
    exceptions.AskError,
    exceptions.TryAgainError,
)
# The same as redis-py before 6 names them, and as they appear within the error of a script.
_UNUSABLE_TEXT = re.compile(
    r"(?:^|: -?|\s-)(?:READONLY|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|LOADING|BUSY|NOAUTH)\s"
)


def unusable(error: BaseException) -> bool:
    """Whether an error reply says that this connection leads to no server to be used now."""
    return isinstance(error, _UNUSABLE) or bool(_UNUSABLE_TEXT.search(str(error)))


def is_timeout(error: BaseException) -> bool:
    """Whether the server was too slow, rather than gone: trying again would wait again."""
    return isinstance(error, (exceptions.TimeoutError, TimeoutError, asyncio.TimeoutError))


class Wire:
    """A blocking connection. ``timeout`` in seconds is the connection's own."""

    __slots__ = ("_connection", "_owed", "_timeout")

    def __init__(self, connection: BlockingConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._owed = 0

    def exchange(self, request: Request) -> Replies:
        """Send ``request`` and read its replies."""
        connection = self._connection
        connection.send_packed_command((request.packed,), False)
        if request.block and not connection.can_read(request.block + self._timeout):
            raise exceptions.TimeoutError(f"no answer within {request.block + self._timeout} s")
        if self._owed:
            self._collect()
        read, replies = connection.read_response, []
        for _ in range(request.commands):
            try:
                replies.append(read(True))
            except exceptions.ResponseError as error:
                replies.append(_usable(error))
        return replies

    def post(self, request: Request) -> None:
        """Send ``request`` and leave its replies to be read, and ignored, by the next exchange."""
        self._connection.send_packed_command((request.packed,), False)
        self._owed += request.commands

    def _collect(self) -> None:
        while self._owed:
            self._owed -= 1
            try:
                self._connection.read_response(True)
            except exceptions.ResponseError as error:
                _usable(error)

    def close(self) -> None:
        self._connection.disconnect()


class AsyncWire:
    """An asynchronous connection, of one event loop. ``timeout`` in seconds."""

    __slots__ = ("_connection", "_owed", "_timeout")

    def __init__(self, connection: AsyncConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._owed = 0

    async def exchange(self, request: Request) -> Replies:
        """Send ``request`` and read its replies."""
        connection = self._connection
        async with time_limit(self._timeout + request.block):
            await connection.send_packed_command((request.packed,), False)
            read, replies = connection.read_response, list[Any]()
            while self._owed:
                self._owed -= 1
                await _answer(read)
            replies += [await _answer(read) for _ in range(request.commands)]
        return replies

    async def post(self, request: Request) -> None:
        """Send ``request`` and leave its replies to be read, and ignored, by the next exchange."""
        async with time_limit(self._timeout):
            await self._connection.send_packed_command((request.packed,), False)
        self._owed += request.commands

    async def close(self, at_once: bool = True) -> None:
        await self._connection.disconnect(nowait=at_once)


async def _answer(read: Callable[..., Any]) -> Any:
    try:
        return await read(disable_decoding=True)
    except exceptions.ResponseError as error:
        return _usable(error)


def _usable(error: exceptions.ResponseError) -> exceptions.ResponseError:
    if unusable(error):
        raise error
    return error
