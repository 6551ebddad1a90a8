"""Flask's requests and responses, as the page policy of ``zoocache_core.http`` sees them."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from zoocache_core.encoding import encode
from zoocache_core.http import Answer, PagePolicy, PageResponse
from zoocache_core.http.key import digest, shown_query_of
from zoocache_core.http.reads import ADDRESS, HOST_KEYS, Reads
from zoocache_flask.current import State
from zoocache_flask.sending import responder
from zoocache_flask.visitor import (
    ALL_NAMES,
    LOGGED_IN,
    context,
    current_session,
    identity,
    login_manager,
    told_names,
    watched,
)

__all__ = ["FlaskRequest", "of_babel", "response_to"]


class FlaskRequest:
    """A ``PageRequest``: see there for what each part means."""

    def __init__(
        self,
        policy: PagePolicy,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arguments: Mapping[str, object],
        given: str | None,
    ) -> None:
        self._http = request._get_current_object()  # type: ignore[attr-defined]
        self.environ: dict[str, Any] = self._http.environ
        self._policy = policy
        self._args = args
        self._kwargs = kwargs
        self.arguments = arguments
        self.given = given
        self.method: str = self._http.method
        self._seen: Reads | None = None
        self._refusal: str | None = None
        self._values: Mapping[str, str | None] = {}

    @property
    def scheme(self) -> str:
        scheme: str = self.environ.get("wsgi.url_scheme", "http")
        return scheme

    @property
    def host(self) -> str:
        host: str = self._http.host
        return host

    @property
    def path(self) -> str:
        path: str = self._http.root_path + self._http.path
        return path

    @property
    def query(self) -> str:
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    @property
    def language(self) -> str | None:
        return of_babel("get_locale")

    @property
    def timezone(self) -> str | None:
        return of_babel("get_timezone")

    def header(self, name: str) -> str | None:
        field = _FIELDS.get(name)
        if field is None:
            kind, underscore, rest = name.partition("_")
            if underscore and kind in _INVENTED:
                values = self._values
                return values[name] if name in values else _INVENTED[kind](self, rest)
            field = f"HTTP_{name.upper().replace('-', '_')}"
            if len(_FIELDS) < _MOST_FIELDS:
                _FIELDS[name] = field
        value: str | None = self.environ.get(field)
        return value

    def cookie(self, name: str) -> str | None:
        value: str | None = self._http.cookies.get(name)
        return value

    def user(self) -> str | None:
        manager = login_manager()
        if manager is None:
            # Who is there is then for the session to say.
            return self.session()
        if LOGGED_IN not in vars(g._get_current_object()):
            manager._load_user()
        user = getattr(g, LOGGED_IN)
        return str(user.get_id()) if user.is_authenticated else None

    def session(self) -> str | None:
        session = _used_session()
        if not session:
            return None
        return digest([getattr(session, "sid", None), _identity(dict(session))])

    def attribute(self, of: str, name: str) -> str | None:
        """What identifies what ``flask.g``, the request or its environment has under `name`."""
        if of == "g":
            content: Mapping[str, Any] = vars(g._get_current_object())
            if name == ALL_NAMES:
                return _identity(told_names(content))
        elif of == "request" and name == "query_string":
            shown = shown_query_of(self._policy)
            query = self.query if shown is None else shown(self.query)
            return _identity(query) if query else None
        else:
            content = vars(self._http) if of == "request" else self.environ
        return _identity(content[name]) if name in content else None

    def session_value(self, name: str) -> str | None:
        """The part of the session called `name`."""
        session = _used_session()
        return _identity(session[name]) if name in session else None

    def reads(self) -> Collection[str]:
        if self._seen is None:
            return ()
        if self._policy.per_user is False:
            return {read for read in self._seen if not read.startswith("header:session_")}
        return self._seen

    def key(self) -> str | None:
        if self._policy.key is None:
            return None
        return encode(self._policy.key(*self._args, **self._kwargs))

    def deps(self) -> Iterable[str]:
        deps = self._policy.deps
        return deps(*self._args, **self._kwargs) if callable(deps) else deps

    def status_of(self, error: Exception) -> int:
        return (error.code or 500) if isinstance(error, HTTPException) else 500

    @property
    def _spelled(self) -> bool:
        """Whether pages of equal queries share a key, however the queries are written."""
        return self._policy.sort_query and self._policy.key is None

    # Around the view

    @contextmanager
    def watched(self, shared_globals: Collection[str]) -> Iterator[None]:
        """Watch the view while it runs, and what it leaves for the rest of the request."""
        self._seen = seen = Reads(HOST_KEYS if self._policy.host_in_key else ())
        pushed, session = context(), current_session()
        later, modified = len(pushed._after_request_functions), session.modified
        content = None if not modified else identity(session)
        shown, spelled = shown_query_of(self._policy), self._spelled
        with watched(seen, shared_globals, shown, spelled) as watch:
            self._values = watch.values
            yield
        if len(pushed._after_request_functions) > later:
            self._refusal = "the view left something to do with after_this_request()"
        elif session.modified and (not modified or content != identity(session)):
            self._refusal = "the session was changed"
        else:
            self._refusal = seen.refusal

    def page_response(self, response: Response) -> PageResponse:
        """What the policy has to know of a response."""
        whole = response.is_sequence and not response.direct_passthrough
        return PageResponse(
            response.status_code,
            tuple(response.headers),
            response.get_data() if whole else None,
            self._refusal,
        )


def response_to(answer: Answer[Response], app: Flask, state: State) -> Response:
    """Flask's response for an answer of the policy."""
    live = answer.live
    if live is not None:
        for name, value in answer.headers:
            live.headers[name] = value
        return live
    kind = app.response_class
    respond = state.responders.get(kind)
    if respond is None:
        respond = state.responders[kind] = responder(kind)
    return respond(answer.body, answer.status, answer.headers)


def _address(exchange: FlaskRequest, _: str) -> str:
    environ = exchange.environ
    return f"{environ.get('REMOTE_ADDR', '')} {environ.get('REMOTE_USER', '')}"


_FIELDS: Final = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
"""What WSGI calls header fields, those asked for before."""
_MOST_FIELDS: Final = 1000

_INVENTED: Final[dict[str, Callable[[FlaskRequest, str], str | None]]] = {
    ADDRESS.partition("_")[0]: _address,
    "g": lambda exchange, name: exchange.attribute("g", name),
    "request": lambda exchange, name: exchange.attribute("request", name),
    "environ": lambda exchange, name: exchange.attribute("environ", name),
    "session": FlaskRequest.session_value,
}
"""Things of the request that are no headers, by how their names begin (see ``visitor``)."""


def _used_session() -> Any:
    """The session, for a page that depends on it; so that Flask says ``Vary: Cookie``."""
    session = current_session()
    session.accessed = True
    return session


def _identity(value: object) -> str:
    # What has none is equal to nothing, itself included.
    return identity(value) or secrets.token_hex(16)


def of_babel(name: str) -> str | None:
    """What a function of Flask-Babel returns for this request, if the application uses it."""
    flask_babel = sys.modules.get("flask_babel")
    if flask_babel is None or "babel" not in current_app.extensions:
        return None
    found = getattr(flask_babel, name)()
    return None if found is None else str(found)
