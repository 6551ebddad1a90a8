"""What is said to Redis and what is made of the answers, apart from the I/O.

A *dialogue* is a generator: it yields requests and is sent the replies. :func:`converse` and
:func:`aconverse` carry one on over a blocking or an asynchronous connection, so the logic exists
once (see ``flows``, which does the same for the engine).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

import hiredis
from redis.exceptions import OutOfMemoryError, RedisError

from zoocache_core.storage.base import StorageUnavailable

__all__ = [
    "Dialogue",
    "Replies",
    "Request",
    "aconverse",
    "checked",
    "command",
    "converse",
]

T = TypeVar("T")

Replies = list[Any]
"""One reply a command, in order. An error reply is an exception object, not raised."""


class Request(NamedTuple):
    """Packed commands, sent in one piece; how many; how long they may block on the server, in s."""

    packed: bytes
    commands: int
    block: float = 0.0


Step = Request | Callable[[], Any]
"""A request, or work that would keep an event loop waiting."""

Dialogue = Generator[Step, Any, T]


def converse(dialogue: Dialogue[T], exchange: Callable[[Request], Replies]) -> T:
    """Carry on ``dialogue`` over a blocking ``exchange``."""
    try:
        step = next(dialogue)
        while True:
            step = dialogue.send(exchange(step) if isinstance(step, Request) else step())
    except StopIteration as stop:
        value: T = stop.value
        return value


async def aconverse(dialogue: Dialogue[T], exchange: Callable[[Request], Awaitable[Replies]]) -> T:
    """Carry on ``dialogue`` over an asynchronous ``exchange``."""
    try:
        step = next(dialogue)
        while True:
            if isinstance(step, Request):
                step = dialogue.send(await exchange(step))
            else:
                step = dialogue.send(await asyncio.to_thread(step))
    except StopIteration as stop:
        value: T = stop.value
        return value


def command(*parts: str | bytes | float) -> bytes:
    """One packed command."""
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type]
    return packed


def checked(reply: Any) -> Any:
    """``reply``, if it is not an error.

    Raises:
        StorageUnavailable: it is one.
    """
    if isinstance(reply, RedisError):
        raise StorageUnavailable(f"Redis answered with an error: {reply}") from reply
    return reply


def is_full(reply: Any) -> bool:
    """Whether a command, or a script, was refused because ``maxmemory`` is reached."""
    return isinstance(reply, OutOfMemoryError) or (
        isinstance(reply, RedisError) and "OOM command not allowed" in str(reply)
    )
