"""What this process has found out about a view's pages, by primary key, in bounded space.

Forgetting any of it costs a round trip or a wait, never a wrong page: what a stored page depends on
is written in the storage, in the page's own key.
"""

from __future__ import annotations

import threading
from typing import Final

from zoocache_core.http.key import Variations

__all__ = ["Learned"]

_LIMIT: Final = 4096


class Learned:
    """The variations of pages, and which pages cannot be stored. Safe to use from many threads.

    ``hint`` is what was learned last: the pages of one view tend to depend on the same things.
    """

    __slots__ = ("_limit", "_lock", "_uncacheable", "_variations", "hint")

    def __init__(self, limit: int = _LIMIT) -> None:
        self.hint: Variations = ()
        self._limit = limit
        self._lock = threading.Lock()
        self._variations: dict[str, Variations] = {}
        self._uncacheable: dict[str, None] = {}

    def variations(self, primary: str) -> Variations | None:
        """What the page depends on beyond its primary key; ``None``: not known."""
        return self._variations.get(primary)

    def learn(self, primary: str, variations: Variations) -> None:
        """Remember what the page depends on."""
        with self._lock:
            if variations:
                self.hint = variations
            self._variations.pop(primary, None)
            self._variations[primary] = variations
            if len(self._variations) > self._limit:
                del self._variations[next(iter(self._variations))]

    def uncacheable(self, primary: str) -> bool:
        """Whether the last response could not be stored.

        Callers then do not wait for each other, since there is nothing to wait for: what Varnish
        calls hit-for-miss.
        """
        return primary in self._uncacheable

    def mark(self, primary: str, uncacheable: bool) -> None:
        """Note whether the response could not be stored."""
        if not uncacheable and primary not in self._uncacheable:
            return
        with self._lock:
            self._uncacheable.pop(primary, None)
            if uncacheable:
                self._uncacheable[primary] = None
                if len(self._uncacheable) > self._limit:
                    del self._uncacheable[next(iter(self._uncacheable))]
