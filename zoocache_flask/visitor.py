"""What a view reads of its visitor: through ``flask.request``, ``flask.session`` and ``flask.g``.

While a view runs, these three objects are given a class of their own, which behaves as before and
notes the first look at each thing (:class:`~zoocache_core.http.reads.Reads`). They stay the same
objects, so it does not matter how the view came by them: by Flask's proxies, in a template, or as
an argument.

``flask.g`` is watched because of what runs before the view: a ``before_request`` function that
looks up who is there leaves the answer in ``g``, and then the view reads nothing else. A page that
reads an attribute of ``g`` is kept apart by its value.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from flask import Request, current_app, g, request
from flask import globals as flask_globals
from werkzeug.utils import cached_property

from zoocache_core.encoding import encode
from zoocache_core.errors import UnsupportedValue
from zoocache_core.http.reads import Reads, WatchedDict
from zoocache_core.missing import MISSING
from zoocache_flask import mapped
from zoocache_flask.arrivals import read_since_arrival
from zoocache_flask.observed import (
    WatchedAdapter,
    WatchedCookies,
    WatchedGlobals,
    WatchedRequest,
    WatchedSession,
    observe,
    restore,
    watch_of,
)

__all__ = [
    "ALL_NAMES",
    "LOGGED_IN",
    "Watch",
    "context",
    "current_session",
    "identity",
    "leave_user_unread",
    "login_manager",
    "told_names",
    "watched",
]

mapped.install()

ALL_NAMES: Final = "*"
"""Stands for the names of all attributes of ``flask.g`` among their values."""

LOGGED_IN: Final = "_login_user"
"""Where Flask-Login keeps the user, in ``flask.g``."""

_OF_EVERYBODY: Final = re.compile(
    "(HTTP|CONTENT|SERVER|GATEWAY|PATH|SCRIPT|QUERY|DOCUMENT)_|REMOTE_(ADDR|USER)$|REQUEST_METHOD$"
    r"|(wsgi|werkzeug|flask|gunicorn|uwsgi|waitress)\."
)
"""Begins keys of the WSGI environment that say nothing of a visitor, or are told otherwise."""

_CSRF: Final = "csrf_token"

_KNOWN_GLOBALS: Final = ("_flask_babel", "babel_", "_sqlalchemy_queries")
"""Begins what Flask-Babel and Flask-SQLAlchemy keep there; the language is in every key."""


def context() -> Any:
    """The context of the current request."""
    if hasattr(flask_globals.app_ctx, "_after_request_functions"):
        return flask_globals.app_ctx
    # Before Flask 3.2 a request has a context beside that of its application.
    return flask_globals.request_ctx


def current_session() -> Any:
    """The session, without counting that as a use of it, for which Flask says ``Vary: Cookie``."""
    pushed = context()
    session = getattr(pushed, "_session", None)
    return pushed.session if session is None else session


def identity(value: object) -> str | None:
    """Text that is the same only for equal values, or ``None`` if nothing tells.

    A row of SQLAlchemy is told by its key: what else is in it is data, not whom it belongs to.
    """
    try:
        return encode(dict(value) if isinstance(value, Mapping) else value)
    except UnsupportedValue:
        return None


def login_manager() -> Any:
    """The application's ``flask_login.LoginManager``, or ``None``."""
    return getattr(current_app, "login_manager", None)


def leave_user_unread() -> None:
    """Let templates pass the user on without a look at it.

    Flask-Login gives every template the user itself, who would have to be looked up; its proxy
    ``current_user`` is the same to a template that shows it.
    """
    flask_login = sys.modules.get("flask_login")
    if flask_login is None:
        return
    proxy = flask_login.current_user
    processors = current_app.template_context_processors[None]
    eager = flask_login.utils._user_context_processor
    for number, processor in enumerate(processors):
        if processor is eager:
            processors[number] = lambda: {"current_user": proxy}


