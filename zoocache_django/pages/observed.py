"""A request under observation: while its view runs, it behaves as before, and tells of each look.

The user, the session, cookies, headers and the environment are replaced by lazy objects and dicts
that note what is looked at. What middleware has put into the request is noticed by a class that the
request has meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.functional import SimpleLazyObject, cached_property, empty

from zoocache_core.http.reads import Reads, WatchedDict
from zoocache_core.missing import MISSING
from zoocache_django.pages.identities import evaluated
from zoocache_django.pages.visitor import Watch, not_noticing

__all__ = ["brought", "watched"]

_REMADE: Final = frozenset(
    name
    for name, made in vars(HttpRequest).items()
    if isinstance(made, cached_property) and name not in ("GET", "COOKIES", "headers")
)
"""What a request makes of its headers once and keeps: ``accepts()``, ``build_absolute_uri()``."""

_OF_CONTENT_TYPE: Final = frozenset({"content_params", "content_type", "encoding"})
"""What a request makes of the header ``Content-Type`` when it is made."""

_OF_DJANGO: Final = frozenset(
    {
        *_REMADE,
        *_OF_CONTENT_TYPE,
        # HttpRequest and what its subclasses add when it is made, or read.
        *("COOKIES", "FILES", "GET", "META", "POST", "_body", "_encoding", "_files", "_post"),
        *("_mark_post_parse_error", "_post_parse_error", "_read_started", "_stream"),
        *("_upload_handlers", "environ", "headers", "method", "path", "path_info"),
        *("resolver_match", "scope", "script_name"),
        # Its middleware and handlers: told otherwise, or of no visitor.
        *("LANGUAGE_CODE", "_acached_user", "_cached_user", "_dont_enforce_csrf_checks"),
        *("_csp_nonce", "_messages", "auser", "csp_nonce", "csrf_processing_done"),
        *("session", "user"),
        # Django REST framework.
        *("_auth", "_authenticator", "_content_type", "_data", "_full_data", "_request", "_user"),
        *("accepted_media_type", "accepted_renderer", "authenticators", "negotiator"),
        *("parser_context", "parsers", "versioning_scheme"),
    }
)
"""Attributes of requests that every application's have; others were added by middleware."""

_SELDOM: Final = frozenset(
    {"current_app", "exception_reporter_filter", "sensitive_post_parameters", "urlconf"}
)
"""Attributes that Django looks for, and that hardly any application sets."""

_watches: dict[int, Watch] = {}
"""By the id of the request watched, while it is."""


class _Observed:
    """Goes before the class of a request while it is watched."""

    def __getattribute__(self, name: str) -> Any:
        watch = _watches.get(id(self))
        if watch is not None:
            _look(watch, type(self), name, object.__getattribute__(self, "__dict__"))
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        watch = _watches.get(id(self))
        if watch is not None:
            watch.own.add(name)
        super().__setattr__(name, value)


def _look(watch: Watch, kind: type, name: str, state: dict[str, Any]) -> None:
    """Record a look at an attribute of a request of this ``kind``, which consists of ``state``."""
    wrapper = "_request" in state
    if wrapper and name in ("user", "auth"):
        watch.note("user")
        if "_user" in state:
            # Authenticated before the view ran.
            watch.note_user(state["_user"])
    elif name in ("__dict__", "__reduce_ex__"):
        # All at once, and what copies are made from.
        for each in brought(state):
            _look(watch, kind, each, state)
    elif name in _OF_CONTENT_TYPE and not wrapper:
        watch.note("header:content-type")
    elif name in _OF_DJANGO or name in watch.own or name.startswith("__"):
        return
    elif name in watch.given:
        watch.reads.note_given(f"header:request_{name}")
    elif name in state:
        watch.note_value(f"request_{name}", state[name])
    elif not (wrapper or name in _SELDOM or hasattr(kind, name)):
        watch.note_value(f"request_{name}", MISSING)


def brought(state: dict[str, Any]) -> list[str]:
    """The names of what was put into a request, which consists of ``state``, by who had it
    before the view."""
    return [name for name in state if name not in _OF_DJANGO]


_observed_kinds: dict[type, type] = {}


def _observed(kind: type) -> type:
    made = _observed_kinds.get(kind)
    if made is None:
        namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        made = _observed_kinds[kind] = type(kind)(kind.__name__, (_Observed, kind), namespace)
        made.__qualname__ = kind.__qualname__
    return made


