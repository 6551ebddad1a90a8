"""Who may be given a stored page, who may wait for another's, and finding it in one round trip."""

from __future__ import annotations

from typing import Any

from zoocache_core.calls import pass_outward
from zoocache_core.deps import current_scope
from zoocache_core.flows import Flow
from zoocache_core.http.record import read_page
from zoocache_core.http.storable import covers_authorization
from zoocache_core.http.visit import Visit
from zoocache_core.reading import find_many

__all__ = ["find", "is_guess", "may_see", "may_wait"]


def is_guess(visit: Visit) -> bool:
    """Whether the visit looks for what the view's other pages depend on, knowing no better."""
    return bool(visit.variations) and not visit.known


def may_wait(visit: Visit) -> bool:
    """Whether this request may wait for the page that another one has computed, and lead others."""
    return (
        visit.request.method == "GET"
        and not visit.cached_view.learned.uncacheable(visit.primary)
        and _authorization_covered(visit)
    )


def may_see(visit: Visit, stored: Any) -> bool:
    """Whether what was found under the visit's key may be used for it."""
    page = read_page(stored)
    return page is None or page.public or _authorization_covered(visit)


def _authorization_covered(visit: Visit) -> bool:
    return (
        visit.request.header("authorization") is None
        or covers_authorization(visit.cached_view.named)
        or covers_authorization(visit.variations)
    )


def find(visit: Visit) -> Flow[Any]:
    """What is stored for the visit (a page or a pointer), or ``None``.

    A visit that only guesses asks for the primary key in the same round trip, and is corrected.
    """
    keys = [visit.key, visit.primary] if is_guess(visit) else [visit.key]
    found = yield from find_many(visit.engine, keys, quiet=True)
    # A page under the guess is right, whatever lies under the primary key: its own key has all
    # that it depends on.
    for key, one in zip(keys, found, strict=True):
        if one is None:
            continue
        entry, value = one
        pass_outward(current_scope(), entry.deps, key)
        if is_guess(visit) and read_page(value) is not None:
            variations = visit.variations if key == visit.key else ()
            visit.cached_view.learned.learn(visit.primary, variations)
            visit.aim(variations, known=True)
        return value
    return None
