"""The cache of the running application: what ``app.extensions["zoocache"]`` holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask, Response, current_app

from zoocache_core import Engine, NotConfigured
from zoocache_flask.conf import DEFAULT, Options
from zoocache_flask.databases import Databases
from zoocache_flask.sending import PageResponder

__all__ = ["EXTENSION", "State", "current_engine", "current_state", "settled_state", "state_of"]

EXTENSION: Final = "zoocache"


@dataclass(eq=False)
class State:
    """One cache of one application."""

    name: str
    engine: Engine
    options: Options
    databases: Databases | None
    """What is tracked for it, unless nothing is to be."""
    functions: dict[Hashable, Any] = field(default_factory=dict)
    """What ``cacheable`` has made of functions for this engine; goes when the application goes."""
    receivers: list[Callable[..., None]] = field(default_factory=list)
    """What signals call. They do not keep it alive themselves."""
    responders: dict[type[Response], PageResponder] = field(default_factory=dict)
    """What makes responses of stored pages, by the application's class of responses."""


def state_of(app: Flask, name: str = DEFAULT) -> State:
    """The cache of ``app`` with this name.

    Raises:
        NotConfigured: there is none; the message says what to write.
    """
    state: State | None = app.extensions.get(EXTENSION, {}).get(name)
    if state is None:
        argument = "" if name == DEFAULT else f", name={name!r}"
        raise NotConfigured(
            f"The Flask application {app.name!r} has no ZooCache{argument and f' named {name!r}'}. "
            f"Write ZooCache(app{argument}) where it is made, or call init_app(app) on the "
            "extension."
        )
    return state


def current_state(name: str = DEFAULT) -> State:
    """The cache of the application in whose context this runs.

    Raises:
        NotConfigured: this runs outside an application, or it has no such cache.
    """
    try:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        raise NotConfigured(
            "ZooCache was used outside a Flask application, so it cannot tell which cache is "
            "meant. In a request or a `flask` command there is one; elsewhere (a script, a thread, "
            "a test) wrap the code in `with app.app_context():`."
        ) from None
    return settled_state(app, name)


def settled_state(app: Flask, name: str) -> State:
    """The cache of ``app``, whose context has been pushed, with its databases tracked."""
    caches: dict[str, State] | None = app.extensions.get(EXTENSION)
    found = None if caches is None else caches.get(name)
    if found is None:
        return state_of(app, name)
    databases = found.databases
    if databases is not None and databases.awaited:
        databases.look()
    return found


def current_engine(name: str = DEFAULT) -> Engine:
    """The engine of :func:`current_state`."""
    return current_state(name).engine
