"""Validators, dates and conditional requests (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import re
from email.utils import formatdate
from hashlib import blake2b
from typing import Final

from zoocache_core.http.directives import header_values
from zoocache_core.http.message import Headers, PageRequest
from zoocache_core.http.storable import http_date

__all__ = ["format_date", "headers_of_304", "make_etag", "not_modified"]

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*"')

_KEPT_IN_304: Final = frozenset(
    {
        "access-control-allow-credentials",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "content-location",
        "last-modified",
        "set-cookie",
    }
)


def make_etag(body: bytes, headers: Headers) -> str:
    """A validator for a response that brings none.

    Weak, because it is made before other layers have had their turn: compression, or a middleware
    that fills something in, may change the bytes, and a strong validator vouches for the bytes.
    """
    hashed = blake2b(body, digest_size=16)
    for name in ("content-type", "content-encoding"):
        hashed.update("\0".join(header_values(headers, name)).encode("utf-8", "surrogatepass"))
        hashed.update(b"\n")
    return f'W/"{hashed.hexdigest()}"'


def not_modified(request: PageRequest, status: int, etag: str, headers: Headers) -> bool:
    """Whether the browser that sent `request` has this page already, so that 304 is the answer.

    Conditions count only where the answer without them is a success (RFC 9110, section 13.2.1), and
    If-Modified-Since only without If-None-Match (section 13.1.3).
    """
    if not 200 <= status < 300:
        return False
    wanted = request.header("if-none-match")
    if wanted is not None:
        return wanted.strip() == "*" or _weak(etag) in map(_weak, _ENTITY_TAG.findall(wanted))
    since = request.header("if-modified-since")
    if since is None:
        return False
    modified = [http_date(value) for value in header_values(headers, "last-modified")]
    return len(modified) == 1 and 0 < modified[0] <= http_date(since)


def _weak(etag: str) -> str:
    return etag.removeprefix("W/")


def headers_of_304(headers: Headers) -> Headers:
    """Those of the view's `headers` that belong in a 304 as well (RFC 9110, section 15.4.5)."""
    return tuple(pair for pair in headers if pair[0].lower() in _KEPT_IN_304)


_formatted: tuple[int, str] = (0, formatdate(0, usegmt=True))


def format_date(moment: float) -> str:
    """`moment`, in seconds since the epoch, as an HTTP date."""
    global _formatted  # the last one: thousands of answers share a second
    second = int(moment)
    known = _formatted
    if known[0] != second:
        _formatted = known = (second, formatdate(second, usegmt=True))
    return known[1]
