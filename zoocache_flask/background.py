"""Making a page anew after its old version was sent (stale-while-revalidate, RFC 5861).

It happens in a thread, in a request of its own: a copy of the WSGI environment of the visitor's.
The application handles that as it does any other, from its session and ``before_request`` functions
to the teardown that closes its database sessions; only that nobody is answered, so no
``after_request`` functions run and no session is saved. On its way it meets the cached view again,
which finds the task in the environment. If it does not get there, because the visitor has been
logged out for example, nothing is renewed.
"""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

from zoocache_core.http import PageCache
from zoocache_core.http.background import in_a_thread
from zoocache_core.http.stale import RenewalTask
from zoocache_flask.arrivals import arrived
from zoocache_flask.current import EXTENSION

__all__ = ["renew_later", "renewal_of"]

_log = logging.getLogger("zoocache.flask")

_TASK: Final = "zoocache.renewal"
"""Its key in the environment. No client can send one with a dot."""

_OF_THE_CONNECTION: Final = frozenset(
    {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated", "wsgi.file_wrapper"}
)


class _Assigned(NamedTuple):
    cache: PageCache
    task: RenewalTask


def renew_later(
    app: Flask, environ: Mapping[str, Any], cache: PageCache, task: RenewalTask
) -> bool:
    """Have ``task``, of a page in ``cache``, done in a copy of the request with ``environ``."""
    copy = {
        name: value
        for name, value in environ.items()
        # Frameworks and servers keep objects of the one request there.
        if name not in _OF_THE_CONNECTION
        and not name.startswith(("flask.", "werkzeug.", "gunicorn."))
    }
    copy["wsgi.input"] = io.BytesIO()
    copy[_TASK] = _Assigned(cache, task)
    return in_a_thread(partial(_renew, app, copy, task))


def renewal_of(environ: Mapping[str, Any], cache: PageCache) -> RenewalTask | None:
    """The task for ``cache`` that a request was made for, if it was."""
    assigned: _Assigned | None = environ.get(_TASK)
    return assigned.task if assigned is not None and assigned.cache is cache else None


def _renew(app: Flask, environ: dict[str, Any], task: RenewalTask) -> None:
    try:
        with app.request_context(environ) as context:
            for state in app.extensions[EXTENSION].values():
                arrived(state)
            if _called(app.preprocess_request, context) is None:
                _called(app.dispatch_request, context)
    except HTTPException as answer:
        _log.debug("A page is not renewed: the application answers %s.", answer)
    except Exception as error:  # noqa: BLE001  counted and logged
        task.failed(error)
    finally:
        task.abandon()


def _called(method: Callable[..., Any], context: Any) -> Any:
    # From Flask 3.2 on, the steps of a request are given its context.
    return method(context) if inspect.signature(method).parameters else method()
