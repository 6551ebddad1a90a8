"""Responses of stored pages are sent as Werkzeug sends any."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from zoocache_flask import ZooCache, cache_view
from zoocache_flask.sending import responder

NAMES = [
    *("Content-Type", "Content-Length", "content-length", "ETag", "Set-Cookie", "Location"),
    *("Content-Location", "Content-Encoding", "Last-Modified", "X-Own"),
]
VALUES = ["text/plain", "5", "/päth", "a=1", ""]
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=5)
# A page has no length in its headers: what compresses it may change that.
OF_PAGES = HEADERS.map(lambda some: [each for each in some if each[0].lower() != "content-length"])
ENVIRON = EnvironBuilder(path="/animals/7").get_environ()


def sent(response: Response, method: str) -> tuple[bytes, str, list[tuple[str, str]]]:
    body, status, headers = response.get_wsgi_response({**ENVIRON, "REQUEST_METHOD": method})
    return b"".join(body), status, list(headers)


@given(
    body=st.binary(max_size=8),
    status=st.sampled_from([200, 201, 204, 206, 301, 304, 404]),
    headers=OF_PAGES,
    later=HEADERS,
    method=st.sampled_from(["GET", "HEAD"]),
    counted=st.booleans(),
    made_of=st.sampled_from([None, [b"a", b"b"], ["text"]]),
)
def test_the_same_is_sent(
    body: bytes,
    status: int,
    headers: list[tuple[str, str]],
    later: list[tuple[str, str]],
    method: str,
    counted: bool,
    made_of: list[Any] | None,
) -> None:
    ours = responder(Response)(body, status, headers)
    theirs = Response(body, status, Headers(headers))
    if "content-type" not in {name.lower() for name, _ in headers}:
        del theirs.headers["Content-Type"]
    for response in (ours, theirs):
        # As after_request functions may do.
        for name, value in later:
            response.headers.add(name, value)
        if made_of is not None:
            response.response = iter(made_of) if counted else made_of
        response.automatically_set_content_length = counted
    assert sent(ours, method) == sent(theirs, method)
    assert isinstance(ours, Response)


class Shouting(Response):
    default_mimetype = "text/x-shout"

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["X-Shout"] = "yes"
        return headers


@pytest.mark.parametrize("assigned", ["before", "after"])
def test_an_application_s_own_class_of_responses_has_its_say(assigned: str) -> None:
    app = Flask("shop")
    if assigned == "before":
        app.response_class = Shouting
    cache = ZooCache(app)
    kinds: list[type] = []

    @app.after_request
    def look(response: Response) -> Response:
        kinds.append(type(response))
        return response

    @app.get("/")
    @cache_view
    def page() -> str:
        return "text"

    client = app.test_client()
    if assigned == "after":
        client.get("/")
        cache.engine_of(app).clear()
        app.response_class = Shouting
    for outcome in ("MISS", "HIT"):
        response = client.get("/")
        assert response.headers["X-Cache"] == outcome
        assert response.headers["X-Shout"] == "yes"
        assert response.content_type.startswith("text/x-shout")
    assert all(issubclass(kind, Shouting) for kind in kinds[-2:])
    cache.close(app)
