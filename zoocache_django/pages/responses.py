"""Django's responses, as the page policy of ``zoocache_core.http`` sees them, and back again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.utils.functional import LazyObject, empty

from zoocache_core.http import Answer, PageResponse
from zoocache_django.pages.exchange import DjangoRequest

__all__ = ["page_response", "response_to"]


def page_response(request: DjangoRequest, response: HttpResponseBase) -> PageResponse:
    """What the policy has to know of a response that a view has returned and rendered."""
    headers = list(response.items())
    headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
    body = response.content if isinstance(response, HttpResponse) else None
    refusal = _refusal(request, response)
    left = {name: value for name, value in vars(response).items() if name not in _OF_RESPONSES}
    if left and body is not None and refusal is None:
        # For middleware that will see the response: xframe_options_exempt() leaves such a note.
        text = _written(left)
        if text is None:
            refusal = f"the response has attributes that cannot be stored: {', '.join(left)}"
        else:
            headers.append((_ATTRIBUTES, text))
    return PageResponse(response.status_code, tuple(headers), body, refusal)


_ATTRIBUTES: Final = ":attributes"
"""Stored in place of a header, which can have no such name."""

_OF_RESPONSES: Final = frozenset(
    {
        *("_charset", "_closable_objects", "_container", "_content_type_for_repr"),
        *("_handler_class", "_has_been_logged", "_is_rendered", "_iterator", "_is_async"),
        *("_post_render_callbacks", "_reason_phrase", "_request", "_resource_closers"),
        *("accepted_media_type", "accepted_renderer", "as_attachment", "block_size", "closed"),
        *("content_type", "context_data", "cookies", "data", "exception", "file_to_stream"),
        *("filename", "headers", "renderer_context", "status_code", "template_name", "using"),
    }
)
"""Attributes that every response has, or that have done their work once it is rendered."""


def _written(attributes: Mapping[str, object]) -> str | None:
    try:
        text = json.dumps(attributes, sort_keys=True)
    except (TypeError, ValueError):
        return None
    # Text that does not give back the same is no good.
    return text if json.loads(text) == attributes else None


def _refusal(request: DjangoRequest, response: HttpResponseBase) -> str | None:
    """Why Django's own state says that the response belongs to one visitor."""
    http = request.http
    for name in (settings.CSRF_COOKIE_NAME, settings.SESSION_COOKIE_NAME):
        # Whatever the options of the view call harmless.
        if name in response.cookies:
            return f"the response sets the cookie {name!r}"
    if getattr(http, "_body", b"") or (http._read_started and not hasattr(http, "_body")):  # type: ignore[attr-defined]
        return "the view read the content of the request, which is part of no key"
    for name in ("_csp_nonce", "csp_nonce"):
        nonce = vars(http).get(name)
        if isinstance(nonce, LazyObject) and nonce._wrapped is not empty:
            return "the page contains a nonce, which must not be used twice"
    if http.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        return "the page contains a CSRF token"
    session = getattr(http, "session", None)
    if session is not None and session.modified:
        return "the session was changed"
    messages = getattr(http, "_messages", None)
    if messages is not None and (messages.used or messages.added_new):
        return "the page shows or leaves messages for one visitor"
    return None if request.seen is None else request.seen.refusal


def response_to(answer: Answer[HttpResponseBase]) -> HttpResponseBase:
    """Django's response for an answer of the policy."""
    if answer.live is not None:
        for name, value in answer.headers:
            answer.live.headers[name] = value
        return answer.live
    # Any type, for Django would else look up the default one; the page has its own.
    response = HttpResponse(answer.body, "text/html", answer.status)
    response.headers = headers = ResponseHeaders({})
    for name, value in answer.headers:
        lowered = name.lower()
        if lowered == "set-cookie":
            response.cookies.load(value)
        elif name == _ATTRIBUTES:
            vars(response).update(json.loads(value))
        elif _KNOWS_HEADERS and (text := name + value).isascii() and text.isprintable():
            # Django has neither to encode it nor to refuse it.
            headers._store[lowered] = name, value
        else:
            headers[name] = value
    return response


_KNOWS_HEADERS: Final = vars(ResponseHeaders({"Name": "value"})) == {
    "_store": {"name": ("Name", "value")}
}
