"""Whatever a view may look at: each visitor is answered as if there were no cache."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask import Flask, g, jsonify, render_template_string, request, session, url_for
from flask.globals import app_ctx, request_ctx
from flask.testing import FlaskClient

from tests.flask.conftest import MakeApp
from zoocache_flask import cache_view

Looks = dict[str, Callable[[], Any]]

HEADERS: Looks = {
    name: lambda name=name: request.headers.get(name)
    for name in (
        *("X-Kind", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
        *("X-Real-Ip", "Origin", "Cookie", "Dnt", "Sec-Fetch-Mode", "Content-Type", "X_Kind"),
    )
}
OF_THE_REQUEST: Looks = {
    **{
        name: lambda name=name: repr(getattr(request, name))
        for name in (
            *("accept_languages", "accept_charsets", "accept_encodings", "accept_mimetypes"),
            *("access_route", "authorization", "base_url", "cache_control", "content_type"),
            *("date", "full_path", "host", "host_url", "is_json", "is_secure"),
            *("max_forwards", "mimetype", "mimetype_params", "origin", "pragma", "query_string"),
            *("referrer", "remote_addr", "remote_user", "root_path", "root_url", "scheme"),
            *("script_root", "server", "url", "url_root", "user_agent", "view_args"),
            *("access_control_request_headers", "access_control_request_method", "want_form_data"),
        )
        if hasattr(flask.Request, name) or name in ("query_string", "server", "scheme")
    },
    "args": lambda: sorted(request.args.items(multi=True)),
    "values": lambda: sorted(request.values.items(multi=True)),
    "all cookies": lambda: sorted(request.cookies.items()),
    "all headers": lambda: dict(request.headers),
    "a copy of the environment": lambda: (
        json.dumps({**request.environ}, default=str)[:0]
        + str(dict(request.environ).get("HTTP_X_KIND"))
    ),
    "the environment's values": lambda: "new" in request.environ.values(),
    "one of the environment": lambda: request.environ.get("SSL_CLIENT_S_DN"),
    "another of the environment": lambda: request.environ.get("REMOTE_PORT"),
    "the address as it was written": lambda: request.environ.get("REQUEST_URI"),
    "the address as gunicorn has it": lambda: request.environ.get("RAW_URI"),
    "the scheme of WSGI": lambda: request.environ["wsgi.url_scheme"],
    "what middleware has left": lambda: request.environ.get("tenant"),
    "an attribute": lambda: getattr(request, "customer", None),
    "an external address": lambda: url_for("view", _external=True),
    "the request through its context": lambda: request_ctx.request.headers.get("X-Kind"),
    "a template": lambda: render_template_string("{{ request.headers['X-Kind'] }}"),
}
OF_THE_SESSION: Looks = {
    "a key": lambda: session.get("name"),
    "a key that is asked for": lambda: "name" in session,
    "its length": lambda: len(session),
    "whether there is one": lambda: bool(session),
    "its keys": lambda: sorted(session),
    "its items": lambda: sorted(session.items()),
    "permanent": lambda: session.permanent,
    "as JSON": lambda: jsonify(dict(session)).get_data(as_text=True),
    "the session through its context": lambda: request_ctx.session.get("name"),
    "the session in a template": lambda: render_template_string("{{ session.name }}"),
    "all of it in a template": lambda: render_template_string("{{ session }}"),
}
OF_G: Looks = {
    "g": lambda: g.get("name"),
    "an attribute of g": lambda: g.name,
    "whether g has it": lambda: "extra" in g,
    "what is in g": lambda: sorted(name for name in g if name == "extra"),
    "taken from g": lambda: g.pop("name"),
    "g through its context": lambda: app_ctx.g.name,
    "g in a template": lambda: render_template_string("{{ g.name }}"),
}
LOOKS: Looks = {**HEADERS, **OF_THE_REQUEST, **OF_THE_SESSION, **OF_G}

PLAIN: dict[str, Any] = {"path": "/"}
DIFFERENCES: dict[str, dict[str, Any]] = {
    "nothing": {},
    **{
        f"the header {name}": {"headers": {name: "new"}}
        for name in HEADERS
        if name not in ("Cookie", "X_Kind")
    },
    "a header with an underscore": {"environ_overrides": {"HTTP_X_KIND": "new"}},
    "Accept-Language": {"headers": {"Accept-Language": "de"}},
    "Accept-Charset": {"headers": {"Accept-Charset": "utf-8"}},
    "Accept-Encoding": {"headers": {"Accept-Encoding": "gzip"}},
    "Accept": {"headers": {"Accept": "text/html"}},
    "Authorization": {"headers": {"Authorization": "Basic YTpi"}},
    "Cache-Control": {"headers": {"Cache-Control": "max-stale=5"}},
    "Pragma": {"headers": {"Pragma": "x"}},
    "Date": {"headers": {"Date": "Mon, 02 Mar 2026 10:00:00 GMT"}},
    "Max-Forwards": {"headers": {"Max-Forwards": "3"}},
    "Referer": {"headers": {"Referer": "http://a.test/"}},
    "User-Agent": {"headers": {"User-Agent": "new"}},
    "preflight": {
        "headers": {
            "Access-Control-Request-Headers": "x-own",
            "Access-Control-Request-Method": "PUT",
        }
    },
    "a cookie": {"headers": {"Cookie": "theme=dark"}},
    "the address": {"environ_overrides": {"REMOTE_ADDR": "10.0.0.9"}},
    "the port": {"environ_overrides": {"REMOTE_PORT": "999"}},
    "the name that the server knows": {"environ_overrides": {"REMOTE_USER": "ann"}},
    "a certificate": {"environ_overrides": {"SSL_CLIENT_S_DN": "CN=ann"}},
    "a tenant": {"environ_overrides": {"tenant": "ann"}},
    "the host": {"base_url": "http://other.test"},
    "the scheme": {"base_url": "https://localhost"},
    "the place of mounting": {"base_url": "http://localhost/mounted"},
    "a parameter": {"path": "/?a=1"},
    "another parameter": {"path": "/?b=1"},
    "two parameters": {"path": "/?a=1&b=2"},
    "in another order": {"path": "/?b=2&a=1"},
    "written in another way": {"path": "/?a=%31&b=2"},
    "the address as it came": {
        "environ_overrides": {"REQUEST_URI": "/?utm=ann", "RAW_URI": "/?utm=ann"},
        "path": "/?utm=ann",
    },
    "the session": {"session": {"name": "ann"}},
    "another session": {"session": {"cart": [1]}},
    "a session that stays": {"session": {"name": "bob", "_permanent": True}},
}

OPTIONS: dict[str, dict[str, Any]] = {
    "by itself": {},
    "no host": {"include_host": False},
    "some of the query": {"ignore_query": ["utm"]},
    "none of the query": {"query": "none"},
    "a key of its own": {"key": lambda: "everything"},
}


def prepare(app: Flask) -> None:
    """What an application leaves for its views, from what it knows of the visitor."""

    @app.before_request
    def leave() -> None:
        g.name = session.get("name") or request.headers.get("X-Kind")
        if "extra" in request.args or "cart" in session:
            g.extra = True
        request.customer = request.headers.get("X-Kind")  # type: ignore[attr-defined]


def serve(app: Flask, look: Callable[[], Any], cached: dict[str, Any] | None) -> FlaskClient:
    prepare(app)

    def view() -> str:
        return repr(look())

    app.add_url_rule("/", "view", view if cached is None else cache_view(**cached)(view))
    return app.test_client(use_cookies=False)


_cookies: dict[str, str] = {}


def cookie_of(app: Flask, values: dict[str, Any]) -> str:
    """The same each time, though it contains when it was signed."""
    signer: Any = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return _cookies.setdefault(str(values), f"session={signer.dumps(values)}")


def answer(app: Flask, client: FlaskClient, difference: dict[str, Any], **changed: str) -> str:
    sent = {**PLAIN, **difference, **changed}
    headers = dict(sent.pop("headers", {}))
    if "session" in sent:
        headers["Cookie"] = cookie_of(app, sent.pop("session"))
    response = client.get(sent.pop("path"), headers=headers, **sent)
    assert response.status_code == 200
    return response.get_data(as_text=True)


CASES = [
    (name, options)
    for name, options in itertools.product(LOOKS, OPTIONS)
    # What the other options leave out of the key is in the request.
    if options == "by itself" or name in OF_THE_REQUEST
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_visitor_is_answered_as_without_a_cache(
    make_app: MakeApp, name: str, options: str
) -> None:
    cached_app, plain_app = make_app(), Flask("plain")
    plain_app.config.update(SECRET_KEY=cached_app.config["SECRET_KEY"], TESTING=True)
    cached = serve(cached_app, LOOKS[name], OPTIONS[options])
    plain = serve(plain_app, LOOKS[name], None)
    right: dict[str, set[str]] = {}
    for difference, sent in DIFFERENCES.items():
        if options == "a key of its own" and ("path" in sent or "mounted" in str(sent)):
            # The key says that these do not count.
            continue
        right[difference] = {answer(plain_app, plain, sent)}
        if sent.get("path") in SHOWN_AS.get(options, {}):
            # The view is shown only what counts of the query string.
            right[difference].add(answer(plain_app, plain, sent, path="/"))
    for difference in (*right, *reversed(right)):
        assert answer(cached_app, cached, DIFFERENCES[difference]) in right[difference], difference
    assert cached.get("/").headers["X-Cache"] == ("BYPASS" if name in NEVER_CACHED else "HIT")


NEVER_CACHED = ("all headers", "a copy of the environment", "the environment's values")


SHOWN_AS = {
    "some of the query": {"/?utm=ann"},
    "none of the query": {
        *("/?utm=ann", "/?a=1", "/?b=1", "/?a=1&b=2", "/?b=2&a=1", "/?a=%31&b=2"),
    },
}
