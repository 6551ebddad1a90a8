"""What is tracked, from :func:`track` until :meth:`Tracking.stop`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, MetaData, event
from sqlalchemy.orm import Session

from zoocache_core import ConfigurationError, default_engine
from zoocache_core import Engine as Cache
from zoocache_flask.sqlalchemy import databases, dialects, instances, schema, sessions
from zoocache_flask.sqlalchemy.databases import Database

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Tracking", "track"]

Names = Mapping[str, Iterable[str]]

_lock: Final = threading.RLock()
# The engines that are tracked, by their dialects: those made by `execution_options()` share one.
_tracked: Final[dict[int, list[Tracking]]] = {}
# Who needs what all sessions share. Whoever is stopped by the garbage collector, which may be in
# the middle of another's beginning, must leave that alone.
_users: Final[set[Tracking]] = set()


def track(
    target: Any,
    *,
    cache: Cache | None = None,
    name: str | None = None,
    triggers: Names | None = None,
) -> Tracking:
    """Let cached computations depend on what they read through SQLAlchemy, and forget them when
    that is written.

    Args:
        target: what to track: an ``Engine`` or ``AsyncEngine``, a ``Session``, ``sessionmaker`` or
            one of their relatives with the engines it is bound to, the ``SQLAlchemy`` of
            Flask-SQLAlchemy or Flask-SQLAlchemy-Lite (within an application context), or several
            of these.
        cache: the engine that holds the values; the default one of ``zoocache`` if left out.
        name: the database's name in tags, which every process must call the same. Left out, it is
            the database's own name, for SQLite the file's.
        triggers: for tables, those that change unseen when they are written, because a trigger of
            the database writes to them or because they are views: ``{"order": ["order_totals"]}``.

    Returns:
        What takes it all back with ``stop()``, or at the end of its ``with`` block.

    Raises:
        TypeError: ``target`` is none of these, or is bound to no engine.
        ConfigurationError: ``name`` is that of another kind of database, or an engine is tracked
            by another name.
    """
    engines = list(dict.fromkeys(_engines(target)))
    if not engines:
        raise TypeError(f"track({target!r}) found no engine: pass the engine itself, {_ALLOWED}.")
    return Tracking(engines, cache or default_engine, name, triggers or {}, _metadata(target))


class Tracking:
    """Databases under observation, for one cache."""

    def __init__(
        self,
        engines: Iterable[Engine],
        cache: Cache,
        name: str | None,
        triggers: Names,
        metadata: Iterable[MetaData],
    ) -> None:
        self._engines: list[Engine] = []
        self._databases: list[Database] = []
        with _lock:
            # None of which counts before it is certain that all can be tracked.
            found: dict[str, Database] = {}
            wanted: list[tuple[Engine, Database]] = []
            for engine in engines:
                called = name or databases.default_name(engine)
                found[called] = databases.named(called, engine.dialect.name, found)
                wanted.append((engine, found[called]))
            for engine, database in wanted:
                tracked = databases.of_engine(engine)
                if tracked not in (None, database):
                    raise ConfigurationError(
                        f"{engine!r} is tracked as {tracked.name!r} already, so it cannot be "
                        f"tracked as {database.name!r}: its tags must have one name. (What "
                        "ZooCache(app) tracks by itself is named by the option ZOOCACHE_SQLALCHEMY "
                        "= {'name': ...}.)"
                    )
            for one in metadata:
                schema.learn(one)
            schema.learn_mapped()
            _users.add(self)
            if len(_users) == 1:
                instances.install()
                for owner, event_name, listener in (*instances.LISTENERS, *sessions.LISTENERS):
                    event.listen(owner, event_name, listener, raw=True)
            for engine, database in wanted:
                self._start(engine, database, cache, triggers)

    def _start(self, engine: Engine, database: Database, cache: Cache, triggers: Names) -> None:
        users = _tracked.setdefault(id(engine.dialect), [])
        if not users:
            dialects.install(engine, database)
        users.append(self)
        database = databases.of_engine(engine) or database
        database.serve(cache, self, triggers)
        self._engines.append(engine)
        self._databases.append(database)

    @property
    def names(self) -> tuple[str, ...]:
        """The databases' names in tags."""
        return tuple(database.name for database in self._databases)

    def stop(self) -> None:
        """Track no longer; doing it again has no effect."""
        with _lock:
            for engine in self._engines:
                users = _tracked[id(engine.dialect)]
                if users == [self]:
                    dialects.uninstall(engine)
                    del _tracked[id(engine.dialect)]
                else:
                    users.remove(self)
            for database in dict.fromkeys(self._databases):
                if database.dismiss(self):
                    databases.forget(database)
            self._engines, self._databases = [], []
            if self in _users:
                _users.remove(self)
                if _users:
                    return
                instances.uninstall()
                for owner, event_name, listener in (*instances.LISTENERS, *sessions.LISTENERS):
                    event.remove(owner, event_name, listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


_ALLOWED: Final = (
    "an AsyncEngine, a session or sessionmaker with a bind, the SQLAlchemy of Flask-SQLAlchemy, "
    "or a list of these"
)


def _engines(target: Any) -> Iterator[Engine]:
    """The blocking engines behind ``target``."""
    if isinstance(target, Engine):
        yield target
    elif isinstance(target, (list, tuple, set, frozenset)):
        for one in target:
            yield from _engines(one)
    elif isinstance(getattr(target, "sync_engine", None), Engine):
        yield target.sync_engine
    elif isinstance(getattr(target, "engines", None), Mapping):
        # Flask-SQLAlchemy, and Flask-SQLAlchemy-Lite with the second kind.
        for one in (*target.engines.values(), *getattr(target, "async_engines", {}).values()):
            yield from _engines(one)
    elif hasattr(target, "session_factory"):
        yield from _engines(target.session_factory)
    elif hasattr(target, "sync_session"):
        yield from _engines(target.sync_session)
    elif isinstance(target, Session):
        yield from _bound(target.bind, getattr(target, "_Session__binds", None))
    elif isinstance(getattr(target, "kw", None), dict):
        yield from _bound(target.kw.get("bind"), target.kw.get("binds"))
    else:
        raise TypeError(f"track() cannot track {target!r}: expected an Engine, {_ALLOWED}.")


def _bound(bind: Any, binds: Mapping[Any, Any] | None) -> Iterator[Engine]:
    for one in (bind, *(binds or {}).values()):
        if one is not None:
            # A connection stands for its engine.
            yield from _engines(getattr(one, "engine", one))


def _metadata(target: Any) -> Iterable[MetaData]:
    found: Mapping[Any, MetaData] = getattr(target, "metadatas", {})
    return found.values()
