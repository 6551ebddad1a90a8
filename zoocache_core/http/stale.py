"""Pages past their ttl: who makes them anew, and who is shown the old one (RFC 5861).

Never one whose data has changed: that, the engine does not give back at all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from zoocache_core.calls import Outcome
from zoocache_core.errors import UnsupportedValue
from zoocache_core.flows import Flow, arun, run
from zoocache_core.http.key import variant_key
from zoocache_core.http.message import Answer, PageRequest, PageResponse
from zoocache_core.http.record import Page, read_page
from zoocache_core.http.visit import Visit

__all__ = ["Background", "Renewal", "RenewalTask", "Renewals", "settle"]

_log = logging.getLogger("zoocache.http")

_FAILURES: Final = frozenset({500, 502, 503, 504})
"""What stale-if-error counts as an error (RFC 5861, section 4)."""


class Renewal(NamedTuple):
    """One expired page being made anew. Known by identity: there may be two of one page in turn."""

    place: tuple[int, int, str]
    """The process, because a forked child does not inherit the thread at work; engine; key."""
    began: float


class Renewals:
    """Which expired pages this process is making anew. Safe to use from many threads."""

    def __init__(self) -> None:
        self._running: dict[tuple[int, int, str], Renewal] = {}

    def begin(self, visit: Visit) -> Renewal | None:
        """The visit's renewal of its page, to be ended; ``None`` if another is at it.

        One that has been for longer than ``flight_timeout`` counts as lost.
        """
        engine = visit.engine
        own = Renewal((os.getpid(), id(engine), visit.stale_key), engine.now())
        running = self._running.setdefault(own.place, own)
        if running is not own:
            if own.began - running.began < engine.flight_timeout:
                return None
            self._running[own.place] = own
        return own

    def end(self, renewal: Renewal) -> None:
        """The page was made anew, or could not be."""
        if self._running.get(renewal.place) is renewal:
            del self._running[renewal.place]


class RenewalTask:
    """Makes one expired page anew, for an adapter to call where nobody waits for it.

    A function that blocks, or a coroutine function, as the view is. The request has been answered
    by then, so an adapter may give it a copy, and the view and `read` that go with it (see
    :meth:`~zoocache_core.http.page.PageCache.respond`). Should the copy turn out to be another
    visitor's, who was logged out meanwhile for example, nothing is made.
    """

    def __init__(
        self, visit: Visit, renew: Callable[[Visit], Flow[None]], end: Callable[[], None]
    ) -> None:
        self._visit = visit
        self._renew = renew
        self.abandon = end
        """Say that it will not be called any more; the next visitor's is another one."""

    def failed(self, error: Exception) -> None:
        """Count and log an error that kept it from being called."""
        self._visit.engine.report.not_renewed(self._visit.cached_view.name, error)

    def __call__(
        self,
        request: PageRequest | None = None,
        view: Callable[[], Any] | None = None,
        read: Callable[[Any], PageResponse] | None = None,
    ) -> Any:
        """Make the page anew. Its errors are logged and counted, not raised."""
        flow = self._flow(request, view, read)
        return run(flow) if self._visit.blocking else arun(flow)

    def _flow(
        self,
        request: PageRequest | None,
        view: Callable[[], Any] | None,
        read: Callable[[Any], PageResponse] | None,
    ) -> Flow[None]:
        try:
            visit: Visit | None = self._visit
            if request is not None and view is not None and read is not None:
                visit = _repeated(self._visit, request, view, read)
            if visit is not None:
                yield from self._renew(visit)
        finally:
            self.abandon()


Background = Callable[[RenewalTask], object]


def _repeated(
    visit: Visit,
    request: PageRequest,
    view: Callable[[], Any],
    read: Callable[[Any], PageResponse],
) -> Visit | None:
    """The visit with a copy of its request, if that is given the same page."""
    again = Visit(visit.cached_view, visit.engine, request, view, read, None, visit.blocking)
    page = again.stale = visit.stale
    again.stale_key = visit.stale_key
    with suppress(UnsupportedValue):
        again.primary = visit.cached_view.primary_key(request)
        variations = () if page is None else page.variations
        if variant_key(again.primary, variations, request) == visit.stale_key:
            return again
    _log.debug("%s is not renewed: its visitor has changed", visit.cached_view.name)
    return None


def settle(visit: Visit, answered: Answer[Any] | None, error: Exception | None) -> Flow[Outcome]:
    """What becomes of an expired page when there is no new one to replace it."""
    if visit.stale is None or visit.request.method != "GET":
        return answered, error
    if error is not None:
        status = visit.request.status_of(error)
    elif visit.refusal is not None:
        status = visit.status
    else:
        return answered, error
    if status not in _FAILURES:
        # What the view answers now is not for everybody: nor is what it answered then.
        yield (visit.engine.delete, visit.engine.delete_async, (visit.stale_key,))
        return answered, error
    page = yield from _still_stale(visit)
    if page is None:
        return answered, error
    if error is not None:
        name = visit.cached_view.name
        _log.warning("%s failed; an older page is shown.", name, exc_info=error)
    return visit.show(page, "STALE"), None


def _still_stale(visit: Visit) -> Flow[Page | None]:
    """The expired page, if it may be shown instead of an error and was not invalidated while the
    view ran."""
    found = yield visit.engine.find_step(visit.stale_key, True)
    page = None if found is None else read_page(found[1])
    if page is None or not page.stale_allowed:
        return None
    window = visit.cached_view.policy.stale_if_error
    return page if page.overdue(visit.now()) < window else None
