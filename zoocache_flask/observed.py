"""The classes of ``flask.request``, ``flask.session`` and ``flask.g`` while they are watched.

Each is a subclass of the object's own class, so that whatever an application has made of its
requests and sessions goes on working; what a look means is for the :class:`~.visitor.Watch` to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import EnvironHeaders, ImmutableMultiDict

from zoocache_core.http.reads import ADDRESS, WatchedMapping
from zoocache_core.missing import MISSING

if TYPE_CHECKING:
    from zoocache_flask.visitor import Watch

__all__ = [
    "WatchedAdapter",
    "WatchedCookies",
    "WatchedGlobals",
    "WatchedRequest",
    "WatchedSession",
    "observe",
    "restore",
    "watch_of",
]

_watches: dict[int, Watch] = {}
"""By the id of the object watched, while it is."""


def watch_of(each: object) -> Watch | None:
    """The watch that ``each`` is under, or ``None``."""
    return _watches.get(id(each))


class WatchedCookies(WatchedMapping, ImmutableMultiDict[str, str]):  # type: ignore[misc]
    watch: Watch

    def one(self, key: Any) -> None:
        self.watch.reads.note(f"cookie:{key}")

    def everything(self) -> None:
        self.watch.reads.note("header:cookie")


class WatchedRequest:
    def __getattribute__(self, name: str) -> Any:
        watch = _watches.get(id(self))
        if watch is not None:
            if name == "environ":
                return watch.environ
            if name == "headers":
                return EnvironHeaders(watch.environ)
            if name == "cookies":
                return watch.cookies
            if name == "query_string":
                watch.note_spelling()
                return watch.query.encode("latin-1")
            if name == "args":
                # In which all ways to write a query are one.
                with watch.spelling_apart():
                    return super().__getattribute__(name)
            if name in ("remote_addr", "remote_user"):
                watch.reads.note(f"header:{ADDRESS}")
            elif name in ("scheme", "server"):
                watch.note_place(name)
            elif name in watch.custom:
                state = object.__getattribute__(self, "__dict__")
                watch.note_value("request", name, state.get(name, MISSING))
        return super().__getattribute__(name)


class WatchedSession(WatchedMapping):
    def one(self, key: Any) -> None:
        watch = _watches.get(id(self))
        if watch is None or not watch.reads.active:
            return
        if not isinstance(key, str):
            watch.reads.note("session")
            return
        with watch.paused():
            value = self.get(key, MISSING)
        watch.note_value("session", key, value)

    def everything(self) -> None:
        watch = _watches.get(id(self))
        if watch is not None:
            watch.reads.note("session")

    def __getattribute__(self, name: str) -> Any:
        if name == "sid":
            # How extensions that keep sessions on the server call their key.
            WatchedSession.everything(self)
        return super().__getattribute__(name)


class WatchedGlobals:
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
        watch = _watches.get(id(self))
        if watch is not None:
            watch.note_names(vars(self))
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


def observe(each: Any, mixin: type, watch: Watch) -> tuple[type, Watch | None]:
    """Watch ``each``; what :func:`restore` needs to end that."""
    kind = type(each)
    previous = _watches.get(id(each))
    if previous is None:
        try:
            # Not by plain assignment, which `flask.g` would take for one of its attributes.
            object.__setattr__(each, "__class__", _observed(kind, mixin))
        except TypeError:
            # The instances of a class with slots, for example. What cannot be seen counts as read.
            if mixin is WatchedSession:
                watch.reads.add("session")
            else:
                watch.reads.refusal = f"a {kind.__module__}.{kind.__qualname__} cannot be watched"
    _watches[id(each)] = watch
    return kind, previous


def restore(each: Any, before: tuple[type, Watch | None]) -> None:
    """End what :func:`observe` began."""
    kind, previous = before
    if previous is None:
        _watches.pop(id(each), None)
        object.__setattr__(each, "__class__", kind)
    else:
        _watches[id(each)] = previous


class WatchedAdapter:
    """Makes the addresses of views, of which those with a host show the visitor's."""

    def build(self, *args: Any, **kwargs: Any) -> str:
        built: str = super().build(*args, **kwargs)  # type: ignore[misc]
        watch = _watches.get(id(self))
        if watch is not None and not built.startswith("/"):
            watch.note_place("scheme")
            watch.note_environ("HTTP_HOST")
        return built


_observed_kinds: dict[type, type] = {}


def _observed(kind: type, mixin: type) -> type:
    made = _observed_kinds.get(kind)
    if made is None:
        namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        made = _observed_kinds[kind] = type(kind)(kind.__name__, (mixin, kind), namespace)
    return made
