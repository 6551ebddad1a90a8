"""Tracking the databases of an application without anybody having to ask for it.

Flask-SQLAlchemy may be given the application before the cache is, or after. So it is looked for
when the application is used: when a context of it is pushed, before anything can have been read or
written. After the first request has begun Flask lets no extension in, and the search is over.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, has_app_context
from flask.signals import appcontext_pushed, request_started

from zoocache_core import ConfigurationError, Engine

if TYPE_CHECKING:
    from zoocache_flask.sqlalchemy import Tracking

__all__ = ["Databases"]

_log = logging.getLogger("zoocache.flask")


class Databases:
    """What one cache of ``app`` tracks.

    Args:
        app: the application; it is not kept alive.
        engine: the cache's engine.
        db: what to track, anything that ``zoocache_flask.sqlalchemy.track`` takes; ``None``: what
            Flask-SQLAlchemy has registered with the application, if it has.
        options: further arguments of ``track``.
    """

    def __init__(self, app: Flask, engine: Engine, db: Any, options: Mapping[str, Any]) -> None:
        self._app = weakref.ref(app)
        self._engine = engine
        self._db = db
        self._options = options
        self._tracking: Tracking | None = None
        # One for each, because the end of an application may come in the middle of anything.
        self._lock = threading.RLock()
        self.awaited = True
        """Whether there may be something to track that has not been found yet."""
        # Signals do not keep their receivers alive: these go when the application goes.
        appcontext_pushed.connect(self._pushed, sender=app)
        request_started.connect(self._request_started, sender=app)
        if has_app_context() and current_app == app:
            self.look()

    @property
    def tracked(self) -> bool:
        """Whether reads and writes are noticed."""
        return self._tracking is not None

    def look(self) -> None:
        """Begin to track if what there is to track is there now. Needs the application's context.

        Raises:
            ConfigurationError: it cannot be tracked as it is.
        """
        with self._lock:
            app = self._app()
            if not self.awaited or app is None:
                return
            db = app.extensions.get("sqlalchemy") if self._db is None else self._db
            if db is None or not _is_registered(db):
                return
            if self._db is None and not _is_supported(db):
                _log.warning(
                    "%s of application %r cannot be tracked, which takes Flask-SQLAlchemy 3 and "
                    "SQLAlchemy 2: pages do not notice what is written through it. "
                    "ZOOCACHE_SQLALCHEMY = False says that this is known.",
                    type(db).__name__,
                    app.name,
                )
            else:
                self._track(db)
            self._end()

    def stop(self) -> None:
        """Track no longer, and do not begin."""
        with self._lock:
            self._end()
            tracking, self._tracking = self._tracking, None
        if tracking is not None:
            tracking.stop()

    def _track(self, db: Any) -> None:
        from zoocache_flask.sqlalchemy import track  # it may not be installed

        try:
            self._tracking = track(db, cache=self._engine, **self._options)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error} To say how each database is tracked, set ZOOCACHE_SQLALCHEMY = False and "
                "call track(engine, cache=..., name=...) for each."
            ) from error

    def _end(self) -> None:
        self.awaited = False
        app = self._app()
        appcontext_pushed.disconnect(self._pushed, sender=app)
        request_started.disconnect(self._request_started, sender=app)

    def _pushed(self, sender: object, **_: object) -> None:
        try:
            self.look()
        except ConfigurationError as error:
            # Raised here it would leave the context half pushed. Whoever uses the cache gets it.
            _log.error("%s", error)

    def _request_started(self, sender: Flask, **_: object) -> None:
        self.look()
        with self._lock:
            if not self.awaited:
                return
            if self._db is not None:
                raise ConfigurationError(
                    f"{self._db!r} is to be tracked, but it does not know the Flask application "
                    f"{sender.name!r}: call its init_app(app)."
                )
            self._end()


def _is_registered(db: Any) -> bool:
    """Whether an extension for SQLAlchemy has its engines for the current application."""
    try:
        # For other objects there is nothing to wait for.
        getattr(db, "engines", None)
    except RuntimeError:
        return False
    return True


def _is_supported(db: Any) -> bool:
    import sqlalchemy

    return hasattr(db, "engines") and int(sqlalchemy.__version__.partition(".")[0]) >= 2
