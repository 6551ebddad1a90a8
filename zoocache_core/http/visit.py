"""The two objects that the flow of a request passes around: the view's, and the request's own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from zoocache_core.http.key import (
    Variations,
    named_variations,
    primary_key_of,
    relevant_query_of,
    variant_key,
)
from zoocache_core.http.learned import Learned
from zoocache_core.http.message import Answer, PageOutcome, PageRequest, PageResponse
from zoocache_core.http.policy import PagePolicy
from zoocache_core.http.record import Page, answer
from zoocache_core.http.tags import page_url_tag, view_tag

if TYPE_CHECKING:
    from zoocache_core.engine import Engine

__all__ = ["CachedView", "Looked", "Visit"]


class CachedView:
    """What is worked out once, when a view is decorated, and what is learned of its pages.

    `random` gives a float from 0 up to 1, for the jitter.
    """

    __slots__ = (
        "_relevant_query",
        "learned",
        "name",
        "named",
        "policy",
        "primary_key",
        "random",
        "tag",
    )

    def __init__(self, name: str, policy: PagePolicy, random: Callable[[], float]) -> None:
        self.name = name
        self.policy = policy
        self.random = random
        self.named = named_variations(policy)
        self.primary_key = primary_key_of(name, policy)
        self.tag = view_tag(name)
        self.learned = Learned()
        self._relevant_query = relevant_query_of(policy)

    def url_tag(self, request: PageRequest) -> str:
        """The tag of the page at this URL, query included as far as it matters."""
        query = request.query
        return page_url_tag(request.path, self._relevant_query(query) if query else "")

    def beyond_named(self, found: Collection[str]) -> set[str]:
        """Those variations that the policy does not name, so that no primary key has them."""
        return set(found).difference(self.named)


class Looked(NamedTuple):
    """What came of a look at the storage that did not give a page to show."""

    key: str
    landed: int
    """How many flights had landed before."""
    value: Any
    """What was found, or ``None``."""


class Visit:
    """One request on its way through the cache.

    `view` runs the framework's view, or is a coroutine function where `blocking` is false; `read`
    describes what it returned; `background` has a page made anew later, if the adapter can.
    """

    __slots__ = (
        "background",
        "blocking",
        "cached_view",
        "engine",
        "error",
        "key",
        "known",
        "looked",
        "page",
        "primary",
        "read",
        "refusal",
        "request",
        "response",
        "stale",
        "stale_key",
        "status",
        "variations",
        "view",
    )

    def __init__(
        self,
        cached_view: CachedView,
        engine: Engine,
        request: PageRequest,
        view: Callable[[], Any],
        read: Callable[[Any], PageResponse],
        background: Callable[[Any], object] | None,
        blocking: bool,
    ) -> None:
        self.cached_view = cached_view
        self.engine = engine
        self.request = request
        self.view = view
        self.read = read
        self.background = background
        self.blocking = blocking
        self.primary = self.key = ""
        self.variations: Variations = ()
        self.looked: Looked | None = None
        # Whether `variations` is knowledge, and not a guess from the view's other pages.
        self.known = False
        # An expired page that may still be shown if making it anew fails, and where it is stored.
        self.stale: Page | None = None
        self.stale_key = ""
        # What came of running the view, if it was run for this request.
        self.response: Any = None
        self.status = 0
        self.page: Page | None = None
        self.refusal: str | None = None
        self.error: Exception | None = None

    def aim(self, variations: Variations, known: bool) -> None:
        """Look for the page that is kept apart by `variations`."""
        self.variations = variations
        self.known = known
        self.key = variant_key(self.primary, variations, self.request)

    def show(self, page: Page, outcome: PageOutcome, live: Any = None) -> Answer[Any]:
        """What to send for `page`; `live` is the view's own response if it has just run."""
        return answer(page, self.request, self.cached_view.policy, self.now(), outcome, live)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.engine.settings.clock.time()
