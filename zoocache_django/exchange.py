"""Django's requests and responses, as the page policy of ``zoocache_core.http`` sees them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import HttpHeaders
from django.http.response import HttpResponseBase, ResponseHeaders
from django.utils import timezone, translation

from zoocache_core.encoding import encode
from zoocache_core.http import Answer, PagePolicy, PageResponse
from zoocache_core.http.key import digest
from zoocache_django.tags import as_deps
from zoocache_django.visitor import ADDRESS, Reads, evaluated

__all__ = ["DjangoRequest", "Unresolved", "page_response", "response_to"]


class Unresolved(Exception):  # noqa: N818 - not an error: it asks for something
    """The key of an asynchronous view needs the user or the session, which takes a query."""


class DjangoRequest:
    """A ``PageRequest``: see there for what each part means."""

    def __init__(
        self,
        request: HttpRequest,
        policy: PagePolicy,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arguments: Mapping[str, object],
        resolved: bool = True,
    ) -> None:
        # A method of a DRF view is given a wrapper, which has authenticated already and hides how.
        self.http: HttpRequest = getattr(request, "_request", request)
        self.arguments = arguments
        self.seen = Reads(policy.include_host)
        self.resolved = resolved
        self.request = request
        self._policy = policy
        self._args = args
        self._kwargs = kwargs
        if self.http is not request:
            self.seen.update(("user", "header:authorization", "header:accept"))

    def detach(self) -> None:
        """Go on with a copy of the request, while the original is answered."""
        wrapped = self.http is not self.request
        self.http = copy(self.http)
        if wrapped:
            request: Any = copy(self.request)
            request._request = self.http
            self.request = request
        else:
            self.request = self.http

    @property
    def method(self) -> str:
        return self.http.method or ""

    @property
    def scheme(self) -> str:
        return self.http.scheme or ""

    @property
    def host(self) -> str:
        return self.http.get_host()

    @property
    def path(self) -> str:
        return self.http.path

    @property
    def query(self) -> str:
        text: str = self.http.META.get("QUERY_STRING", "")
        return text

    @property
    def language(self) -> str | None:
        return translation.get_language() if settings.USE_I18N else None

    @property
    def timezone(self) -> str | None:
        return timezone.get_current_timezone_name() if settings.USE_TZ else None

    def header(self, name: str) -> str | None:
        environ = self.http.META
        if name == ADDRESS:
            return f"{environ.get('REMOTE_ADDR', '')} {environ.get('REMOTE_USER', '')}"
        value: str | None = environ.get(_environ_name(name))
        return value

    def cookie(self, name: str) -> str | None:
        return self.http.COOKIES.get(name)

    def user(self) -> str | None:
        user = getattr(self.request, "user", None)
        if user is None:
            return None
        self._must_be_resolved()
        with self._unnoticed():
            user = evaluated(user)
            if not user.is_authenticated:
                return None
            return str(user.pk) if user.pk is not None else f"name:{user.get_username()}"

    def session(self) -> str | None:
        session = getattr(self.http, "session", None)
        if session is None or session.is_empty():
            return None
        self._must_be_resolved()
        with self._unnoticed():
            serialized = session.serializer().dumps(dict(session.items()))
        return digest([session.session_key, serialized.decode("latin-1")])

    def resolve(self) -> None:
        """Find out who the visitor is, with queries if need be."""
        self.resolved = True
        self.user()
        self.session()

    @contextmanager
    def _unnoticed(self) -> Iterator[None]:
        """Look into the session without making Django send ``Vary: Cookie``: the policy does that,
        for pages that depend on it."""
        session = getattr(self.http, "session", None)
        accessed = getattr(session, "accessed", False)
        try:
            yield
        finally:
            if session is not None:
                session.accessed = accessed

    def _must_be_resolved(self) -> None:
        if not self.resolved:
            raise Unresolved

    def reads(self) -> Collection[str]:
        return self.seen

    def key(self) -> str | None:
        if self._policy.key is None:
            return None
        return encode(self._policy.key(self.request, *self._args, **self._kwargs))

    def deps(self) -> Iterable[str]:
        deps = self._policy.deps
        return as_deps(deps(self.request, *self._args, **self._kwargs) if callable(deps) else deps)

    def status_of(self, error: Exception) -> int:
        for kind, status in _STATUSES:
            if isinstance(error, kind):
                return status
        # Those of DRF, which makes responses of them.
        own = getattr(error, "status_code", None)
        return own if isinstance(own, int) else 500


# Half a dozen are looked for in each request, always the same ones.
_environ_name: Final = lru_cache(maxsize=256)(HttpHeaders.to_wsgi_name)

_STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (SuspiciousOperation, 400),
    (BadRequest, 400),
    (Unresolved, 400),
)


def page_response(request: DjangoRequest, response: HttpResponseBase) -> PageResponse:
    """What the policy has to know of a response that a view has returned and rendered."""
    headers = [(name, value) for name, value in response.items() if name.lower() != "set-cookie"]
    headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
    body = response.content if isinstance(response, HttpResponse) else None
    return PageResponse(response.status_code, tuple(headers), body, _refusal(request))


def _refusal(request: DjangoRequest) -> str | None:
    """Why Django's own state says that the response belongs to one visitor."""
    http = request.http
    if http.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        return "the page contains a CSRF token"
    session = getattr(http, "session", None)
    if session is not None and session.modified:
        return "the session was changed"
    messages = getattr(http, "_messages", None)
    if messages is not None and (messages.used or messages.added_new):
        return "the page shows or leaves messages for one visitor"
    return request.seen.refusal


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
        elif _KNOWS_HEADERS and (text := name + value).isascii() and text.isprintable():
            # Django has neither to encode it nor to refuse it.
            headers._store[lowered] = name, value
        else:
            headers[name] = value
    return response


_KNOWS_HEADERS: Final = vars(ResponseHeaders({"Name": "value"})) == {
    "_store": {"name": ("Name", "value")}
}
