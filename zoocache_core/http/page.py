"""Pages from the cache: one flow for every framework, blocking and asynchronous.

The difficulty is that what a page depends on is known only after its view has run. Three rules make
that safe:

- A page is stored under a key that contains everything its own run depended on, and is given only
  to requests with the same values. If a run turns out to depend on more than the key it started
  under says, its result goes to another key and to nobody who waited for it.
- The primary key then holds a *pointer*: the names of the further variations. A process that knows
  nothing yet finds there the page itself or the pointer, which costs it one more round trip, once.
- What a process remembers (``Learned``) only saves that round trip. It may be outdated or lost.
"""

from __future__ import annotations

import logging
import random as random_module
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from zoocache_core.calls import Outcome, call, pass_outward, unwrap
from zoocache_core.deps import current_scope
from zoocache_core.errors import UnsupportedValue
from zoocache_core.fastpaths import no_hit
from zoocache_core.flows import Flow, arun, run
from zoocache_core.http.key import variant_key
from zoocache_core.http.lookup import find, is_guess, may_see, may_wait
from zoocache_core.http.making import AGAIN, OWN, call_for, run_alone, run_view
from zoocache_core.http.message import Answer, PageOutcome, PageRequest, PageResponse
from zoocache_core.http.policy import PagePolicy
from zoocache_core.http.record import Page, answer, read_page, read_pointer
from zoocache_core.http.stale import Background, Renewals, RenewalTask, settle
from zoocache_core.http.storable import wants_fresh, why_not_serve
from zoocache_core.http.tags import view_tag
from zoocache_core.http.visit import CachedView, Looked, Visit

if TYPE_CHECKING:
    from zoocache_core.engine import Engine

__all__ = ["PageCache"]

R = TypeVar("R")

_log = logging.getLogger("zoocache.http")

