"""How old is what a request has brought to the view: as old as the request's arrival.

Middleware, and the making of the page's key, read the user before the computation of the page
begins. Without this, a write between the two would leave a page made from the old user that counts
as newer than the write.
"""

from __future__ import annotations

from typing import Any, Final

from django.core.signals import request_started
from django.http import HttpRequest

from zoocache_core import default_engine
from zoocache_core.deps import current_scope

__all__ = ["install", "read_since_arrival"]

_POSITION: Final = "zoocache.position"


def install() -> None:
    """Note the engine's position when a request arrives."""
    request_started.connect(_arrived, dispatch_uid=__name__)


def read_since_arrival(request: HttpRequest) -> None:
    """Declare that what is being computed was read at any time since ``request`` arrived."""
    # Of WSGI, or of ASGI. A recorder may stand there, so nothing but the one key is looked at.
    carried = getattr(request, "environ", None)
    carried = getattr(request, "scope", None) if carried is None else carried
    position = None if carried is None else carried.get(_POSITION)
    scope = current_scope()
    if scope is not None and position is not None and scope.engine is default_engine:
        scope.lower_stamp(position)


def _arrived(
    environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **kwargs: Any
) -> None:
    carried = environ if environ is not None else scope
    if carried is not None and default_engine.configured:
        # Also publishes what a block of a test wrote and has ended, which was before the request.
        default_engine.stamp()
        carried[_POSITION] = default_engine.present()
