"""One connection: packed commands out, replies in.

Built on the connection objects of redis-py, which log in and parse (with hiredis), and without its
client on top, which would cost more than the rest of a hit.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import hiredis
from redis import exceptions
from redis.connection import DefaultParser

from zoocache_core.redis.dialogue import Replies, Request

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Protocol

    class BlockingConnection(Protocol):
        """What is used of ``redis.connection.Connection``."""

        _sock: Any

        def connect(self) -> None: ...
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

__all__ = ["FAILURES", "AsyncWire", "Wire", "is_timeout", "moved_to", "time_limit", "unusable"]

FAILURES = (exceptions.RedisError, OSError, asyncio.TimeoutError)
"""What an exchange may raise. After any exception at all a wire can only be closed."""

_CHUNK = 1 << 16
_INCOMPLETE: Any = object()

_UNUSABLE = (
    exceptions.ConnectionError,
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


_MOVED = re.compile(r"^(?:MOVED )?\d+ (\S+):(\d+)$")


def unusable(error: BaseException) -> bool:
    """Whether an error reply says that this connection leads to no server to be used now."""
    return isinstance(error, _UNUSABLE) or bool(_UNUSABLE_TEXT.search(str(error)))


def moved_to(error: BaseException) -> tuple[str, int] | None:
    """The node of a cluster to which an error reply points, if it does."""
    found = _MOVED.search(str(error))
    if found is None or not isinstance(error, exceptions.RedisError):
        return None
    return found[1], int(found[2])


def is_timeout(error: BaseException) -> bool:
    """Whether the server was too slow, rather than gone: trying again would wait again."""
    return isinstance(error, (exceptions.TimeoutError, TimeoutError, asyncio.TimeoutError))


class Wire:
    """A blocking connection. ``timeout`` in seconds is the connection's own.

    redis-py connects and logs in; then its socket is used directly, with a parser of its own, which
    takes half the time that a reply takes through redis-py.
    """

    __slots__ = (
        "_connection",
        "_feed",
        "_next",
        "_owed",
        "_plain",
        "_recv",
        "_socket",
        "_timeout",
    )

    def __init__(self, connection: BlockingConnection, timeout: float) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._timeout = timeout
        # What is sent through TLS is not what is written to the descriptor; and on Windows a socket
        # has none that could be written to.
        self._plain = os.name == "posix" and type(self._socket) is socket.socket
        self._owed = 0
        self._recv = self._socket.recv
        reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_INCOMPLETE,
        )
        self._feed, self._next = reader.feed, reader.gets

    def exchange(self, request: Request) -> Replies:
        """Send ``request`` and read its replies."""
        packed, count, block = request
        self._send(packed)
        if block:
            self._wait(block)
        else:
            # All that had come before has been read already.
            self._receive()
        following = self._next
        replies: Replies = []
        while count:
            reply = following()
            if reply is _INCOMPLETE:
                self._receive()
                continue
            if isinstance(reply, exceptions.RedisError):
                _usable(reply)
            if self._owed:
                self._owed -= 1
                continue
            replies.append(reply)
            count -= 1
        return replies

    def _send(self, packed: bytes) -> None:
        if self._plain:
            # The socket would first ask the system whether it takes anything at the moment.
            try:
                sent = os.write(self._socket.fileno(), packed)
            except BlockingIOError:
                sent = 0
            if sent == len(packed):
                return
            packed = packed[sent:]
        self._socket.sendall(packed)

    def _wait(self, block: float) -> None:
        """Let the server take its time for the first answer."""
        self._socket.settimeout(block + self._timeout)
        try:
            self._receive()
        finally:
            self._socket.settimeout(self._timeout)

    def _receive(self) -> None:
        data = self._recv(_CHUNK)
        if not data:
            raise exceptions.ConnectionError("the server closed the connection")
        self._feed(data)

    def post(self, request: Request) -> None:
        """Send ``request`` and leave its replies to be read, and ignored, by the next exchange."""
        self._send(request.packed)
        self._owed += request.commands

    def close(self) -> None:
        self._connection.disconnect()

    def interrupt(self) -> None:
        """Let the thread that waits for an answer here find the connection closed."""
        # Not the method of `ssl.SSLSocket`, which takes its state away from that thread.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


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


def _usable(reply: Any) -> Any:
    """``reply``, unless it is an error that makes the connection useless; that is raised."""
    if isinstance(reply, exceptions.RedisError) and unusable(reply):
        raise reply
    return reply
