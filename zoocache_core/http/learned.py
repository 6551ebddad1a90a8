"""What this process has found out about a view's pages, by primary key, in bounded space.

Forgetting any of it costs a round trip or a wait, never a wrong page: what a stored page depends on
is written in the storage, in the page's own key. So there is no lock (which a fork could leave
held): each step is one operation on a dict, and what two threads overwrite of each other is lost.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from zoocache_core.http.key import Variations

__all__ = ["Learned"]

T = TypeVar("T")

_LIMIT: Final = 4096


class _Remembered(Generic[T]):
    """Up to ``limit`` things by key, of which the older half is forgotten at once."""

    __slots__ = ("_half", "_newer", "_older")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._newer: dict[str, T] = {}
        self._older: dict[str, T] = {}

    def get(self, key: str) -> T | None:
        found = self._newer.get(key)
        return self._older.get(key) if found is None else found

    def put(self, key: str, thing: T) -> None:
        self._newer[key] = thing
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}

    def drop(self, key: str) -> None:
        self._newer.pop(key, None)
        self._older.pop(key, None)


class Learned:
    """The variations of pages, and which pages cannot be stored.

    ``hint`` is what was learned last: the pages of one view tend to depend on the same things.
    """

    __slots__ = ("_uncacheable", "_variations", "hint")

    def __init__(self, limit: int = _LIMIT) -> None:
        self.hint: Variations = ()
        self._variations = _Remembered[Variations](limit)
        self._uncacheable = _Remembered[bool](limit)

    def variations(self, primary: str) -> Variations | None:
        """What the page depends on beyond its primary key; ``None``: not known."""
        return self._variations.get(primary)

    def learn(self, primary: str, variations: Variations) -> None:
        """Remember what the page depends on."""
        if variations:
            self.hint = variations
        self._variations.put(primary, variations)

    def uncacheable(self, primary: str) -> bool:
        """Whether the last response could not be stored.

        Callers then do not wait for each other, since there is nothing to wait for: what Varnish
        calls hit-for-miss.
        """
        return self._uncacheable.get(primary) is not None

    def mark(self, primary: str, uncacheable: bool) -> None:
        """Note whether the response could not be stored."""
        if uncacheable:
            self._uncacheable.put(primary, True)
        else:
            self._uncacheable.drop(primary)
