"""What the engine asks of a storage.

A storage keeps entries by key and knows nothing of validity: it returns what it has, unless it has
expired, and the engine judges it. Two duties come with being shared with other processes:

- ``get`` and ``get_many`` bring the trie up to date *in the same round trip* when the storage's own
  server is the authority for invalidations (see ``sequence``).
- values are encoded by ``freeze`` and decoded by the entry's ``thaw``, never kept by reference.

Failures: a storage that cannot be reached raises :class:`StorageUnavailable`, promptly (bounded
timeouts, and no new attempt while it is known to be down). The engine then computes uncached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from zoocache_core.errors import ZooCacheError

__all__ = ["Entry", "Frozen", "Leases", "Storage", "StorageUnavailable", "Thaw"]

Thaw = Callable[[Any], Any]
Frozen = tuple[Any, "Thaw | None"]


class StorageUnavailable(ZooCacheError):  # noqa: N818  named like its public siblings
    """The storage did not answer. Never reaches a caller of a cached function."""


class Entry(msgspec.Struct, eq=False):
    """One cached value with what is needed to judge it.

    ``held`` is the value in the form that the storage keeps; ``thaw`` makes a fresh copy of it for
    a caller, or is ``None`` when the value is immutable and handed out as it is. ``judged`` is the
    epoch in which *this process* last found the entry valid; it is never stored. ``expires`` is in
    seconds of the clock's ``monotonic``; ``ttl`` in seconds. ``visited`` is the eviction's mark.
    """

    # A Struct, because it is built in C: several times as fast as a class with __slots__.
    held: Any
    thaw: Thaw | None
    deps: tuple[str, ...]
    stamp: int
    ttl: float | None = None
    expires: float | None = None
    judged: int = -1
    visited: bool = False

    def value(self) -> Any:
        """The cached value, as a copy of the caller's own unless it is immutable."""
        return self.held if self.thaw is None else self.thaw(self.held)


class Leases(Protocol):
    """Who computes a missing key, among the processes that share a storage.

    Efficiency only: a lease that is lost, stolen or never granted costs a second computation, and
    correctness never rests on it. A lease ends by itself when its holder dies.
    """

    def acquire(self, key: str) -> Any | None:
        """A lease on ``key``, or ``None`` while somebody else holds it."""

    def release(self, key: str, lease: Any) -> None:
        """Give ``lease`` back."""

    def wait(self, key: str, timeout: float) -> None:
        """Return when the lease on ``key`` may have ended, at the latest after ``timeout`` s."""

    async def aacquire(self, key: str) -> Any | None: ...
    async def arelease(self, key: str, lease: Any) -> None: ...
    async def await_(self, key: str, timeout: float) -> None: ...


class Storage(Protocol):
    """Entries by key. Every blocking method has an asynchronous twin with the prefix ``a``."""

    peek: Callable[[str], Entry | None]
    """A lookup inside this process that costs nothing, for hits that need no judging; a storage
    outside the process always answers ``None``."""

    leases: Leases | None
    """How processes agree on who computes; ``None`` where entries are not shared."""

    def freeze(self, key: str, value: Any) -> Frozen:
        """``(held, thaw)`` for an :class:`Entry`. Raises ``UnsupportedValue``."""

    def get(self, key: str) -> Entry | None:
        """The entry, or ``None`` if there is none or it has expired.

        With ``read_extend_ttl`` the entry's own ttl starts anew.
        """

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """As :meth:`get` for each key, in one round trip."""

    def set(self, key: str, entry: Entry) -> None:
        """Store. Raises ``StorageIsFull`` when there is no room even after eviction."""

    def set_many(self, items: Sequence[tuple[str, Entry]]) -> None:
        """Store each, in one round trip. Raises as :meth:`set`."""

    def delete(self, keys: Sequence[str]) -> int:
        """Remove the keys; how many existed."""

    def touch(self, key: str, ttl: float | None) -> bool:
        """Give the entry another ttl in seconds (``None``: never expires); whether it exists."""

    def get_strong(self, key: str) -> Entry | None:
        """:meth:`get` for a :meth:`replace` that follows: never from a copy in this process."""

    def replace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool:
        """Compare and set, atomically among all who share the storage; whether it was done.

        Stores ``entry`` (``None``: removes the key) if the key still holds the record that
        ``expected`` was made from by :meth:`get_strong`, or nothing unexpired where that is
        ``None``. The storage compares records and does not judge them: an ``expected`` that was
        invalidated is as good as any. With ``keep_expiry`` the key expires when it would have,
        whatever ``entry.expires`` says. Raises as :meth:`set`.
        """

    def remaining(self, key: str) -> float | None:
        """Seconds until the entry expires, infinity if never; ``None`` if there is no entry."""

    def clear(self) -> None:
        """Give back what space can be given back at once, after the root was invalidated."""

    def __len__(self) -> int:
        """How many entries are stored, expired and outdated ones included."""

    def close(self) -> None:
        """Release sockets, files and threads. The storage may be used no more."""

    def locks(self) -> Iterable[Any]:
        """Locks to hold across a fork, so that the child finds nothing half done."""

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent."""

    async def aget(self, key: str) -> Entry | None: ...
    async def aget_many(self, keys: Sequence[str]) -> list[Entry | None]: ...
    async def aset(self, key: str, entry: Entry) -> None: ...
    async def aset_many(self, items: Sequence[tuple[str, Entry]]) -> None: ...
    async def adelete(self, keys: Sequence[str]) -> int: ...
    async def atouch(self, key: str, ttl: float | None) -> bool: ...
    async def aget_strong(self, key: str) -> Entry | None: ...
    async def areplace(
        self, key: str, expected: Entry | None, entry: Entry | None, keep_expiry: bool = False
    ) -> bool: ...
    async def aremaining(self, key: str) -> float | None: ...
    async def aclear(self) -> None: ...
