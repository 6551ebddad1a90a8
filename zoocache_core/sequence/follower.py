"""A thread that follows the log of invalidations and renews a lease with every answer.

It asks with a blocking read for what comes after this process's position, so an invalidation is
here as soon as the network allows, and one that was missed during a disconnection is still in the
log. (Plain Pub/Sub would be as fast, and forget what it could not deliver.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from zoocache_core.clock import Clock
from zoocache_core.lease import Lease
from zoocache_core.redis.authority import Authority
from zoocache_core.redis.dialogue import Dialogue, Request, checked, command, converse
from zoocache_core.redis.wire import FAILURES, Wire
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["Follower"]

_POLLS_PER_TERM = 4
"""So often the lease is renewed before it would end, which leaves time for what is slow."""

_LONGEST_POLL = 10.0
"""Seconds. A connection that died silently is noticed after about this time."""

_PAUSE = 0.02
"""Seconds between two looks at whether the server has been reached again."""

_PAUSE_AFTER_A_SURPRISE = 1.0
_NUMBERS_PER_SECOND = 2048 * 1000


class Follower:
    """Started by :meth:`ensure`; again in a forked child, where the parent's thread does not exist.

    ``on_lag`` is told how many seconds an invalidation took to arrive, to about a millisecond.
    """

    def __init__(
        self,
        authority: Authority,
        lease: Lease,
        clock: Clock,
        term: float,
        on_error: Callable[[str, BaseException], None],
        on_recovery: Callable[[str], None],
        on_lag: Callable[[float], None] | None,
    ) -> None:
        self._link = authority.link
        self._authority = authority
        self._lease = lease
        self._clock = clock
        self._poll = min(term / _POLLS_PER_TERM, _LONGEST_POLL)
        self._on_error = on_error
        self._on_recovery = on_recovery
        self._on_lag = on_lag
        self._behind = 0.0
        self._told = 0
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wire: Wire | None = None

    def ensure(self) -> None:
        """See that the thread runs."""
        if self._thread is None:
            with self._lock:
                self._start()

    def _start(self) -> None:
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(
                target=self._work, args=(self._stop,), name="zoocache-bus", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        with self._lock:
            thread, wire = self._thread, self._wire
            if wire is not None:
                wire.interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def locks(self) -> Iterable[Any]:
        return (self._lock,)

    def after_fork(self) -> None:
        """In a forked child: nobody follows here yet."""
        self._lock = threading.Lock()
        self._reset()
        self._lease.drop()

    def _work(self, stop: threading.Event) -> None:
        wire = None
        while not stop.is_set():
            try:
                if wire is None:
                    wire = self._link.open()
                    self._connected(wire, stop)
                else:
                    self._follow(wire)
            except (*FAILURES, StorageUnavailable) as error:
                self._discard(wire)
                wire = None
                if not stop.is_set():
                    self._on_error("bus", error)
                    self._link.failed(error)
                    self._wait_for_the_healer(stop)
            except Exception as error:  # noqa: BLE001
                # Whatever it is, a bus that has silently gone deaf would be worse.
                self._discard(wire)
                wire = None
                if not stop.is_set():
                    self._on_error("bus", error)
                    stop.wait(_PAUSE_AFTER_A_SURPRISE)
        self._discard(wire)

    def _wait_for_the_healer(self, stop: threading.Event) -> None:
        while self._link.breaker.reason is not None:
            if stop.wait(_PAUSE):
                return

    def _connected(self, wire: Wire, stop: threading.Event) -> None:
        with self._lock:
            if not stop.is_set():
                self._wire = wire
        if self._on_lag is not None:
            self._behind = converse(_clock_difference(self._clock), wire.exchange)
            self._told = self._authority.position.number

    def _discard(self, wire: Wire | None) -> None:
        with self._lock:
            self._wire = None
        self._link.discard(wire)

    def _follow(self, wire: Wire) -> None:
        authority, now = self._authority, self._clock.monotonic
        asked, before = now(), authority.position.number
        converse(authority.catch_up(), wire.exchange)
        self._renew(asked)
        if authority.position.number > before:
            self._tell_lag(authority.position.number)
        complete = True
        # As long as it is told everything, there is nothing to ask for.
        while complete:
            asked = now()
            newest, complete = converse(authority.listen(self._poll), wire.exchange)
            if complete:
                self._renew(asked)
            if newest:
                self._tell_lag(newest)

    def _renew(self, asked: float) -> None:
        self._lease.renew(asked)
        self._on_recovery("bus")

    def _tell_lag(self, newest: int) -> None:
        if self._on_lag is not None and newest > self._told:
            self._told = newest
            server_time = self._clock.time() - self._behind
            self._on_lag(max(0.0, server_time - newest / _NUMBERS_PER_SECOND))


def _clock_difference(clock: Clock) -> Dialogue[float]:
    """By how many seconds this machine's clock is ahead of the server's."""
    before = clock.time()
    (reply,) = yield Request(command("TIME"), 1)
    seconds, micros = checked(reply)
    return (before + clock.time()) / 2 - int(seconds) - int(micros) / 1e6
