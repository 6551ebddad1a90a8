"""The key of a page: everything that the page depends on, written so that nothing can be confused.

A page has two names. Its *primary key* is known before anything has run: the view and its
arguments, host, path, query, language, time zone and the variations that the policy names. What
else the page depends on (a header named by ``Vary``, the user, the session) is learned from a run
of the view; these *variations* and the request's values for them make the key of a variant.

Every part is written with its length before it, absence is written differently from the empty
string, and the result is hashed (BLAKE2b, RFC 7693): 192 bits, since visitors choose the URLs and
must not be able to find two with one key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

import msgspec

from zoocache_core.encoding import encode
from zoocache_core.http.message import PageRequest
from zoocache_core.http.policy import PagePolicy

__all__ = [
    "Variations",
    "canonical_query",
    "digest",
    "named_variations",
    "primary_key_of",
    "relevant_query_of",
    "shown_query_of",
    "variant_key",
]

Variations = tuple[str, ...]
"""Sorted: ``"user"``, ``"session"``, ``"header:<name>"``, ``"cookie:<name>"``."""

_RULES = (
    "vary_headers",
    "vary_cookies",
    "query",
    "ignore_query",
    "sort_query",
    "per_user",
    "include_host",
)
"""Options that decide who is given the same page."""


def digest(parts: Iterable[str | None]) -> str:
    """A hash of `parts` in their order: equal only for equal parts."""
    listed = list(parts)
    try:
        # MessagePack writes the length of each string before it.
        framed = _pack(listed)
    except UnicodeEncodeError:
        # Surrogates; begins with a digit or "-", as no array of MessagePack does.
        written = "".join(["-" if part is None else f"{len(part)}:{part}" for part in listed])
        framed = written.encode("utf-8", "surrogatepass")
    return blake2b(framed, digest_size=24).hexdigest()


_pack = msgspec.msgpack.Encoder().encode


def named_variations(policy: PagePolicy) -> Variations:
    """The variations that the policy names."""
    names = [f"header:{name}" for name in policy.vary_headers]
    names += [f"cookie:{name}" for name in policy.vary_cookies]
    if policy.per_user:
        names.append("user")
    return tuple(sorted(names))


def _values(request: PageRequest, variations: Variations) -> list[str | None]:
    """Each variation followed by the request's value for it."""
    written: list[str | None] = []
    for variation in variations:
        kind, _, name = variation.partition(":")
        written.append(variation)
        if kind == "header":
            written.append(request.header(name))
        elif kind == "cookie":
            written.append(request.cookie(name))
        elif kind == "user":
            written.append(request.user())
        elif kind == "session":
            written.append(request.session())
        else:
            raise ValueError(
                f"unknown variation {variation!r}: PageRequest.reads() may name 'user', 'session', "
                "'header:<name>' and 'cookie:<name>'"
            )
    return written


def primary_key_of(view: str, policy: PagePolicy) -> Callable[[PageRequest], str]:
    """The function that gives the primary key of a request for `view`.

    Built once, when the view is decorated. It raises ``UnsupportedValue`` for an argument that
    cannot be part of a key.
    """
    # Pages stored under other rules, by an earlier release of the application, are other pages.
    rules = digest([view, repr([getattr(policy, name) for name in _RULES])])
    variations = named_variations(policy)
    include_host, own_key = policy.include_host, policy.key is not None
    query_of = _query_filter(policy, policy.sort_query)

    def primary_key(request: PageRequest) -> str:
        # The method class comes first: GET answers HEAD too, and nothing else is ever stored.
        parts: list[str | None] = ["GET", rules]
        if own_key:
            parts += ("key", request.key())
        else:
            host = f"{request.scheme}://{request.host}".lower() if include_host else None
            query = request.query
            parts += (host, request.path, query_of(query) if query else "")
        parts += (request.language, request.timezone)
        arguments = request.arguments
        if arguments:
            parts.append(encode(dict(arguments)))
        given = request.given
        if given is not None:
            parts += ("given", given)
        if variations:
            parts += _values(request, variations)
        return f"page:{digest(parts)}"

    return primary_key


def variant_key(primary: str, variations: Variations, request: PageRequest) -> str:
    """The key under which the page for this request's values of `variations` is stored."""
    if not variations:
        return primary
    return f"page:{digest([primary, *_values(request, variations)])}"


def canonical_query(query: str) -> str:
    """`query` with its parameters sorted, one spelling for each percent-encoding."""
    return _written(sorted(_pairs(query), key=_name))


def relevant_query_of(policy: PagePolicy) -> Callable[[str], str]:
    """The function that reduces a query string to what the policy lets a page depend on, in the
    form of :func:`canonical_query`."""
    return _query_filter(policy, True)


def shown_query_of(policy: PagePolicy) -> Callable[[str], str] | None:
    """The function that leaves in a query string only what counts, in its own order and spelling.

    A view is shown no more, so that one visitor's parameters do not get into a page that is given
    to others who have not sent them. ``None``: it may see everything, because everything counts, or
    because the policy's own ``key`` says what does.
    """
    counts = None if policy.key is not None else _counting(policy)
    if counts is None:
        return None

    def shown(query: str) -> str:
        return "&".join([piece for piece in query.split("&") if counts(_name(_pair(piece)))])

    return shown


def _query_filter(policy: PagePolicy, sort: bool) -> Callable[[str], str]:
    if policy.query == "none":
        return lambda _: ""
    counts = _counting(policy)
    if counts is None:
        # Unsorted and whole, the query string stays byte for byte what the view may see.
        return canonical_query if sort else str

    def filtered(query: str) -> str:
        pairs = [pair for pair in _pairs(query) if counts(_name(pair))]
        if sort:
            pairs.sort(key=_name)
        return _written(pairs)

    return filtered


def _counting(policy: PagePolicy) -> Callable[[bytes], bool] | None:
    """Whether a page depends on the parameter of a name; ``None``: on each one."""
    if policy.query == "none":
        return lambda _: False
    ignored = _matcher(policy.ignore_query)
    if policy.query != "all":
        allowed = _matcher(policy.query)
        return lambda name: allowed(name) and not ignored(name)
    return (lambda name: not ignored(name)) if policy.ignore_query else None


_Pair = tuple[bytes, "bytes | None"]


def _pairs(query: str) -> list[_Pair]:
    """Name and value of each parameter, decoded to bytes: what the view may be given as text
    depends on its encoding, and two byte strings may decode to one text. ``a`` has no value,
    ``a=`` an empty one."""
    return [_pair(piece) for piece in query.split("&") if piece]


def _pair(piece: str) -> _Pair:
    raw = piece.encode("utf-8", "surrogatepass").replace(b"+", b" ")
    name, equals, value = raw.partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value) if equals else None


def _name(pair: _Pair) -> bytes:
    # Sorting by name alone is stable, so repeated parameters keep their order.
    return pair[0]


def _written(pairs: Iterable[_Pair]) -> str:
    written = []
    for name, value in pairs:
        written.append(b"%d:%b" % (len(name), name))
        written.append(b"-" if value is None else b"%d:%b" % (len(value), value))
    return b"".join(written).decode("latin-1")


def _matcher(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """Whether a name is one of `patterns`, of which a last ``*`` stands for any ending."""
    encoded = [pattern.encode("utf-8", "surrogatepass") for pattern in patterns]
    exact = frozenset(pattern for pattern in encoded if not pattern.endswith(b"*"))
    prefixes = tuple(pattern[:-1] for pattern in encoded if pattern.endswith(b"*"))
    return lambda name: name in exact or name.startswith(prefixes)
