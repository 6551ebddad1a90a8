"""May this request be answered from the cache, and may this response be stored?

The rules of RFC 9111 for shared caches, read strictly: where the RFC lets a cache decide, the
answer here is the one that cannot show a page to the wrong visitor. Each refusal is a sentence for
the log.
"""

from __future__ import annotations

from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import Final

from zoocache_core.http.directives import (
    CacheControl,
    cache_control,
    header_values,
    seconds_of,
    vary_names,
)
from zoocache_core.http.message import Headers, PageRequest, PageResponse
from zoocache_core.http.policy import PagePolicy

__all__ = [
    "covers_authorization",
    "forbids_stale",
    "http_date",
    "lifetime",
    "personal",
    "variations_of",
    "wants_fresh",
    "why_not_serve",
    "why_not_store",
]

_ABOUT_MORE_THAN_THE_PAGE: Final = ("range", "if-match", "if-unmodified-since")
"""Request headers that only the view can honour. (If-Range counts only beside Range.)"""

_NO_CONTENT: Final = (None, "", "0")

_NOT_SHARED: Final = ("private", "no-store", "no-cache")

_NONCE_POLICIES: Final = ("content-security-policy", "content-security-policy-report-only")


def why_not_serve(request: PageRequest) -> str | None:
    """Why `request` must not be answered from the cache whatever is stored, or ``None``."""
    if request.method not in ("GET", "HEAD"):
        return f"the method is {request.method}"
    for name in _ABOUT_MORE_THAN_THE_PAGE:
        if request.header(name) is not None:
            return f"the request has the header {name}"
    if request.header("content-length") not in _NO_CONTENT or request.header("transfer-encoding"):
        # It is no part of the key, and a view that reads it could be made to answer everybody
        # what one visitor has sent ("fat GET" cache poisoning).
        return "the request has content"
    return None


def wants_fresh(request: PageRequest) -> str | None:
    """Which directive of the request asks for a page made anew, or ``None``.

    Whether it gets one is up to the policy: RFC 9111, section 5.2.1 leaves it to the cache.
    """
    text = request.header("cache-control")
    if text is None:
        # Pragma counts only where Cache-Control is missing (RFC 9111, section 5.4).
        return "no-cache" if "no-cache" in (request.header("pragma") or "").lower() else None
    directives = cache_control((text,))
    for name in ("no-store", "no-cache"):
        if name in directives:
            return name
    return "no-cache" if seconds_of(directives, "max-age") == 0 else None


def covers_authorization(variations: Collection[str]) -> bool:
    """Whether pages are kept apart by the request's ``Authorization``.

    A user or session does not do: with token authentication (DRF) the user is only known once the
    view runs, so before it everybody looks anonymous.
    """
    return "header:authorization" in variations


def why_not_store(
    request: PageRequest,
    response: PageResponse,
    variations: Collection[str],
    policy: PagePolicy,
    now: float,
) -> str | None:
    """Why `response` must not be stored as the page for `request`, or ``None`` if it may be.

    `variations` are all that the page is kept apart by, and `now` is in seconds since the epoch.
    """
    if request.method != "GET":
        return f"the method is {request.method}"
    if response.refusal is not None:
        return response.refusal
    if response.status not in policy.statuses:
        return f"the status is {response.status}"
    if response.body is None:
        return "the body is a stream"
    headers = response.headers
    if header_values(headers, "content-range"):
        return "the content is partial"
    for cookie in _cookies_set(headers):
        if cookie not in policy.harmless_cookies:
            return f"the response sets the cookie {cookie!r}"
    directives = cache_control(header_values(headers, "cache-control"))
    for name in _NOT_SHARED:
        if name in directives:
            return f"the response says Cache-Control: {name}"
    if any("no-cache" in value.lower() for value in header_values(headers, "pragma")):
        return "the response says Pragma: no-cache"
    if any(
        "'nonce-" in value.lower()
        for name in _NONCE_POLICIES
        for value in header_values(headers, name)
    ):
        return "the Content-Security-Policy has a nonce, which must not be used twice"
    if vary_names(header_values(headers, "vary")) is None:
        return "the response says Vary: * (or names no valid header)"
    left = lifetime(directives, headers, now)
    if left is not None and left <= 0:
        return "the response says that it is stale already (max-age=0, s-maxage=0 or Expires)"
    if (
        request.header("authorization") is not None
        and "public" not in directives
        and not covers_authorization(variations)
    ):
        # RFC 9111, section 3.5 would accept s-maxage and must-revalidate too. The first says how
        # long and not to whom; the second asks for a validation that only the view could do.
        return "the request has Authorization, and the response is neither public nor varies on it"
    return None


def _cookies_set(headers: Headers) -> list[str]:
    return [value.partition("=")[0].strip() for value in header_values(headers, "set-cookie")]


def lifetime(directives: CacheControl, headers: Headers, now: float) -> float | None:
    """For how long the response says that a shared cache may use it; ``None`` if it does not say.

    RFC 9111, section 4.2.1: ``s-maxage`` before ``max-age`` before ``Expires``. A zero of either of
    the first two counts whatever the other says, as does an ``Expires`` that is not a date.
    """
    shared, everyone = seconds_of(directives, "s-maxage"), seconds_of(directives, "max-age")
    if shared == 0 or everyone == 0:
        return 0
    if shared is not None or everyone is not None:
        return everyone if shared is None else shared
    dates = header_values(headers, "expires")
    if not dates:
        return None
    return min(http_date(date) for date in dates) - now


def http_date(text: str) -> float:
    """Seconds since the epoch of an HTTP date; 0 if it is none (RFC 9110, section 5.6.7)."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0


def forbids_stale(directives: CacheControl) -> bool:
    """Whether the response may never be shown after its time (RFC 9111, section 4.2.4)."""
    return "must-revalidate" in directives or "proxy-revalidate" in directives


def variations_of(
    reads: Collection[str], response: PageResponse, policy: PagePolicy
) -> frozenset[str]:
    """What a storable response turned out to depend on.

    `reads` is what the view was seen to read. A response that names an origin in
    ``Access-Control-Allow-Origin`` depends on ``Origin`` whether or not it says so.
    """
    found = {f"header:{name}" for name in vary_names(header_values(response.headers, "vary")) or ()}
    found.update(personal(reads, policy))
    origins = header_values(response.headers, "access-control-allow-origin")
    if any(origin.strip() != "*" for origin in origins):
        found.add("header:origin")
    return frozenset(found)


def personal(reads: Collection[str], policy: PagePolicy) -> set[str]:
    """The part of `reads` that the page depends on."""
    if policy.per_user is False:
        return set(reads) - {"user", "session"}
    return set(reads)