class Watch:
    """One request under observation. ``reads`` changes while a part of the page is made."""

    __slots__ = (
        "cookies",
        "custom",
        "environ",
        "given",
        "ignored",
        "own",
        "query",
        "reads",
        "real",
        "spelled",
        "values",
    )

    def __init__(
        self,
        reads: Reads,
        real: Request,
        ignored: Collection[str],
        shown_query: Callable[[str], str] | None,
        spelled: bool,
    ) -> None:
        self.reads = reads
        self.spelled = spelled
        self.real = real
        self.ignored = ignored
        self.own: set[str] = set()
        # What a page has put into flask.g itself, while a part of it is made.
        self.given: frozenset[str] = frozenset()
        self.values: dict[str, str | None] = {}
        self.custom = vars(real).keys() - _attributes(type(real))
        self.environ = WatchedDict(
            real.environ,
            self.note_environ,
            lambda: self.reads.note_everything(),
        )
        self.cookies = WatchedCookies(real.cookies)
        self.cookies.watch = self
        # What the view is shown of the query string.
        self.query: str = real.environ.get("QUERY_STRING", "")
        if shown_query is not None and self.query:
            self.environ["QUERY_STRING"] = self.query = shown_query(self.query)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Look around without the page depending on it."""
        active, self.reads.active = self.reads.active, False
        try:
            yield
        finally:
            self.reads.active = active

    def note_value(self, kind: str, name: str, value: object) -> None:
        """Record a look at something of which only its value tells whom it belongs to."""
        if not self.reads.active:
            return
        read = f"{kind}_{name}"
        if read not in self.values:
            # As it is at the first look: the view may change it.
            text = None if value is MISSING else identity(value)
            read_since_arrival(value)
            if text is None and value is not MISSING:
                self.reads.refuse(
                    f"the view read {kind}.{name}, and nothing says to whom that "
                    f"{type(value).__name__} belongs (give its class __zoocache_key__, or name it "
                    "in SHARED_GLOBALS)"
                )
            self.values[read] = text
        self.reads.note(f"header:{read}")

    def note_environ(self, name: object) -> None:
        """Record a look at one key of the WSGI environment."""
        self.reads.note_environ(name)
        if name == "wsgi.url_scheme":
            self.note_place("scheme")
        elif name == "QUERY_STRING":
            self.note_spelling()
        elif isinstance(name, str) and not _OF_EVERYBODY.match(name):
            # What a server or a middleware has found out, about a certificate for example.
            self.note_value("environ", name, dict.get(self.environ, name, MISSING))

    def note_spelling(self) -> None:
        """Record a look at the query string as it was written."""
        if self.spelled and self.query:
            self.note_value("request", "query_string", self.query)

    @contextmanager
    def spelling_apart(self) -> Iterator[None]:
        """Look at the query string without the page depending on how it was written."""
        spelled, self.spelled = self.spelled, False
        try:
            yield
        finally:
            self.spelled = spelled

    def note_place(self, name: str) -> None:
        """Record a look at an attribute of the request that goes with the host."""
        if not self.reads.is_known("HTTP_HOST"):
            self.note_value("request", name, vars(self.real).get(name))

    def note_names(self, state: dict[str, Any]) -> None:
        """Record a look at which attributes ``flask.g`` has."""
        self.note_value("g", ALL_NAMES, told_names(state.keys() - self.own))

    def note_global(self, state: dict[str, Any], name: str) -> None:
        """Record a look at an attribute of ``flask.g``, which consists of ``state``."""
        if name in self.own or name in self.ignored or not self.reads.active:
            return
        if name in self.given:
            self.reads.note_given(f"header:g_{name}")
            return
        value = state.get(name, MISSING)
        if name == LOGGED_IN and (manager := login_manager()) is not None:
            self.reads.note("user")
            if name in state:
                read_since_arrival(value)
            else:
                # Who is there is read from the session, on which the page does not depend.
                with self.paused():
                    manager._load_user()
                # Found by the view, and not made: a part of the page that looks again is told.
                self.own.discard(name)
        elif name == _CSRF and value is not MISSING:
            self.reads.refuse("the page contains a CSRF token")
        elif not (_is_connection(value) or name.startswith(_KNOWN_GLOBALS)):
            self.note_value("g", name, value)

    def written(self, name: str) -> None:
        """Record that the view itself has set an attribute of ``flask.g``."""
        self.own.add(name)
        if name == _CSRF:
            self.reads.refuse("the page contains a CSRF token")


def told_names(names: Iterable[str]) -> list[str]:
    """Those names of attributes of ``flask.g`` that may tell something of the visitor."""
    return sorted(name for name in names if not name.startswith((*_KNOWN_GLOBALS, LOGGED_IN)))


def _is_connection(value: object) -> bool:
    """Whether ``value`` is a database's connection or session: how to read, not what was read."""
    return all(callable(getattr(value, name, None)) for name in ("commit", "rollback", "close"))


@contextmanager
def watched(
    reads: Reads,
    ignored: Collection[str] = (),
    shown_query: Callable[[str], str] | None = None,
    spelled: bool = False,
) -> Iterator[Watch]:
    """Record in ``reads`` what is looked at meanwhile in the current request.

    Within another ``watched`` block, both are told. ``ignored`` are attributes of ``flask.g``;
    ``shown_query`` reduces the query string to what may be seen of it; ``spelled`` says that it
    matters how that is written.
    """
    real: Any = request._get_current_object()  # type: ignore[attr-defined]
    outer = watch_of(real)
    if outer is not None:
        reads.parent, outer.reads, reads.active = outer.reads, reads, True
        own, given = outer.own, outer.given
        outer.own, outer.given = set(), given | own
        try:
            yield outer
        finally:
            outer.own, outer.given = own | outer.own, given
            outer.reads, reads.active = reads.parent, False
        return
    # Made from the headers by whoever ran before the view; made again, it is noticed.
    _forget_cached(real)
    if login_manager() is not None:
        leave_user_unread()
    watch = Watch(reads, real, ignored, shown_query, spelled)
    objects = (
        (context().url_adapter, WatchedAdapter),
        (real, WatchedRequest),
        (g._get_current_object(), WatchedGlobals),
        (current_session(), WatchedSession),
    )
    before = [observe(each, mixin, watch) for each, mixin in objects]
    reads.active = True
    try:
        yield watch
    finally:
        reads.active = False
        for (each, _), was in zip(objects, before, strict=True):
            restore(each, was)
        query = real.environ.get("QUERY_STRING", "")
        if watch.environ.get("QUERY_STRING", "") == watch.query != query:
            watch.environ["QUERY_STRING"] = query
            # Made from what the view was shown of the query.
            _forget_cached(real)
        watch.environ.copied_back(real.environ)


_known_attributes: dict[type, frozenset[str]] = {}


def _attributes(kind: type[Request]) -> frozenset[str]:
    """The attributes that Flask and Werkzeug give every request; others the application has set."""
    known = _known_attributes.get(kind)
    if known is None:
        fresh = kind({"wsgi.url_scheme": "http", "REQUEST_METHOD": "GET"})
        known = _known_attributes[kind] = frozenset(vars(fresh)) | _OF_FLASK
    return known


def _forget_cached(real: Request) -> None:
    """Have made again what Werkzeug has made of the environment and keeps."""
    for name in list(vars(real)):
        if isinstance(getattr(type(real), name, None), cached_property):
            del vars(real)[name]


_OF_FLASK: Final = frozenset(dir(Request))
