"""The options of ``cache_view``: names, types, defaults, and what is refused.

A mistake is reported where the view is decorated, by name, with what is allowed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Literal

from zoocache_core.errors import ConfigurationError
from zoocache_core.http.directives import is_token
from zoocache_core.tags import validate_many

__all__ = ["PagePolicy"]


@dataclass(frozen=True)
class PagePolicy:
    """Validated options of one cached view, made by :meth:`of`. Durations are in seconds."""

    ttl: float | None = None
    """How old the page may grow. Absolute, also where reads extend the ttl of other entries: a page
    is never older than this. ``None``: until its data changes (or the engine's ``default_ttl``). A
    response that says ``max-age``, ``s-maxage`` or ``Expires`` shortens it, never lengthens it."""
    deps: tuple[str, ...] | Callable[..., str | Iterable[str]] = ()
    """Tags that every page of the view depends on, or a callable given what the view is given."""
    key: Callable[..., object] | None = None
    """Called with what the view is given; its result stands for host, path and query in the key."""
    vary_headers: tuple[str, ...] = ()
    """Request headers that the page depends on, beside those named by the response's ``Vary``."""
    vary_cookies: tuple[str, ...] = ()
    """Cookies that the page depends on."""
    query: Literal["all", "none"] | tuple[str, ...] = "all"
    """Which query parameters the page depends on: all, none, or only those named."""
    ignore_query: tuple[str, ...] = ()
    """Parameters to leave out (``utm_*``: all that begin so)."""
    sort_query: bool = True
    """Whether ``?a=1&b=2`` and ``?b=2&a=1`` are one page. Values of one name keep their order."""
    statuses: frozenset[int] = frozenset({200})
    """Statuses of responses that may be stored."""
    harmless_cookies: frozenset[str] = frozenset()
    """Cookies that may be set for every visitor alike: a response that sets no other is stored, and
    its ``Set-Cookie`` replayed."""
    per_user: bool | None = None
    """``None``: one page per user if the view read the user, per session if it read the session.
    ``True``: always one page per user. ``False``: what the view reads of them does not show."""
    include_host: bool = True
    """Whether scheme and host are part of the key."""
    browser_ttl: float | Literal["ttl"] | None = 0
    """For how long browsers may show the page without asking. 0: they ask every time, and get an
    empty 304 while nothing changed. A number: no request for so long, and no way to reach them when
    data changes. ``"ttl"``: what is left of the page's ttl. ``None``: say nothing. A response that
    brings its own ``max-age`` or ``Expires`` keeps it."""
    stale_while_revalidate: float = 0
    """For how long after its ttl a page is shown while one caller makes it anew (RFC 5861)."""
    stale_if_error: float = 0
    """For how long after its ttl a page is shown if making it anew fails (RFC 5861)."""
    jitter: float = 0
    """By which share of itself, at most, each page's ttl is shortened at random, so that pages made
    together do not expire together."""
    cdn_header: str | None = None
    """Header in which a CDN is told the page's tags: ``Surrogate-Key``, ``Cache-Tag``, …"""
    honour_request_no_cache: bool = False
    """Whether a request's ``no-cache``, ``max-age=0`` or ``no-store`` has the page made anew. Off,
    because then any visitor could have every page computed at will."""

    @property
    def host_in_key(self) -> bool:
        """Whether the pages of two hosts are always two; ``key`` stands for the host as well."""
        return self.include_host and self.key is None

    @classmethod
    def of(cls, **options: Any) -> PagePolicy:
        """Validate `options`.

        Raises:
            ConfigurationError: an unknown option, or a value of the wrong type or out of range.
            InvalidTag: one of the static `deps` is malformed.
        """
        known = [option.name for option in fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigurationError(
                    f"cache_view has no option {name!r}.{hint} Options are: {', '.join(known)}."
                )
        return cls(**{name: _CHECKS[name](name, value) for name, value in options.items()})


_UNSTORABLE: Final = {206: "partial content", 304: "an answer to one browser's condition"}


def _refuse(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"cache_view option {name}={value!r} ({type(value).__name__}) is not allowed: "
        f"expected {allowed}."
    )


def _number(value: object) -> float | None:
    number: object = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    return number if math.isfinite(number) else None


def _ttl(name: str, value: object) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number <= 0:
        raise _refuse(name, value, "a number of seconds above 0, a timedelta, or None")
    return number


def _duration(name: str, value: object) -> float:
    number = _number(value)
    if number is None or number < 0:
        raise _refuse(name, value, "a number of seconds, 0 or more, or a timedelta")
    return number


def _browser_ttl(name: str, value: object) -> float | str | None:
    if value is None or value == "ttl":
        return value
    number = _number(value)
    if number is None or number < 0:
        raise _refuse(
            name, value, "a number of seconds, 0 or more, a timedelta, the word 'ttl', or None"
        )
    return number


def _share(name: str, value: object) -> float:
    number = _number(value)
    if number is None or not 0 <= number < 1 or isinstance(value, timedelta):
        raise _refuse(name, value, "a number from 0 up to but not including 1 (0.1: up to 10 %)")
    return number


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False")
    return value


def _per_user(name: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise _refuse(name, value, "True, False or None (find out by watching the view)")
    return value


def _deps(name: str, value: object) -> object:
    if value is None:
        return ()
    if callable(value):
        return value
    if not isinstance(value, Iterable):
        raise _refuse(name, value, "a tag, an iterable of tags, or a callable that returns them")
    return validate_many(value)


def _key(name: str, value: object) -> object:
    if value is not None and not callable(value):
        raise _refuse(name, value, "a callable that is given what the view is given, or None")
    return value


def _names(name: str, value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Iterable):
        raise _refuse(name, value, "a name or an iterable of names")
    names = tuple(names)
    for one in names:
        if not isinstance(one, str) or not one:
            raise _refuse(name, one, "names, as non-empty str")
    return names


def _headers(name: str, value: object) -> tuple[str, ...]:
    names = _names(name, value)
    for one in names:
        if one == "*" or not is_token(one):
            raise _refuse(name, one, "names of header fields, such as 'Accept-Language'")
    return tuple(sorted({one.lower() for one in names}))


def _cookies(name: str, value: object) -> tuple[str, ...]:
    names = _names(name, value)
    for one in names:
        if not is_token(one):
            raise _refuse(name, one, "names of cookies, without spaces, ';', ',' or '='")
    return tuple(sorted(set(names)))


def _query(name: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        if value in ("all", "none"):
            return value
        raise _refuse(name, value, "'all', 'none', or a list of parameter names")
    return tuple(sorted(set(_names(name, value))))


def _ignored(name: str, value: object) -> tuple[str, ...]:
    names = _names(name, value)
    for one in names:
        if one == "*":
            raise _refuse(name, one, "names; to ignore the whole query string use query='none'")
    return tuple(sorted(set(names)))


def _statuses(name: str, value: object) -> frozenset[int]:
    statuses = (value,) if isinstance(value, int) else value
    if not isinstance(statuses, Iterable) or isinstance(statuses, (str, bytes)):
        raise _refuse(name, value, "a status or an iterable of statuses")
    statuses = tuple(statuses)
    for one in statuses:
        if isinstance(one, bool) or not isinstance(one, int) or not 200 <= one < 600:
            raise _refuse(name, one, "statuses from 200 to 599")
        if one in _UNSTORABLE:
            raise _refuse(name, one, f"other statuses: {one} is {_UNSTORABLE[one]}")
    if not statuses:
        raise _refuse(name, value, "at least one status")
    return frozenset(statuses)


def _header(name: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not is_token(value)):
        raise _refuse(name, value, "the name of a header, such as 'Surrogate-Key', or None")
    return value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "ttl": _ttl,
    "deps": _deps,
    "key": _key,
    "vary_headers": _headers,
    "vary_cookies": _cookies,
    "query": _query,
    "ignore_query": _ignored,
    "sort_query": _flag,
    "statuses": _statuses,
    "harmless_cookies": lambda name, value: frozenset(_cookies(name, value)),
    "per_user": _per_user,
    "include_host": _flag,
    "browser_ttl": _browser_ttl,
    "stale_while_revalidate": _duration,
    "stale_if_error": _duration,
    "jitter": _share,
    "cdn_header": _header,
    "honour_request_no_cache": _flag,
}
