"""A framework as small as can be, for tests of the HTTP policy: visitors, responses, a site."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zoocache_core import Engine
from zoocache_core.http import Answer, PageCache, PagePolicy, PageResponse
from zoocache_core.testing import ManualClock

Headers = tuple[tuple[str, str], ...]


class Forbidden(Exception):
    """A framework's way of answering 403."""


@dataclass
class Visitor:
    """A request, in the shape of `PageRequest`. A view reads personal things through `ask`."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    user_id: str | None = None
    session_state: str | None = None
    scheme: str = "https"
    host: str = "shop.example"
    language: str | None = None
    timezone: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    given: str | None = None
    own_key: str | None = None
    tags: Iterable[str] = ()
    seen: set[str] = field(default_factory=set)

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def cookie(self, name: str) -> str | None:
        return self.cookies.get(name)

    def user(self) -> str | None:
        return self.user_id

    def session(self) -> str | None:
        return self.session_state

    def reads(self) -> set[str]:
        return self.seen

    def key(self) -> str | None:
        return self.own_key

    def deps(self) -> Iterable[str]:
        return self.tags

    def status_of(self, error: Exception) -> int:
        return 403 if isinstance(error, Forbidden) else 500

    def ask(self, what: str) -> str | None:
        """What the view is told, and noted to have read."""
        self.seen.add(what)
        kind, _, name = what.partition(":")
        table: dict[str, Callable[[], str | None]] = {
            "user": self.user,
            "session": self.session,
            "header": lambda: self.header(name),
            "cookie": lambda: self.cookie(name),
        }
        return table[kind]()

    def again(self, **changes: Any) -> Visitor:
        """The same visitor's next request."""
        return replace(self, seen=set(), **changes)


@dataclass(frozen=True)
class Sent:
    """A view's response."""

    body: bytes | None = b"page"
    headers: Headers = ()
    status: int = 200
    refusal: str | None = None


def read(sent: Sent) -> PageResponse:
    return PageResponse(sent.status, sent.headers, sent.body, sent.refusal)


View = Callable[[Visitor], Sent]


@dataclass(frozen=True)
class Received:
    """What the visitor's browser gets."""

    status: int
    headers: Headers
    body: bytes | None
    made: bool
    """Whether the view ran for this request."""

    def __getitem__(self, name: str) -> str:
        """The one value of a header."""
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values}"
        return values[0]

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.headers if field.lower() == name.lower()]

    @property
    def outcome(self) -> str:
        return self["x-cache"]


def delivered(answer: Answer[Sent], made: bool) -> Received:
    """What an adapter makes of an answer."""
    if answer.live is None:
        return Received(answer.status, answer.headers, answer.body, made)
    replaced = {name.lower() for name, _ in answer.headers}
    kept = tuple(pair for pair in answer.live.headers if pair[0].lower() not in replaced)
    return Received(answer.live.status, (*kept, *answer.headers), answer.live.body, made)


class Site:
    """One process that serves one view. ``another_process()`` shares the storage and nothing else.

    The engine lives in this process's memory, so what is shared is the store, and what is not is
    everything that a `PageCache` remembers.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        clock: ManualClock | None = None,
        asynchronous: bool = False,
        name: str = "shop.views.product",
        **options: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        self.engine = engine or Engine(clock=self.clock)
        self.asynchronous = asynchronous
        self.options = options
        self.name = name
        self.background: Callable[[Callable[[], Any]], object] | None = None
        self.random: Callable[[], float] = lambda: 0.0
        self.pages = PageCache(
            name, PagePolicy.of(**options), lambda: self.engine, lambda: self.random()
        )

    def another_process(self, **changes: Any) -> Site:
        options = {**self.options, **changes}
        return Site(self.engine, self.clock, self.asynchronous, self.name, **options)

    def get(self, view: View, visitor: Visitor | None = None, **request: Any) -> Received:
        visitor = (visitor or Visitor()).again(**request)
        made = []

        def run() -> Sent:
            made.append(True)
            return view(visitor)

        async def arun() -> Sent:
            return run()

        if self.asynchronous:
            answer = asyncio.run(self.pages.respond_async(visitor, arun, read, self.background))
        else:
            answer = self.pages.respond(visitor, run, read, self.background)
        assert len(made) <= 1, "a view runs once for one request"
        return delivered(answer, bool(made))


def says(body: str, *headers: tuple[str, str], status: int = 200) -> View:
    """A view that always answers the same."""
    return lambda visitor: Sent(body.encode(), headers, status)
