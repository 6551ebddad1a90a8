"""Django's requests, as the page policy of ``zoocache_core.http`` sees them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.request import HttpHeaders
from django.utils import timezone, translation
from django.utils.functional import LazyObject, SimpleLazyObject

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode
from zoocache_core.http import PagePolicy
from zoocache_core.http.key import digest
from zoocache_core.http.reads import ADDRESS, HOST_KEYS, Reads
from zoocache_core.missing import MISSING
from zoocache_django.pages.arrivals import read_since_arrival
from zoocache_django.pages.bound import Given
from zoocache_django.pages.identities import Unresolved, evaluated, identify
from zoocache_django.pages.observed import brought, watched
from zoocache_django.pages.visitor import user_text
from zoocache_django.tags import as_deps

__all__ = ["DjangoRequest", "Unresolved"]


class DjangoRequest:
    """A ``PageRequest``: see there for what each part means."""

    def __init__(
        self,
        request: HttpRequest,
        policy: PagePolicy,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arguments: Mapping[str, object],
        given: Given | None = None,
        resolved: bool = True,
    ) -> None:
        # A method of a DRF view is given a wrapper, which has authenticated already and hides how.
        self.http: HttpRequest = getattr(request, "_request", request)
        self.arguments = arguments
        self.seen: Reads | None = None
        self.resolved = resolved
        self.request = request
        self._given = given
        self._given_tags: frozenset[str] = frozenset()
        self._policy = policy
        self._args = args
        self._kwargs = kwargs
        self._values: dict[str, Any] = {}
        # Who it was when the view began: the view may put another one there.
        self._user: Any = None
        if self.http is request:
            self._user = getattr(request, "user", None)

    def detach(self) -> None:
        """Go on with a copy of the request, while the original is answered."""
        wrapped = self.http is not self.request
        self.http = copy(self.http)
        session: Any = getattr(self.http, "session", None)
        if session is not None:
            self.http.session = copy(session)
        user: Any = getattr(self.http, "user", None)
        if isinstance(user, LazyObject):
            self.http.user = SimpleLazyObject(lambda: evaluated(user))  # type: ignore[assignment]
        if wrapped:
            request: Any = copy(self.request)
            request._request = self.http
            self.request = request
        else:
            self.request = self.http
            self._user = user

    @contextmanager
    def watched(self, shown_query: Callable[[str], str] | None) -> Iterator[None]:
        """Watch the view while it runs, and show it only that part of the query."""
        seen = self.seen = Reads(_keyed(self.http.META, self._policy))
        wrapper = None if self.http is self.request else self.request
        if wrapper is not None:
            seen.update(("user", "header:authorization", "header:accept"))
            self._values["user"] = self.user()
        with watched(self.http, seen, wrapper, shown_query) as watch:
            self._values = watch.values = {**self._values, **watch.values}
            yield

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

    @property
    def given(self) -> str | None:
        if self._given is None:
            return None
        text, self._given_tags = self._given(self.resolved)
        return text

    def header(self, name: str) -> str | None:
        environ = self.http.META
        if "_" not in name:
            value: str | None = environ.get(_environ_name(name))
            return value
        if name == ADDRESS:
            return f"{environ.get('REMOTE_ADDR', '')} {environ.get('REMOTE_USER', '')}"
        if name in self._values:
            told: str | None = self._values[name]
            return told
        kind, _, rest = name.partition("_")
        found = self._content(kind).get(rest, MISSING)
        return None if found is MISSING else self._text(found)

    def _content(self, kind: str) -> Mapping[str, Any]:
        if kind == "environ":
            return self.http.META
        if kind == "scope":
            return getattr(self.http, "scope", {})
        return {**vars(self.http), **vars(self.request)}

    def _text(self, value: object) -> str:
        try:
            return identify(value, self.resolved)[0]
        except UnsupportedValue:
            # What has none is equal to nothing, itself included.
            return secrets.token_hex(16)

    def cookie(self, name: str) -> str | None:
        return self.http.COOKIES.get(name)

    def user(self) -> str | None:
        if "user" in self._values:
            told: str | None = self._values["user"]
            return told
        if self.http is not self.request:
            self._user = getattr(self.request, "user", None)
        if self._user is None:
            return None
        self._must_be_resolved()
        with self._unnoticed():
            try:
                text = user_text(evaluated(self._user))
            except UnsupportedValue:
                return secrets.token_hex(16)
        # What a user may see can depend on how they have proved who they are.
        proof = vars(self.request).get("_auth")
        return text if proof is None else digest([text, self._text(proof)])

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
        for name in brought(vars(self.http)):
            evaluated(getattr(self.http, name))
        if self._given is not None:
            with suppress(UnsupportedValue):
                self._given(True)

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
        return () if self.seen is None else self.seen

    def key(self) -> str | None:
        if self._policy.key is None:
            return None
        return encode(self._policy.key(self.request, *self._args, **self._kwargs))

    def deps(self) -> Iterable[str]:
        deps = self._policy.deps
        named = deps(self.request, *self._args, **self._kwargs) if callable(deps) else deps
        if self._given_tags:
            read_since_arrival(self.http)
        return [*as_deps(named), *self._given_tags]

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


def _keyed(environ: Mapping[str, Any], policy: PagePolicy) -> frozenset[str]:
    """The keys of the environment that the key of this request's page says all about."""
    keyed: set[str] = set()
    if policy.host_in_key:
        forwarded = settings.USE_X_FORWARDED_HOST and "HTTP_X_FORWARDED_HOST" in environ
        # Only what Django takes the host from was checked against ALLOWED_HOSTS.
        keyed.update(("HTTP_X_FORWARDED_HOST",) if forwarded else HOST_KEYS)
        if settings.USE_X_FORWARDED_HOST:
            keyed.add("HTTP_X_FORWARDED_HOST")
        if settings.SECURE_PROXY_SSL_HEADER:
            name, secure = settings.SECURE_PROXY_SSL_HEADER
            if environ.get(name) in (None, "http", secure):
                keyed.add(name)
    if policy.key or policy.query != "all" or policy.ignore_query or not policy.sort_query:
        # The whole text is in the key, or it was said what of it counts.
        keyed.add("QUERY_STRING")
    return frozenset(keyed)