_ROUNDS: Final = 5
"""How often a request starts over because others learned something about its page meanwhile."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


class PageCache:
    """The cached pages of one view. Made once, where the view is decorated.

    Args:
        view: names the view, the same in every process (``module.qualname``).
        policy: what was said about it.
        engine: gives the engine; asked for each request, so that a view can be decorated before
            the engine is configured, and shared by applications with an engine each.
        random: a float from 0 up to 1, for the jitter.
    """

    def __init__(
        self,
        view: str,
        policy: PagePolicy,
        engine: Callable[[], Engine],
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._engine = engine
        self._view = CachedView(view, policy, random)
        self._renewals = Renewals()

    def respond(
        self,
        request: PageRequest,
        view: Callable[[], R],
        read: Callable[[R], PageResponse],
        background: Background | None = None,
    ) -> Answer[R]:
        """What to answer `request`: from the cache, or by running `view`.

        Args:
            view: runs the view, rendering included, and returns the framework's response. Called
                at most once, in the caller's thread.
            read: describes that response.
            background: is given a :class:`~zoocache_core.http.stale.RenewalTask` to run later, for
                stale-while-revalidate without anybody waiting; ``False`` says that it will not be.
                Without it the first caller after the ttl makes the page anew and waits for it.

        Raises:
            whatever the view raises.
        """
        engine = self._engine()
        answered: Answer[R] | None = self.at_once(engine, request)
        if answered is None:
            visit = Visit(self._view, engine, request, view, read, background, blocking=True)
            answered = self._found(visit) or unwrap(run(self._answer(visit)))
        return answered

    async def respond_async(
        self,
        request: PageRequest,
        view: Callable[[], Awaitable[R]],
        read: Callable[[R], PageResponse],
        background: Background | None = None,
    ) -> Answer[R]:
        """:meth:`respond` for a coroutine function. What `background` is given is one, too."""
        engine = self._engine()
        answered: Answer[R] | None = self.at_once(engine, request)
        if answered is None:
            visit = Visit(self._view, engine, request, view, read, background, blocking=False)
            answered = unwrap(await arun(self._answer(visit)))
        return answered

    def invalidate(self, **arguments: object) -> None:
        """Forget the view's pages for these arguments; without any, all its pages."""
        self._engine().invalidate(view_tag(self._view.name, arguments))

    async def invalidate_async(self, **arguments: object) -> None:
        """:meth:`invalidate` without blocking the event loop."""
        await self._engine().invalidate_async(view_tag(self._view.name, arguments))

    # The way of a request

    def at_once(self, engine: Engine, request: PageRequest) -> Answer[Any] | None:
        """The answer to the most common request by far: a GET, nothing asked for but the page, and
        a fresh one in this process's memory. ``None`` for any other: see :meth:`respond`."""
        view = self._view
        # Where nothing is in this process's memory the key need not be made to find that out.
        if engine.hit is no_hit or not self._is_common(request):
            return None
        try:
            primary = view.primary_key(request)
        except UnsupportedValue:
            return None
        # Nothing known: if the page is public, it is under the primary key.
        variations = view.learned.variations(primary) or ()
        key = variant_key(primary, variations, request)
        entry = engine.hit(key)
        if entry is None:
            return None
        page = read_page(entry.value())
        now = engine.settings.clock.time()
        if page is None or page.variations != variations or not page.is_fresh(now):
            return None
        pass_outward(current_scope(), entry.deps, key)
        return answer(page, request, view.policy, now, "HIT")

    def _found(self, visit: Visit) -> Answer[Any] | None:
        """:meth:`at_once` where looking it up is one exchange with the storage."""
        engine, request, view = visit.engine, visit.request, self._view
        if engine.hit is not no_hit or engine.sequence.leased is not None:
            return None
        if not self._is_common(request):
            return None
        try:
            primary = view.primary_key(request)
        except UnsupportedValue:
            return None
        variations = view.learned.variations(primary)
        if variations is None:
            if view.learned.hint:
                # There may be a page in either of two places.
                return None
            variations = ()
        key = variant_key(primary, variations, request)
        landed = engine.flights.landed
        found = engine.find(key)
        if found is None:
            visit.looked = Looked(key, landed, None)
            return None
        entry, value = found
        pass_outward(current_scope(), entry.deps, key)
        page, now = read_page(value), visit.now()
        if page is None or page.variations != variations or not page.is_fresh(now):
            visit.looked = Looked(key, landed, value)
            return None
        return answer(page, request, view.policy, now, "HIT")

    def _is_common(self, request: PageRequest) -> bool:
        """Whether nothing about the request calls for a closer look."""
        return (
            request.method == "GET"
            and not self._view.policy.honour_request_no_cache
            and request.header("authorization") is None
            and why_not_serve(request) is None
        )

    def _answer(self, visit: Visit) -> Flow[Outcome]:
        request = visit.request
        wish = wants_fresh(request) if self._view.policy.honour_request_no_cache else None
        visit.refusal = self._refusal(visit, wish)
        if visit.refusal is not None:
            return (yield from self._bypass(visit))
        answered, error = yield from self._serve(visit, refresh=wish is not None)
        return (yield from settle(visit, answered, error))

    def _refusal(self, visit: Visit, wish: str | None) -> str | None:
        """Why the cache is not asked at all; sets the visit's primary key if it is."""
        refusal = why_not_serve(visit.request)
        if refusal is not None:
            return refusal
        if wish == "no-store":
            return "the request says no-store"
        try:
            visit.primary = self._view.primary_key(visit.request)
        except UnsupportedValue as error:
            visit.engine.report.uncacheable(f"{self._view.name}:", error)
            return str(error)
        return None

    def _bypass(self, visit: Visit) -> Flow[Outcome]:
        visit.response, error = yield run_view(visit)
        if error is not None:
            return None, error
        if visit.request.method not in _SAFE and visit.read(visit.response).status < 400:
            # RFC 9111, section 4.4: the page at this URL may show what was written.
            tag = self._view.url_tag(visit.request)
            yield (visit.engine.invalidate, visit.engine.invalidate_async, (tag,))
        return self._own(visit), None

    def _serve(self, visit: Visit, refresh: bool) -> Flow[Outcome]:
        learned, policy = self._view.learned, self._view.policy
        for round_ in range(1, _ROUNDS + 1):
            variations = learned.variations(visit.primary)
            known = variations is not None
            visit.aim(learned.hint if variations is None else variations, known)
            value, error = yield from self._attempt(visit, refresh, last=round_ == _ROUNDS)
            if error is not None:
                return None, error
            if value is AGAIN:
                refresh = False
                continue
            if value is OWN or visit.page is not None:
                return self._after_run(visit)
            pointed = read_pointer(value)
            if pointed is not None:
                learned.learn(visit.primary, pointed)
                continue
            page = read_page(value)
            if page is None or page.variations != visit.variations:
                # Written by another release.
                refresh = True
                continue
            now = visit.now()
            if page.is_fresh(now):
                return visit.show(page, "HIT"), None
            if page.stale_allowed:
                visit.stale, visit.stale_key = page, visit.key
                if page.overdue(now) < policy.stale_while_revalidate:
                    return (yield from self._revalidate(visit, page))
            refresh = True
        raise RuntimeError("the last attempt runs the view")

    def _attempt(self, visit: Visit, refresh: bool, last: bool) -> Flow[Outcome]:
        """What is stored for the visit, or what came of running the view."""
        if last:
            return (yield from run_alone(visit, None, last))
        # Once: what follows a wait, or the learning of something, is another matter.
        looked, visit.looked = visit.looked, None
        if refresh or (looked is not None and looked.key != visit.key):
            looked = None
        if looked is not None and looked.value is not None:
            return looked.value, None
        if looked is None and not refresh and (is_guess(visit) or not may_wait(visit)):
            stored = yield from find(visit)
            if stored is not None and may_see(visit, stored):
                return stored, None
        replaced = visit.stale if refresh else None
        if not may_wait(visit):
            return (yield from run_alone(visit, replaced, last))
        missed = None if looked is None else looked.landed
        request = call_for(visit, refresh, replaced)
        return (yield from call(visit.engine, request, visit.blocking, missed))

    def _revalidate(self, visit: Visit, page: Page) -> Flow[Outcome]:
        """Show the expired `page` to everybody but the one who makes it anew."""
        renewal = None if visit.request.method == "HEAD" else self._renewals.begin(visit)
        if renewal is None:
            return visit.show(page, "STALE"), None
        if visit.background is None:
            try:
                return (yield from self._serve(visit, refresh=True))
            finally:
                self._renewals.end(renewal)
        stale = visit.show(page, "STALE")
        task = RenewalTask(visit, self._renew, lambda: self._renewals.end(renewal))
        accepted: object = False
        try:
            accepted = visit.background(task)
        finally:
            if accepted is False:
                task.abandon()
        return stale, None

    def _renew(self, visit: Visit) -> Flow[None]:
        """Make the page anew in the background, where nobody but the log can be told of errors."""
        answered, error = yield from self._serve(visit, refresh=True)
        if error is not None and visit.request.status_of(error) >= 500:
            visit.engine.report.not_renewed(self._view.name, error)
        yield from settle(visit, answered, error)

    # Answers

    def _after_run(self, visit: Visit) -> Outcome:
        if visit.error is not None:
            return None, visit.error
        if visit.page is not None:
            return visit.show(visit.page, "MISS", visit.response), None
        return self._own(visit), None

    def _own(self, visit: Visit) -> Answer[Any]:
        """The view's own response, of which nothing was stored."""
        _log.debug("%s is not cached: %s", self._view.name, visit.refusal)
        outcome: PageOutcome = "MISS" if visit.request.method == "HEAD" else "BYPASS"
        return Answer(outcome, visit.status, (("X-Cache", outcome),), live=visit.response)
