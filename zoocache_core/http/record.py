"""The stored page, and the answer made from it.

Stored is a plain tuple of built-in values, so that every storage holds it without pickling and the
memory storage hands it out by reference. Its first member names the form; a form that this release
does not know is a miss.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar

from zoocache_core.http.conditional import format_date, headers_of_304, make_etag, not_modified
from zoocache_core.http.directives import (
    CacheControl,
    cache_control,
    header_values,
    seconds_of,
)
from zoocache_core.http.key import Variations
from zoocache_core.http.message import Answer, Headers, PageOutcome, PageRequest, PageResponse
from zoocache_core.http.policy import PagePolicy
from zoocache_core.http.storable import forbids_stale, http_date
from zoocache_core.http.tags import cdn_value

__all__ = ["Page", "answer", "page_of", "pointer_to", "read_page", "read_pointer"]

R = TypeVar("R")

_PAGE: Final = "page/1"
_POINTER: Final = "vary/1"

_NOT_STORED: Final = frozenset(
    {
        # Of the connection, not of the page (RFC 9110, section 7.6.1).
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # Of the moment, or written anew for every answer.
        "age",
        "cache-control",
        "content-length",
        "date",
        "etag",
        "expires",
        "vary",
        "x-cache",
    }
)


class Page(NamedTuple):
    """A stored page. Times are in seconds, `created` since the epoch."""

    form: str
    status: int
    headers: Headers
    """The view's own, without those that belong to a connection or are in `managed`."""
    managed: Headers
    """ETag, Vary, the CDN's tags, and Cache-Control and Expires if the view decided them."""
    body: bytes
    etag: str
    created: float
    ttl: float | None
    variations: Variations
    """What its key depends on beyond the primary key."""
    client: str | None
    """Directives to send before those about freshness; ``None`` if the view decided freshness."""
    public: bool
    """Whether it may answer requests with Authorization."""
    stale_allowed: bool
    kept_for: float | None
    """How long after `created` it may still be used in some way, stale included."""

    def age(self, now: float) -> float:
        """Seconds since it was made. Never negative, also if the wall clock was set back."""
        return max(0.0, now - self.created)

    def is_fresh(self, now: float) -> bool:
        """Whether its ttl is not over."""
        return self.ttl is None or self.age(now) < self.ttl

    def overdue(self, now: float) -> float:
        """For how many seconds its ttl has been over; negative before that."""
        return -math.inf if self.ttl is None else self.age(now) - self.ttl


def read_page(value: Any) -> Page | None:
    """The page that a storage gave back, or ``None`` if that is something else."""
    if type(value) is tuple and len(value) == len(Page._fields) and value[0] == _PAGE:
        return Page._make(value)
    return None


def pointer_to(variations: Variations) -> tuple[str, Variations]:
    """What is stored under the primary key of pages that depend on more: on what."""
    return (_POINTER, variations)


def read_pointer(value: Any) -> Variations | None:
    """The variations that a pointer names, or ``None`` if `value` is something else."""
    if type(value) is tuple and len(value) == 2 and value[0] == _POINTER:
        variations: Variations = value[1]
        return variations
    return None


