"""How old is what a request has brought to the view: as old as the request's arrival.

A ``before_request`` function, or a decorator, has looked the user up before the computation of the
page begins. Without this, a write between the two would leave a page made from the old user that
counts as newer than the write. Rows of databases that are tracked know their age themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Flask, current_app
from flask.globals import app_ctx
from flask.signals import request_started

from zoocache_core.deps import current_scope
from zoocache_core.encoding import has_own_key
from zoocache_flask import mapped

if TYPE_CHECKING:
    from zoocache_flask.current import State

__all__ = ["arrived", "follow", "read_since_arrival"]

_POSITIONS: Final = "_zoocache_positions"
"""The attribute of an application's context with the position of each engine at the arrival."""


def follow(app: Flask, state: State) -> None:
    """Note the position of the engine of ``state`` whenever a request arrives."""

    def note(sender: Flask, **_: object) -> None:
        arrived(state)

    # Signals do not keep their receivers alive: this one goes when the application goes.
    state.receivers.append(note)
    request_started.connect(note, sender=app)


def arrived(state: State) -> None:
    """A request has arrived; its context has been pushed."""
    if state.engine.configured:
        positions = vars(app_ctx._get_current_object()).setdefault(_POSITIONS, {})  # type: ignore[attr-defined]
        positions[state.name] = state.engine.present()


def read_since_arrival(value: object) -> None:
    """Declare that what is being computed was made from ``value``, which was there before it began.

    What is all in the page's key cannot be out of date, whenever it was read.
    """
    scope = current_scope()
    if scope is None or not has_own_key(value):
        return
    positions: dict[str, int] = getattr(app_ctx, _POSITIONS, {})
    caches: dict[str, Any] = current_app.extensions["zoocache"]
    for name, position in positions.items():
        state = caches.get(name)
        if state is not None and state.engine is scope.engine and not _knows_its_age(state, value):
            scope.lower_stamp(position)


def _knows_its_age(state: State, value: object) -> bool:
    databases = state.databases
    return databases is not None and databases.tracked and mapped.is_mapped(value)
