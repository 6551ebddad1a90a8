"""SingleFlight: for one missing key, one caller computes and the rest wait.

A :class:`Flight` is one computation under way, found by key. Threads and asyncio tasks, of any
number of event loops, may wait for the same flight. How a flight ended is told to its waiters as a
:class:`Landing`; whether a waiter may take the result is the caller's business (see ``calls``),
because a result computed from data older than the waiter's arrival must not be handed to it.

The idea is that of Go's ``golang.org/x/sync/singleflight``; take-over after a timeout, waiting
across event loops and the detection of waits that could never end are added here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from zoocache_core.deps import Scope
from zoocache_core.storage.base import Entry
from zoocache_core.trie import PrefixTrie

__all__ = ["Flight", "Flights", "Landing"]


_FRUITLESS = 4096
"""Keys remembered as fruitless; when there are more, all are forgotten."""


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended: with an ``entry`` to share, with an ``error``, or with neither.

    Neither means that the result is not to be shared (it may not be stored) or that the leader
    was cancelled; ``abandoned`` tells the two apart.
    """

    entry: Entry | None = None
    error: Exception | None = None
    abandoned: bool = False


class Flight:
    """One computation under way.

    ``scope`` collects what the computation has read so far; ``loop`` is the event loop that runs
    it, if one does; ``waits_for`` are the flights that the computation itself is waiting for;
    ``began`` is when it started, in seconds of the clock's ``monotonic``.
    """

    __slots__ = ("_future", "began", "landing", "loop", "scope", "waits_for")

    def __init__(self, scope: Scope, loop: asyncio.AbstractEventLoop | None, began: float) -> None:
        self.scope = scope
        self.loop = loop
        self.began = began
        self.landing: Landing | None = None
        self.waits_for: set[Flight] = set()
        # Made by the first waiter: most flights have none, and a Future costs more than the rest.
        self._future: Future[Landing] | None = None

    def wait(self, timeout: float) -> Landing | None:
        """Block until the flight has landed; ``None`` after ``timeout`` seconds."""
        future = self._future
        if future is None:
            return self.landing
        try:
            return future.result(timeout)
        except FutureTimeout:
            return None

    async def await_(self, timeout: float) -> Landing | None:
        """As :meth:`wait`, without blocking the event loop."""
        future = self._future
        if future is None:
            return self.landing
        # `asyncio.wait` neither cancels what it waits for on timeout nor when it is cancelled.
        await asyncio.wait([asyncio.wrap_future(future)], timeout=timeout)
        return self.landing


class Flights:
    """The flights of one engine, by key.

    ``landed`` counts those that have ended. ``fruitless`` are keys whose last computation here left
    nothing to share (it failed, or its result may not be stored): for these, waiting for another
    process's turn would be waiting in vain.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.lock = threading.Lock()
        self.landed = 0
        self.fruitless: set[str] = set()
        self._now = now
        self._by_key: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def board(
        self,
        key: str,
        scope: Scope,
        loop: asyncio.AbstractEventLoop | None,
        trie: PrefixTrie,
        overdue: Flight | None,
    ) -> tuple[Flight, bool]:
        """The flight of ``key``, and whether the caller leads it.

        The caller leads if there is none, if the one there is the ``overdue`` one it has waited for
        long enough, or if what that one has read so far has been invalidated since: whoever
        arrives after an invalidation never follows a flight that began before.
        """
        with self.lock:
            flight = self._by_key.get(key)
            if (
                flight is not None
                and flight is not overdue
                and trie.valid(tuple(flight.scope.deps), flight.scope.stamp, key)
            ):
                if flight._future is None:
                    flight._future = Future()
                return flight, False
            flight = self._by_key[key] = Flight(scope, loop, self._now())
            return flight, True

    def land(self, key: str, flight: Flight, landing: Landing) -> None:
        """End ``flight`` and tell its waiters."""
        with self.lock:
            if flight.landing is not None:
                return
            flight.landing = landing
            self.landed += 1
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            future = flight._future
        if future is not None:
            future.set_result(landing)

    def note(self, key: str, fruitful: bool) -> None:
        """Remember whether the computation of ``key`` left something to share."""
        if fruitful:
            self.fruitless.discard(key)
        else:
            if len(self.fruitless) >= _FRUITLESS:
                self.fruitless.clear()
            self.fruitless.add(key)

    def wait_would_never_end(
        self, flight: Flight, held: set[Flight], loop: asyncio.AbstractEventLoop | None
    ) -> bool:
        """Whether waiting for ``flight`` would close a circle.

        ``held`` are the flights that the caller is computing: if one of them is (indirectly) what
        ``flight`` waits for, both would wait for ever. ``loop`` is given by a caller about to block
        the thread of that event loop: a flight that needs the loop could then never land.
        """
        with self.lock:
            seen: set[Flight] = set()
            todo = [flight]
            while todo:
                current = todo.pop()
                if current in seen:
                    continue
                seen.add(current)
                if current in held or (loop is not None and current.loop is loop):
                    return True
                todo.extend(current.waits_for)
            return False

    def hold(self, held: set[Flight], flight: Flight) -> None:
        """Note that the caller's own flights now wait for ``flight``."""
        with self.lock:
            for own in held:
                own.waits_for.add(flight)

    def release(self, held: set[Flight], flight: Flight) -> None:
        """Undo :meth:`hold`."""
        with self.lock:
            for own in held:
                own.waits_for.discard(flight)

    def led_by(self, scope: Scope | None) -> set[Flight]:
        """The flights that ``scope`` and the scopes around it are computing."""
        held: set[Flight] = set()
        with self.lock:
            while scope is not None:
                flight = self._by_key.get(scope.key)
                if flight is not None and flight.scope is scope:
                    held.add(flight)
                scope = scope.parent
        return held

    def after_fork(self) -> None:
        """In a forked child: the leaders live in the parent, so nobody would ever land these."""
        self.lock = threading.Lock()
        self._by_key = {}
