"""What the policy knows of a framework's request and response, and what it answers.

An adapter writes one small class with the shape of :class:`PageRequest`, turns the framework's
response into a :class:`PageResponse`, and an :class:`Answer` back into the framework's response.
Everything between these three is decided here, once, for every framework.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

__all__ = ["Answer", "Headers", "PageOutcome", "PageRequest", "PageResponse"]

R = TypeVar("R")

Headers = tuple[tuple[str, str], ...]
"""Names and values in order; a name may occur more than once."""

PageOutcome = Literal["HIT", "MISS", "STALE", "BYPASS"]


class PageRequest(Protocol):
    """One request, and what its view has read of it.

    Nothing here is asked for unless it is needed: `user` and `session` cost many applications a
    database query, so they are methods, called only for pages known to depend on them.
    """

    @property
    def method(self) -> str:
        """The method in upper case."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def host(self) -> str:
        """Host and port as *validated* by the framework, not the raw ``Host`` header."""

    @property
    def path(self) -> str:
        """The whole decoded path, below which the application is mounted included."""

    @property
    def query(self) -> str:
        """The raw query string, still percent-encoded, without the question mark."""

    @property
    def language(self) -> str | None:
        """The active language, or ``None`` if the application is not translated."""

    @property
    def timezone(self) -> str | None:
        """The name of the active time zone, or ``None`` if the application has only one."""

    @property
    def arguments(self) -> Mapping[str, object]:
        """The view's arguments by parameter name, as the URL rule gave them."""

    @property
    def given(self) -> str | None:
        """What else the view was given before it ran and may show: the variables that it closes
        over, the state of the object whose method it is. ``None`` if there is nothing.

        Raises:
            UnsupportedValue: something of it cannot be part of a key.
        """

    def header(self, name: str) -> str | None:
        """The value of the header field `name` (lower case); ``None`` if absent, which differs from
        the empty string. Several lines of one field are joined by commas.

        An adapter may give other things about the request a name with an underscore that it notes
        in :meth:`reads` and answers here (``remote_addr``). To other caches such pages are private.
        """

    def cookie(self, name: str) -> str | None:
        """The value of the cookie `name`, or ``None``."""

    def user(self) -> str | None:
        """What identifies the user, or ``None`` for an anonymous visitor."""

    def session(self) -> str | None:
        """What identifies the *state* of the session, or ``None`` if there is no session. It has to
        change whenever the content does: two carts under one session key are two states."""

    def reads(self) -> Collection[str]:
        """What the view has read of the visitor since it started: any of ``"user"``, ``"session"``,
        ``"header:<name>"``, ``"cookie:<name>"``. What asking for the key reads does not count."""

    def key(self) -> str | None:
        """What the policy's ``key=`` says identifies the page, in place of host, path and query."""

    def deps(self) -> Iterable[str]:
        """The tags that the policy's ``deps=`` declares for this request."""

    def status_of(self, error: Exception) -> int:
        """The status that the framework answers when a view raises `error` (500 by default)."""


@dataclass(frozen=True, slots=True)
class PageResponse:
    """What a view returned, with its rendering done.

    `headers` include one ``Set-Cookie`` field per cookie. `body` is ``None`` where it is not known
    as a whole: streams, files handed to the server. `refusal` is a reason of the framework's own
    why this response belongs to one visitor only (a CSRF token in it, a modified session).
    """

    status: int
    headers: Headers
    body: bytes | None
    refusal: str | None = None


@dataclass(slots=True)
class Answer(Generic[R]):
    """What to send.

    With `live`, send the view's own response after setting `headers` on it, each one in place of
    any of the same name; `status` and `body` say nothing then. Without, build a response of
    `status`, `headers` and `body`.
    """

    outcome: PageOutcome
    status: int
    headers: Headers
    body: bytes = b""
    live: R | None = None
