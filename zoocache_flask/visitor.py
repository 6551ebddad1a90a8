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

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flask import Request, current_app, g, request
from flask import globals as flask_globals
from werkzeug.datastructures import EnvironHeaders, ImmutableMultiDict
from werkzeug.utils import cached_property

from zoocache_core.encoding import encode
from zoocache_core.errors import UnsupportedValue
from zoocache_core.http.reads import ADDRESS, Reads, WatchedDict, WatchedMapping

__all__ = ["Watch", "context", "current_session", "login_manager", "watched"]

LOGGED_IN: Final = "_login_user"
"""Where Flask-Login keeps the user, in ``flask.g``."""

_CSRF: Final = "csrf_token"

_KNOWN_GLOBALS: Final = ("babel_", "_sqlalchemy_queries")
"""Begins what Flask-Babel and Flask-SQLAlchemy keep there; the language is in every key."""

_watches: dict[int, Watch] = {}
"""By the id of the object watched, while it is."""


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


def login_manager() -> Any:
    """The application's ``flask_login.LoginManager``, or ``None``."""
    return getattr(current_app, "login_manager", None)


def _leave_user_unread() -> None:
    """Let templates pass the user on without a look at it.

    Flask-Login gives every template the user itself, who would have to be looked up; its proxy
    ``current_user`` is the same to a template that shows it.
    """
    import flask_login

    processors = current_app.template_context_processors[None]
    eager = flask_login.utils._user_context_processor
    for number, processor in enumerate(processors):
        if processor is eager:
            processors[number] = lambda: {"current_user": flask_login.current_user}


class Watch:
    """One request under observation. ``reads`` changes while a part of the page is made."""

    __slots__ = ("cookies", "custom", "environ", "ignored", "own", "reads")

    def __init__(self, reads: Reads, real: Request, ignored: Collection[str]) -> None:
        self.reads = reads
        self.ignored = ignored
        self.own: set[str] = set()
        self.custom = vars(real).keys() - _attributes(type(real))
        self.environ = WatchedDict(
            real.environ,
            lambda name: self.reads.note_environ(name),
            lambda: self.reads.note_everything(),
        )
        self.cookies = _WatchedCookies(real.cookies)
        self.cookies.watch = self

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
        try:
            encode(value)
        except UnsupportedValue:
            self.reads.refuse(
                f"the view read {kind}.{name}, and nothing says to whom that "
                f"{type(value).__name__} belongs (give its class __zoocache_key__, or name it in "
                "SHARED_GLOBALS)"
            )
        self.reads.note(f"header:{kind}_{name}")

    def note_global(self, state: dict[str, Any], name: str) -> None:
        """Record a look at an attribute of ``flask.g``, which consists of ``state``."""
        if name in self.own or name in self.ignored or not self.reads.active:
            return
        value = state.get(name)
        if name == LOGGED_IN and (manager := login_manager()) is not None:
            self.reads.note("user")
            if name not in state:
                # Who is there is read from the session, on which the page does not depend.
                with self.paused():
                    manager._load_user()
        elif name == _CSRF and value is not None:
            self.reads.refuse("the page contains a CSRF token")
        elif not (_is_connection(value) or name.startswith(_KNOWN_GLOBALS)):
            self.note_value("g", name, value)

    def written(self, name: str) -> None:
        """Record that the view itself has set an attribute of ``flask.g``."""
        self.own.add(name)
        if name == _CSRF:
            self.reads.refuse("the page contains a CSRF token")


def _is_connection(value: object) -> bool:
    """Whether ``value`` is a database's connection or session: how to read, not what was read."""
    return all(callable(getattr(value, name, None)) for name in ("commit", "rollback", "close"))


class _WatchedCookies(WatchedMapping, ImmutableMultiDict[str, str]):  # type: ignore[misc]
    watch: Watch

    def one(self, key: Any) -> None:
        self.watch.reads.note(f"cookie:{key}")

    def everything(self) -> None:
        self.watch.reads.note("header:cookie")


class _WatchedRequest:
    def __getattribute__(self, name: str) -> Any:
        watch = _watches.get(id(self))
        if watch is not None:
            if name == "environ":
                return watch.environ
            if name == "headers":
                return EnvironHeaders(watch.environ)
            if name == "cookies":
                return watch.cookies
            if name in ("remote_addr", "remote_user"):
                watch.reads.note(f"header:{ADDRESS}")
            elif name in watch.custom:
                watch.note_value("request", name, object.__getattribute__(self, "__dict__")[name])
        return super().__getattribute__(name)


