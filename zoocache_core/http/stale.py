"""Pages past their ttl: who makes them anew, and who is shown the old one (RFC 5861).

Never one whose data has changed: that, the engine does not give back at all.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final, NamedTuple

from zoocache_core.calls import Outcome
from zoocache_core.flows import Flow
from zoocache_core.http.message import Answer
from zoocache_core.http.record import Page, read_page
from zoocache_core.http.visit import Visit

__all__ = ["Renewal", "Renewals", "settle"]

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
