"""Making a page anew after its old version was sent (stale-while-revalidate, RFC 5861).

It happens in a thread of its own, or in a task of the event loop that serves the site, with the
language and time zone of the visitor whose request it was, and on a copy of that request: the
original is still on its way out through the middleware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from asgiref.sync import sync_to_async
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
    language, zone = translation.get_language(), timezone.get_current_timezone()

    def run() -> None:
        try:
            with translation.override(language), timezone.override(zone):
                work()
        finally:
            connections.close_all()

    return background.in_a_thread(run)


def in_a_task(request: HttpRequest, work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Do the asynchronous ``work``: in the running loop if it goes on after the request, else as
    :func:`in_a_thread` does."""
    if not isinstance(request, ASGIRequest):
        # Under WSGI, the loop is only there for this request.
        return in_a_thread(lambda: asyncio.run(_closing(work)))
    task = asyncio.get_running_loop().create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return True


async def _closing(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    try:
        await work()
    finally:
        # Synchronous code that it called had connections in a thread of its own.
        await sync_to_async(connections.close_all)()
