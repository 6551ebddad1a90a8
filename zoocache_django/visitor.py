"""What a view reads of its visitor: the user, the session, cookies and request headers.

A page is shown to others only if they are the same in everything that it was made from. So while
the view runs, these four are replaced by recorders: lazy objects and dicts that behave as before
and note the first look at each thing. Passing ``request.user`` around unread is not a look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.functional import LazyObject, SimpleLazyObject, cached_property, empty

from zoocache_core.http.reads import ADDRESS, Reads, WatchedDict
from zoocache_django.arrivals import read_since_arrival
from zoocache_django.tags import depends_on

__all__ = ["ADDRESS", "Reads", "evaluated", "watched"]


class _WatchedHeaders(HttpHeaders):
    """``request.headers`` that tells which headers are looked at."""

    def __init__(self, environ: WatchedDict) -> None:
        super().__init__(environ.unwatched())
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        self._environ.one(self.to_wsgi_name(name))
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._environ.everything()
        return super().__iter__()


@contextmanager
def watched(
    request: HttpRequest, reads: Reads, shown_query: Callable[[str], str] | None = None
) -> Iterator[None]:
    """Record in ``reads`` what is looked at through ``request`` meanwhile.

    ``shown_query`` reduces the query string to what may be seen of it.
    """
    cookies, environ = request.COOKIES, request.META
    seen_cookies = WatchedDict(
        cookies,
        lambda name: reads.note(f"cookie:{name}"),
        lambda: reads.note("header:cookie"),
    )
    seen_environ = WatchedDict(environ, reads.note_environ, reads.note_everything)
    attributes: dict[str, Any] = {
        "COOKIES": seen_cookies,
        "META": seen_environ,
        # That of WSGI, which is the same; Django itself takes the query from there.
        **({"environ": seen_environ} if hasattr(request, "environ") else {}),
        "headers": _WatchedHeaders(seen_environ),
        **_watched_account(request, reads),
    }
    before = {name: getattr(request, name) for name in attributes}
    for name, watching in attributes.items():
        setattr(request, name, watching)
    reads.active = True
    try:
        with _showing(request, seen_environ, shown_query):
            yield
    finally:
        reads.active = False
        seen_cookies.copied_back(cookies)
        seen_environ.copied_back(environ)
        for name, watching in attributes.items():
            # Logging in, for one, puts another user there, who stays.
            if getattr(request, name) is watching:
                setattr(request, name, before[name])


@contextmanager
def _showing(
    request: HttpRequest, environ: WatchedDict, shown_query: Callable[[str], str] | None
) -> Iterator[None]:
    """Leave in the query, and in ``request.GET``, what ``shown_query`` leaves of it."""
    query = environ.get("QUERY_STRING", "")
    if shown_query is None or not query:
        yield
        return
    environ["QUERY_STRING"] = shown = shown_query(query)
    # Django makes GET of the query when it is asked for, and keeps it here.
    made = vars(request)
    remade = isinstance(getattr(type(request), "GET", None), cached_property)
    before = made.pop("GET", None) if remade else None
    try:
        yield
    finally:
        if environ["QUERY_STRING"] == shown:
            environ["QUERY_STRING"] = query
        if remade:
            made.pop("GET", None)
            if before is not None:
                made["GET"] = before


def _watched_account(request: HttpRequest, reads: Reads) -> dict[str, Any]:
    """The attributes with the session and the user, as far as the middleware has set them."""
    attributes: dict[str, Any] = {}
    session: Any = getattr(request, "session", None)

    @contextmanager
    def unwatched() -> Iterator[None]:
        # Finding out who the user is reads the session, which does not make the page depend on it.
        reads.active, watching = False, attributes.get("session")
        if watching is not None and request.session is watching:
            request.session = session
        try:
            yield
        finally:
            reads.active = True
            if watching is not None and request.session is session:
                request.session = watching

    def look_at_session() -> Any:
        reads.note("session")
        return session

    if session is not None:
        attributes["session"] = SimpleLazyObject(look_at_session)

    user = getattr(request, "user", None)

    def look_at_user() -> Any:
        reads.note("user")
        with unwatched():
            return _depending(request, evaluated(user))

    if user is not None:
        attributes["user"] = SimpleLazyObject(look_at_user)

    find_user: Any = getattr(request, "auser", None)

    async def find_user_watched() -> Any:
        reads.note("user")
        with unwatched():
            return _depending(request, await find_user())

    if find_user is not None:
        attributes["auser"] = find_user_watched
    return attributes


def _depending(request: HttpRequest, user: Any) -> Any:
    """``user``, whose row the page depends on from now on; it may have been read before."""
    if isinstance(user, models.Model) and user.pk is not None:
        depends_on(user)
        read_since_arrival(request)
    return user


def evaluated(lazy: Any) -> Any:
    """The object that a lazy one stands for; any other object is itself."""
    if not isinstance(lazy, LazyObject):
        return lazy
    if lazy._wrapped is empty:
        lazy._setup()
    return evaluated(lazy._wrapped)
