"""Running a view, and storing what came of it under all that it turned out to depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zoocache_core.calls import Call, Outcome, unwrap
from zoocache_core.deps import Scope, activate, current_scope
from zoocache_core.flows import Flow, Step, arun, run
from zoocache_core.http.directives import cache_control, header_values
from zoocache_core.http.key import Variations
from zoocache_core.http.lookup import may_wait
from zoocache_core.http.message import PageResponse
from zoocache_core.http.record import Page, is_page, page_of, pointer_to, read_page
from zoocache_core.http.storable import lifetime, personal, variations_of, why_not_store
from zoocache_core.http.tags import view_tag
from zoocache_core.http.visit import Visit
from zoocache_core.keeping import keep
from zoocache_core.tags import validate_many

__all__ = ["AGAIN", "OWN", "call_for", "run_alone", "run_view"]

AGAIN: Final = object()
"""The page turned out to be under another key, or to have been made by somebody else."""

OWN: Final = object()
"""The result concerns this request only; it is in the visit."""

_POINTER_TTL: Final = 7 * 86400.0
"""Pointers cost little, and losing one costs a computation."""


def call_for(visit: Visit, refresh: bool, replaced: Page | None) -> Call:
    """The computation of the visit's page, for the engine to lead or follow.

    `replaced` is the expired page that `refresh` is meant to replace, if there is one: should there
    be another when the view's turn comes, the view need not run.
    """
    return Call(
        key=visit.key,
        function=_blocking if visit.blocking else _asynchronous,
        args=(visit, replaced),
        ttl=_kept_for,
        admit=is_page,
        refresh=refresh,
    )


def _blocking(visit: Visit, replaced: Page | None) -> Any:
    return unwrap(run(_make(visit, replaced)))


async def _asynchronous(visit: Visit, replaced: Page | None) -> Any:
    return unwrap(await arun(_make(visit, replaced)))


def run_alone(visit: Visit, replaced: Page | None, last: bool) -> Flow[Outcome]:
    """Run the view for this request, waiting for nobody. What may be stored still is.

    The `last` attempt does not give up in favour of what others have learned meanwhile.
    """
    outer = current_scope()
    scope = Scope(visit.engine, visit.key, (), visit.engine.stamp(), outer)
    activate(scope)
    try:
        value, error = yield from _make(visit, replaced, last)
    finally:
        activate(outer)
        if outer is not None:
            outer.absorb(scope)
    if is_page(value):
        yield from _keep(visit, scope, visit.key, value)
    return value, error


def _make(visit: Visit, replaced: Page | None, last: bool = False) -> Flow[Outcome]:
    """Run the view inside the current dependency scope.

    Its outcome is the page to store if that belongs under the visit's key, an error that concerns
    all who wait for the page, or ``AGAIN`` or ``OWN``, which are never stored or shared.
    """
    view, request, primary = visit.cached_view, visit.request, visit.primary
    learned, policy = view.learned, view.policy
    before = learned.variations(primary)
    if before is not None and before != visit.variations and not last:
        return AGAIN, None
    if replaced is not None and not last:
        found = yield visit.engine.find_step(visit.key, True)
        if found is not None and read_page(found[1]) not in (None, replaced):
            return AGAIN, None
    scope = current_scope()
    if scope is None:
        raise RuntimeError("a view's page is made inside a dependency scope")
    scope.add(validate_many(request.deps()))
    scope.add((view_tag(view.name, request.arguments), view.url_tag(request)))
    visit.response, error = yield run_view(visit)
    if error is not None:
        shared = view.beyond_named(personal(request.reads(), policy)).issubset(visit.variations)
        if shared:
            return None, error
        # This visitor's error: whoever waits for the page is somebody else.
        visit.error = error
        return OWN, None
    response = visit.read(visit.response)
    visit.status = response.status
    now = visit.now()
    depends = variations_of(request.reads(), response, policy)
    visit.refusal = why_not_store(request, response, depends.union(view.named), policy, now)
    if visit.refusal is not None:
        if may_wait(visit):
            learned.mark(primary, uncacheable=True)
        return OWN, None
    learned.mark(primary, uncacheable=False)
    # What is known of other visitors' pages counts too. It is safer to keep apart too much, and two
    # kinds of visitors would push each other's pages out otherwise.
    known = {*(learned.variations(primary) or ()), *(visit.variations if visit.known else ())}
    actual = tuple(sorted(view.beyond_named(depends | known)))
    page = visit.page = page_of(
        response, policy, view.named, actual, scope.deps, now, _ttl(visit, response, now)
    )
    value = tuple(page)
    moved = actual != visit.variations
    if actual and actual != before:
        yield from _point(visit, scope, actual)
    if moved:
        visit.aim(actual, known=True)
        yield from _keep(visit, scope, visit.key, value)
    if actual or learned.hint:
        # Not before the page is stored: those who wait would look for it in vain.
        learned.learn(primary, actual)
    return OWN if moved else value, None


def run_view(visit: Visit) -> Step:
    """The step that runs the framework's view. Its result is an :data:`Outcome`."""
    return _run_view, _arun_view, (visit.view,)


def _run_view(view: Callable[[], Any]) -> Outcome:
    try:
        return view(), None
    except Exception as error:  # noqa: BLE001  raised again to whom it concerns
        return None, error


async def _arun_view(view: Callable[[], Any]) -> Outcome:
    try:
        return await view(), None
    except Exception as error:  # noqa: BLE001  raised again to whom it concerns
        return None, error


def _point(visit: Visit, scope: Scope, variations: Variations) -> Flow[None]:
    """Leave word under the primary key on what its pages depend on.

    It depends on no data: only on the view, for an application that forgets all of the view.
    """
    of_pointer = Scope(visit.engine, visit.primary, (visit.cached_view.tag,), scope.stamp, None)
    yield from _keep(visit, of_pointer, visit.primary, pointer_to(variations))


def _keep(visit: Visit, scope: Scope, key: str, value: tuple[Any, ...]) -> Flow[None]:
    """Store what was computed in `scope` under `key`, if it may be stored."""
    yield from keep(visit.engine, Call(key, _kept_for, ttl=_kept_for), scope, value)


def _ttl(visit: Visit, response: PageResponse, now: float) -> float | None:
    """For how long the page is fresh: what the policy and the response allow, less the jitter."""
    policy, headers = visit.cached_view.policy, response.headers
    said = lifetime(cache_control(header_values(headers, "cache-control")), headers, now)
    limits = [limit for limit in (policy.ttl, said) if limit is not None]
    if not limits:
        return None
    return min(limits) * (1 - policy.jitter * visit.cached_view.random())


def _kept_for(value: tuple[Any, ...]) -> float | None:
    """For how long the storage keeps a page or pointer: while it may be used in any way."""
    page = read_page(value)
    return _POINTER_TTL if page is None else page.kept_for