@contextmanager
def watched(
    request: HttpRequest,
    reads: Reads,
    wrapper: Any = None,
    shown_query: Callable[[str], str] | None = None,
) -> Iterator[Watch]:
    """Record in ``reads`` what is looked at through ``request`` meanwhile, or through the
    ``wrapper`` that Django REST framework has put around it.

    ``shown_query`` reduces the query string to what may be seen of it. Within another ``watched``
    block of the same request, both are told.
    """
    # Made before, by middleware for example, they would keep quiet about the headers.
    for name in _REMADE.intersection(object.__getattribute__(request, "__dict__")):
        delattr(request, name)
    outer = _watches.get(id(request))
    if outer is not None:
        reads.parent, outer.reads, reads.active = outer.reads, reads, True
        own, given = outer.own, outer.given
        outer.own, outer.given = set(), given | own
        with _showing(outer, shown_query), _watched_user(outer):
            try:
                yield outer
            finally:
                outer.finish()
                outer.own, outer.given = own | outer.own, given
                outer.reads, reads.active = reads.parent, False
        return
    # Made from the environment now, so that reading a parameter is no look at the raw text.
    cookies, environ, _ = request.COOKIES, request.META, request.GET
    watch = Watch(request, reads)
    seen_cookies = WatchedDict(
        cookies, lambda name: watch.note(f"cookie:{name}"), lambda: watch.note("header:cookie")
    )
    attributes: dict[str, Any] = {
        "COOKIES": seen_cookies,
        "META": watch.environ,
        "headers": _WatchedHeaders(environ, watch),
        **_watched_session(request, watch),
    }
    if hasattr(request, "environ"):
        attributes["environ"] = watch.environ
    if hasattr(request, "scope"):
        attributes["scope"] = watch.scope
    before = {name: getattr(request, name) for name in attributes}
    for name, watching in attributes.items():
        setattr(request, name, watching)
    objects = [request] if wrapper is None else [request, wrapper]
    kinds = [type(each) for each in objects]
    reads.active = True
    if request.encoding is not None and environ.get("QUERY_STRING"):
        # A charset in Content-Type is what Django decodes the parameters by.
        watch.note("header:content-type")
    with _watched_user(watch):
        for each, kind in zip(objects, kinds, strict=True):
            each.__class__ = _observed(kind)
            _watches[id(each)] = watch
        try:
            with _showing(watch, shown_query):
                yield watch
        finally:
            watch.finish()
            reads.active = False
            for each, kind in zip(objects, kinds, strict=True):
                del _watches[id(each)]
                each.__class__ = kind
            seen_cookies.copied_back(cookies)
            watch.environ.copied_back(environ)
            if hasattr(request, "scope"):
                watch.scope.copied_back(before["scope"])
            for name, watching in attributes.items():
                # What the view has put in its place stays.
                if getattr(request, name) is watching:
                    setattr(request, name, before[name])


@contextmanager
def _showing(watch: Watch, shown_query: Callable[[str], str] | None) -> Iterator[None]:
    """Leave in the query, and in ``request.GET``, what ``shown_query`` leaves of it."""
    query = dict.get(watch.environ, "QUERY_STRING", "")
    if shown_query is None or not query:
        yield
        return
    shown = shown_query(query)
    dict.__setitem__(watch.environ, "QUERY_STRING", shown)
    # Django makes GET of the query when it is asked for, and keeps it here.
    made: dict[str, Any] = object.__getattribute__(watch.request, "__dict__")
    remade = isinstance(getattr(type(watch.request), "GET", None), cached_property)
    before = made.pop("GET", None) if remade else None
    try:
        yield
    finally:
        if dict.get(watch.environ, "QUERY_STRING") == shown:
            dict.__setitem__(watch.environ, "QUERY_STRING", query)
        if remade:
            made.pop("GET", None)
            if before is not None:
                made["GET"] = before


class _WatchedHeaders(HttpHeaders):
    """``request.headers`` that tells which headers are looked at."""

    def __init__(self, environ: dict[str, Any], watch: Watch) -> None:
        super().__init__(environ)
        self._watch = watch

    def __getitem__(self, name: str) -> str:
        self._watch.note_environ(self.to_wsgi_name(name))
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._watch.note_everything()
        return super().__iter__()


class _Telling(SimpleLazyObject):  # type: ignore[type-arg]
    """Tells of every look at it, and not only of the first."""

    @property
    def _wrapped(self) -> Any:
        return self.__dict__["_setupfunc"]()


def _watched_session(request: HttpRequest, watch: Watch) -> dict[str, Any]:
    """The attribute with the session, if the middleware has set it."""
    session: Any = getattr(request, "session", None)

    def look() -> Any:
        watch.note("session")
        return session

    return {} if session is None else {"session": _Telling(look)}


@contextmanager
def _watched_user(watch: Watch) -> Iterator[None]:
    """Notice looks at the user, if the middleware has set one."""
    request = watch.request
    user, find_user = getattr(request, "user", None), getattr(request, "auser", None)
    if user is None:
        yield
        return
    watching: dict[str, Any] = {}
    if type(user) is SimpleLazyObject:
        # The object itself, which somebody may have kept.
        state: dict[str, Any] = user.__dict__
        was, find = state["_wrapped"], state["_setupfunc"]

        def look() -> Any:
            with not_noticing():
                found = evaluated(find() if was is empty else was)
            return watch.note_user(found)

        state["_wrapped"], state["_setupfunc"] = empty, look
    else:
        watching["user"] = SimpleLazyObject(lambda: watch.note_user(evaluated(user)))
    if find_user is not None:

        async def find_user_watched() -> Any:
            with not_noticing():
                found = await find_user()
            return watch.note_user(found)

        watching["auser"] = find_user_watched
    before = {name: getattr(request, name) for name in watching}
    for name, each in watching.items():
        object.__setattr__(request, name, each)
    try:
        yield
    finally:
        if type(user) is SimpleLazyObject:
            state["_setupfunc"] = find
            if state["_wrapped"] is empty:
                state["_wrapped"] = was
        for name, each in watching.items():
            # Logging in, for one, puts another user there, who stays.
            if vars(request).get(name) is each:
                object.__setattr__(request, name, before[name])
