"""The extension: ``ZooCache(app)``, or ``ZooCache()`` and ``init_app(app)`` in a factory."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from flask import Flask

from zoocache_core import ConfigurationError, Engine
from zoocache_core.decorator import Cached, Decorator, Deps
from zoocache_flask import arrivals, cli, jinja, signals
from zoocache_flask.conf import DEFAULT, OPTION_NAMES, read
from zoocache_flask.current import EXTENSION, State, current_state, state_of
from zoocache_flask.databases import Databases
from zoocache_flask.functions import cacheable_by
from zoocache_flask.views import CachedView, View, cache_view_by

__all__ = ["ZooCache"]

P = ParamSpec("P")
R = TypeVar("R")


class ZooCache:
    """ZooCache for Flask applications.

    ::

        cache = ZooCache()

        def create_app():
            app = Flask(__name__)
            app.config["ZOOCACHE"] = {"storage_url": "redis://localhost:6379"}
            cache.init_app(app)
            return app

    One object serves any number of applications: it holds nothing of theirs. The engine of each is
    in ``app.extensions["zoocache"]``, and what the methods do is done with the engine of the
    application in whose context they are called.

    Configuration, read by :meth:`init_app`: ``app.config["ZOOCACHE"]``, a dict of the options of
    ``zoocache.configure()`` in lower or upper case; or ``app.config["ZOOCACHE_STORAGE_URL"]`` and
    so on. The options of the adapter itself are :class:`zoocache_flask.conf.Options`.

    Args:
        app: calls :meth:`init_app` with it at once.
        name: tells several caches of one application apart. Another than the first reads its
            options from the dict ``app.config["ZOOCACHE_<NAME>"]``.
        db: what is tracked, so that reading it makes pages and values depend on it and writing it
            forgets them: an extension for SQLAlchemy, or engines of SQLAlchemy. Left out, it is the
            Flask-SQLAlchemy that the application has, no matter which of the two is given the
            application first. The option ``sqlalchemy`` switches this off.
    """

    def __init__(
        self, app: Flask | None = None, *, name: str = DEFAULT, db: Any | None = None
    ) -> None:
        if not name.isidentifier() or name in OPTION_NAMES:
            raise ConfigurationError(
                f"ZooCache(name={name!r}) is not allowed: expected letters, digits and '_', "
                "and not the name of an option."
            )
        self.name = name
        self.db = db
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give ``app`` a cache: read its configuration and open the engine.

        Raises:
            ConfigurationError: a mistake in the configuration, named; or ``app`` has a cache with
                this name already.
        """
        caches: dict[str, State] = app.extensions.setdefault(EXTENSION, {})
        if self.name in caches:
            named = "" if self.name == DEFAULT else f" named {self.name!r}"
            raise ConfigurationError(
                f"The Flask application {app.name!r} has a ZooCache{named} already. Register the "
                "extension once; for a second cache beside it write ZooCache(app, name='other')."
            )
        core, options = read(app, self.name)
        if options.signals:
            core["events"] = (*core.get("events", ()), signals.SignalSink(app))
        engine = Engine(**core)
        databases = None
        if options.sqlalchemy is not None:
            databases = Databases(app, engine, self.db, options.sqlalchemy)
        state = caches[self.name] = State(self.name, engine, options, databases)
        arrivals.follow(app, state)
        # Applications have no end that Flask tells of. Tests make hundreds of them. (Not the whole
        # state: cached functions may refer to the application.)
        weakref.finalize(app, _close, engine, databases)
        if self.name == DEFAULT:
            jinja.install(app)
            cli.install(app)

    def close(self, app: Flask) -> None:
        """Close the engine of ``app`` and take its cache away; entries stay in the storage.

        An application that is garbage collected closes its engine by itself, as does the end of
        the process. :meth:`init_app` may be called again afterwards.
        """
        state = app.extensions.get(EXTENSION, {}).pop(self.name, None)
        if state is not None:
            _close(state.engine, state.databases)

    def opened(self, app: Flask) -> AbstractContextManager[Flask]:
        """:meth:`init_app` now and :meth:`close` at the end of a ``with`` block; for tests."""

        @contextmanager
        def block() -> Iterator[Flask]:
            self.init_app(app)
            try:
                yield app
            finally:
                self.close(app)

        return block()

    def engine_of(self, app: Flask) -> Engine:
        """The engine of ``app``; no application context is needed.

        Raises:
            NotConfigured: ``app`` has no such cache.
        """
        return state_of(app, self.name).engine

    @property
    def engine(self) -> Engine:
        """The engine of the current application: ``get``, ``set``, ``stats`` and all else.

        Raises:
            NotConfigured: outside an application, or it has no such cache.
        """
        return current_state(self.name).engine

    # With the engine of the current application

    @overload
    def cache_view(self, view: View, /) -> CachedView: ...

    @overload
    def cache_view(
        self, ttl: float | timedelta | None = None, **options: Any
    ) -> Callable[[View], CachedView]: ...

    def cache_view(self, ttl: Any = None, **options: Any) -> Any:
        """:func:`zoocache_flask.cache_view` in this cache."""
        return cache_view_by(self.name, ttl, **options)

    @overload
    def cacheable(self, function: Callable[P, R], /) -> Cached[P, R]: ...

    @overload
    def cacheable(
        self,
        namespace: str | None = None,
        deps: Deps = None,
        ttl: float | timedelta | None = None,
        key: str | Callable[..., Any] | None = None,
    ) -> Decorator: ...

    def cacheable(
        self, namespace: Any = None, deps: Deps = None, ttl: Any = None, key: Any = None
    ) -> Any:
        """:func:`zoocache_flask.cacheable` in this cache."""
        return cacheable_by(self.name, namespace, deps=deps, ttl=ttl, key=key)

    def invalidate(self, *tags: str, strict: bool = False) -> None:
        """Forget everything that depends on ``tags``, and on any tag below them."""
        self.engine.invalidate(*tags, strict=strict)

    def invalidate_async(self, *tags: str, strict: bool = False) -> Awaitable[None]:
        """:meth:`invalidate` without blocking the event loop."""
        return self.engine.invalidate_async(*tags, strict=strict)

    def clear(self) -> None:
        """Forget everything in this cache."""
        self.engine.clear()


def _close(engine: Engine, databases: Databases | None) -> None:
    if databases is not None:
        databases.stop()
    engine.reset()