class _WatchedSession(WatchedMapping):
    def one(self, key: Any) -> None:
        watch = _watches.get(id(self))
        if watch is None or not watch.reads.active:
            return
        with watch.paused():
            value = self.get(key)
        if isinstance(key, str):
            watch.note_value("session", key, value)
        else:
            watch.reads.note("session")

    def everything(self) -> None:
        watch = _watches.get(id(self))
        if watch is not None:
            watch.reads.note("session")

    def __getattribute__(self, name: str) -> Any:
        if name == "sid":
            # How extensions that keep sessions on the server call their key.
            _WatchedSession.everything(self)
        return super().__getattribute__(name)


class _WatchedGlobals:
    def __getattribute__(self, name: str) -> Any:
        if name[:2] != "__" and not hasattr(type(self), name):
            watch = _watches.get(id(self))
            if watch is not None:
                watch.note_global(vars(self), name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        watch = _watches.get(id(self))
        if watch is not None:
            watch.written(name)
        super().__setattr__(name, value)

    def __contains__(self, name: str) -> bool:
        self._look(name)
        return super().__contains__(name)  # type: ignore[misc, no-any-return]

    def __iter__(self) -> Iterator[str]:
        for name in list(vars(self)):
            self._look(name)
        return super().__iter__()  # type: ignore[misc, no-any-return]

    def get(self, name: str, default: Any = None) -> Any:
        self._look(name)
        return super().get(name, default)  # type: ignore[misc]

    def pop(self, name: str, *default: Any) -> Any:
        self._look(name)
        return super().pop(name, *default)  # type: ignore[misc]

    def setdefault(self, name: str, default: Any = None) -> Any:
        self._look(name)
        if name not in vars(self):
            setattr(self, name, default)
        return vars(self)[name]

    def _look(self, name: str) -> None:
        watch = _watches.get(id(self))
        if watch is not None:
            watch.note_global(vars(self), name)


@contextmanager
def watched(reads: Reads, ignored: Collection[str] = ()) -> Iterator[None]:
    """Record in ``reads`` what is looked at meanwhile in the current request.

    Within another ``watched`` block, both are told. ``ignored`` are attributes of ``flask.g``.
    """
    real: Any = request._get_current_object()  # type: ignore[attr-defined]
    outer = _watches.get(id(real))
    if outer is not None:
        reads.parent, outer.reads, reads.active = outer.reads, reads, True
        try:
            yield
        finally:
            outer.reads, reads.active = reads.parent, False
        return
    for name in list(_cached(real)):
        # Made from the headers by whoever ran before the view; made again, it is noticed.
        del vars(real)[name]
    if login_manager() is not None:
        _leave_user_unread()
    watch = Watch(reads, real, ignored)
    objects = (
        (real, _WatchedRequest),
        (g._get_current_object(), _WatchedGlobals),
        (current_session(), _WatchedSession),
    )
    before = [_observe(each, mixin, watch) for each, mixin in objects]
    reads.active = True
    try:
        yield
    finally:
        reads.active = False
        for (each, _), (kind, previous) in zip(objects, before, strict=True):
            if previous is None:
                _watches.pop(id(each), None)
                object.__setattr__(each, "__class__", kind)
            else:
                _watches[id(each)] = previous
        watch.environ.copied_back(real.environ)


def _observe(each: Any, mixin: type, watch: Watch) -> tuple[type, Watch | None]:
    kind = type(each)
    previous = _watches.get(id(each))
    if previous is None:
        try:
            # Not by plain assignment, which `flask.g` would take for one of its attributes.
            object.__setattr__(each, "__class__", _observed(kind, mixin))
        except TypeError:
            # The instances of a class with slots, for example. What cannot be seen counts as read.
            if mixin is _WatchedSession:
                watch.reads.add("session")
            else:
                watch.reads.refusal = f"a {kind.__qualname__} cannot be watched: {kind.__module__}"
    _watches[id(each)] = watch
    return kind, previous


_observed_kinds: dict[type, type] = {}
_known_attributes: dict[type, frozenset[str]] = {}


def _observed(kind: type, mixin: type) -> type:
    made = _observed_kinds.get(kind)
    if made is None:
        namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        made = _observed_kinds[kind] = type(kind)(kind.__name__, (mixin, kind), namespace)
    return made


def _attributes(kind: type[Request]) -> frozenset[str]:
    """The attributes that Flask and Werkzeug give every request; others the application has set."""
    known = _known_attributes.get(kind)
    if known is None:
        fresh = kind({"wsgi.url_scheme": "http", "REQUEST_METHOD": "GET"})
        known = _known_attributes[kind] = frozenset(vars(fresh)) | _OF_FLASK
    return known


def _cached(real: Request) -> Iterator[str]:
    for name in vars(real):
        if isinstance(getattr(type(real), name, None), cached_property):
            yield name


_OF_FLASK: Final = frozenset(dir(Request))
