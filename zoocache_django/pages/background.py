"""Making a page anew after its old version was sent (stale-while-revalidate, RFC 5861).

It happens in a thread of its own, or in a task of the event loop that serves the site, with the
language and time zone of the visitor whose request it was, and on a copy of that request: the
original is still on its way out through the middleware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest
from django.utils import timezone, translation

from zoocache_core.http import background

__all__ = ["in_a_task", "in_a_thread"]

_tasks: Final[set[asyncio.Task[Any]]] = set()
"""Held until they are done: the event loop does not."""


def in_a_thread(work: Callable[[], Any]) -> bool:
    """Do ``work`` in a thread, which closes its connections to databases afterwards.

    ``False`` if there are enough of them already.
    """
    spoken = _language()

    def run() -> None:
        try:
            with spoken():
                work()
        finally:
            connections.close_all()

    return background.in_a_thread(partial(_context().run, run))


def in_a_task(request: HttpRequest, work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Do the asynchronous ``work``: in the running loop if it goes on after the request, else as
    :func:`in_a_thread` does."""
    if not isinstance(request, ASGIRequest):
        # Under WSGI, the loop is only there for this request.
        return in_a_thread(lambda: asyncio.run(_apart(work)))
    spoken = _language()

    async def run() -> None:
        with spoken():
            await _apart(work)

    task = _context().run(asyncio.get_running_loop().create_task, run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return True


async def _apart(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    # What is synchronous in it goes to a thread of its own: that of the request ends with it, and
    # is in the middle of something until then.
    async with ThreadSensitiveContext():
        try:
            await work()
        finally:
            await sync_to_async(connections.close_all)()


def _language() -> Callable[[], AbstractContextManager[None]]:
    """How to speak the visitor's language, and tell the time in their zone, elsewhere."""
    language, zone = translation.get_language(), timezone.get_current_timezone()

    @contextmanager
    def spoken() -> Iterator[None]:
        with translation.override(language), timezone.override(zone):
            yield

    return spoken


def _context() -> Context:
    """The application's context variables as they are for the visitor, without those that tell of
    the computations and threads of the request."""
    context = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith(_OF_THE_REQUEST):
            context.run(variable.set, value)
    return context


_OF_THE_REQUEST: Final = (
    "zoocache_",
    # Of asgiref: the language too, but also the threads that wait for the request's tasks.
    *("asgiref.local", "async_single_thread_context", "deadlock_context"),
    "thread_sensitive_context",
)