def is_page(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether a computation ended with something to store."""
    return type(value) is tuple


def page_of(
    response: PageResponse,
    policy: PagePolicy,
    named: Variations,
    variations: Variations,
    deps: Collection[str],
    created: float,
    ttl: float | None,
) -> Page:
    """The page to store for a response that may be stored.

    `named` are the variations that the policy names, `variations` those learned from the view.
    """
    headers = response.headers
    directives = cache_control(header_values(headers, "cache-control"))
    dropped = _NOT_STORED | {
        name.strip().lower()
        for value in header_values(headers, "connection")
        for name in value.split(",")
    }
    # Exact types: frameworks also have a str of their own for text that is safe in HTML.
    kept = tuple(
        (str.__str__(name), str.__str__(value))
        for name, value in headers
        if name.lower() not in dropped
    )
    etags = header_values(headers, "etag")
    body = bytes(response.body or b"")
    etag = str.__str__(etags[0]).strip() if etags else make_etag(body, headers)
    everything = (*named, *variations)
    freshness, client = _freshness(headers, directives, everything, created)
    managed = [("ETag", etag), *freshness]
    vary = _vary(headers, everything)
    if vary:
        managed.append(("Vary", vary))
    if policy.cdn_header is not None:
        managed += _for_cdn(policy.cdn_header, deps)
        set_here = {name.lower() for name, _ in managed}
        kept = tuple(pair for pair in kept if pair[0].lower() not in set_here)
    stale_allowed = not forbids_stale(directives)
    kept_for = ttl
    if ttl is not None and stale_allowed:
        kept_for = ttl + max(policy.stale_while_revalidate, policy.stale_if_error)
    return Page(
        form=_PAGE,
        status=int(response.status),
        headers=kept,
        managed=tuple(managed),
        body=body,
        etag=etag,
        created=created,
        ttl=ttl,
        variations=variations,
        client=client,
        public="public" in directives,
        stale_allowed=stale_allowed,
        kept_for=kept_for,
    )


def _freshness(
    headers: Headers, directives: CacheControl, variations: Variations, created: float
) -> tuple[list[tuple[str, str]], str | None]:
    """The view's own Cache-Control and Expires, and what ``Page.client`` is to be."""
    said = ", ".join(header_values(headers, "cache-control"))
    personal = any(
        variation in ("user", "session") or _is_invented(variation) for variation in variations
    )
    if personal and not {"public", "s-maxage"} & set(directives):
        # Caches on the way must not mix up either what is kept apart here.
        said = f"{said}, private" if said else "private"
    expires = header_values(headers, "expires")
    max_age = seconds_of(directives, "max-age")
    if max_age is None and not expires:
        return [], said
    managed = [("Cache-Control", said)] if said else []
    moment = http_date(expires[0]) if expires else created + (max_age or 0)
    managed.append(("Expires", format_date(moment)))
    return managed, None


def _is_invented(header: str) -> bool:
    """Whether an adapter's name for something that is no header (``remote_addr``)."""
    return "_" in header


def _vary(headers: Headers, variations: Variations) -> str:
    """The response's Vary with everything that the page is kept apart by."""
    names = [name.strip() for value in header_values(headers, "vary") for name in value.split(",")]
    for variation in variations:
        kind, _, name = variation.partition(":")
        if kind != "header":
            names.append("Cookie")
        elif not _is_invented(name):
            names.append(name.title())
    written = {name.lower(): name for name in reversed(names) if name}
    return ", ".join(reversed(written.values()))


def _for_cdn(header: str, deps: Collection[str]) -> list[tuple[str, str]]:
    value = cdn_value(header, deps)
    if value is not None:
        return [(header, value)]
    # What cannot be purged by tag must not be kept there (RFC 9213; Edge Architecture 1.0).
    return [("CDN-Cache-Control", "no-store"), ("Surrogate-Control", "no-store")]


def answer(
    page: Page,
    request: PageRequest,
    policy: PagePolicy,
    now: float,
    outcome: PageOutcome,
    live: R | None = None,
) -> Answer[R]:
    """What to send for `page` at `now` (seconds since the epoch): itself, or 304.

    `live` is the view's own response if it has just run.
    """
    moving = _moving(page, policy, now, outcome)
    if not_modified(request, page.status, page.etag, page.headers):
        headers = (*headers_of_304(page.headers), *page.managed, *moving)
        return Answer(outcome, 304, headers)
    if live is not None:
        return Answer(outcome, page.status, (*page.managed, *moving), live=live)
    # With its body for HEAD as well: what compresses it or counts its length has to say the same as
    # for GET, and whoever sends it leaves it out.
    return Answer(outcome, page.status, (*page.headers, *page.managed, *moving), page.body)


def _moving(page: Page, policy: PagePolicy, now: float, outcome: PageOutcome) -> Headers:
    """The headers that differ from answer to answer."""
    lived = page.age(now)
    age = int(lived)
    served: Headers = (("X-Cache", outcome),)
    if outcome != "MISS":
        served = (("Age", str(age)), *served)
    if page.client is None:
        return served
    prefix, for_browser = page.client, policy.browser_ttl
    if for_browser is None:
        return (("Cache-Control", prefix), *served) if prefix else served
    left = math.inf if page.ttl is None else page.ttl - lived
    if for_browser == "ttl":
        keep = 0.0 if page.ttl is None else left
    else:
        keep = min(for_browser, left)
    if keep < 1:
        freshness = "max-age=0, must-revalidate"
        keep = 0
    else:
        # A browser takes Age off max-age, and the page is known to be good now, not when it was
        # made: so what it may keep counts from now.
        freshness = f"max-age={(age if outcome != 'MISS' else 0) + int(keep)}"
    value = f"{prefix}, {freshness}" if prefix else freshness
    return (("Cache-Control", value), ("Expires", format_date(now + int(keep))), *served)
