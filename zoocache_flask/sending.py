"""Responses made from stored pages, which take Flask less time to send than a view's own.

Werkzeug checks each header when it is set and copies them one by one when they are sent. Those of a
page were checked when its view set them, so here they are taken over as they are. Where an
application's own class of responses has a say in any of that, it is left to it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, Final

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as WerkzeugResponse

__all__ = ["PageResponder", "responder"]

PageResponder = Callable[[bytes, int, Sequence[tuple[str, str]]], Response]
"""Makes the response of a body, a status and headers."""

_KNOWS_HEADERS: Final = vars(Headers([("Name", "value")])) == {"_list": [("Name", "value")]}


def responder(kind: type[Response]) -> PageResponder:
    """How pages become responses of an application whose ``response_class`` is ``kind``."""
    counted = kind.automatically_set_content_length
    if not _KNOWS_HEADERS:
        # Text, unlike a list, is counted by Werkzeug.
        return lambda body, status, headers: _without_default(
            kind(body, status, Headers(headers)), len(headers) + counted
        )
    made: Any = kind
    if kind.get_wsgi_headers is WerkzeugResponse.get_wsgi_headers:
        made = types.new_class(kind.__name__, (_Prepared, kind))
        made.__module__ = kind.__module__

    def respond(body: bytes, status: int, headers: Sequence[tuple[str, str]]) -> Response:
        taken = Headers()
        taken._list = list(headers)
        if counted:
            # As a response of the view's own has it, for those who look at it before it is sent.
            taken._list.append(_length(body))
        known = len(taken._list)
        return _without_default(made([body], status, taken), known)

    return respond


def _length(body: bytes) -> tuple[str, str]:
    return "Content-Length", str(len(body))


def _without_default(response: Response, headers: int) -> Response:
    if len(response.headers) > headers:
        # The default type, which the page did not have.
        del response.headers["Content-Type"]
    return response


class _Prepared:
    def get_wsgi_headers(self: Any, environ: dict[str, Any]) -> Headers:
        """What :class:`werkzeug.wrappers.Response` gives, sooner for what pages are like."""
        written: list[tuple[str, str]] = self.headers._list
        names = {name.lower() for name, _ in written}
        if self._status_code != 200 or not names.isdisjoint(_REWRITTEN):
            given: Headers = super().get_wsgi_headers(environ)  # type: ignore[misc]
            return given
        headers = Headers()
        headers._list = written.copy()
        if (
            "content-length" not in names
            and self.automatically_set_content_length
            and self.is_sequence
        ):
            headers._list.append(("Content-Length", str(sum(map(len, self.iter_encoded())))))
        return headers


_REWRITTEN: Final = frozenset({"location", "content-location"})
