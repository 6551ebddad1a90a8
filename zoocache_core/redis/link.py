"""The connections of this process to one Redis.

Threads take a connection from a pool, last in first out, so a quiet process keeps few busy ones;
every event loop has a pool of its own (see ``loops``). A connection that died while it lay idle is
replaced once without anybody noticing. Any other failure opens the circuit (see ``breaker``), and
until the healer has reached the server again every call is refused at once.

The link knows nothing of the meaning of what it sends: the dialogue ``greet`` is held on each new
connection before it is used, ``deliver`` before the circuit is closed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zoocache_core.redis.address import Address, masked
from zoocache_core.redis.breaker import Breaker
from zoocache_core.redis.dialogue import Dialogue, Replies, Request, aconverse, converse
from zoocache_core.redis.loops import Loops, Pool
from zoocache_core.redis.wire import FAILURES, AsyncWire, Wire, is_timeout, moved_to, time_limit
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["Link"]

T = TypeVar("T")

_IDLE = 64
"""Idle connections kept per pool."""

_REDIRECTS = 4

OPERATIONS = (
    "get", "set", "add", "update", "discard", "touch", "delete", "clear", "lease", "publish",
    "prune",
)  # fmt: skip
"""The operations that fail while the server is away, and work again when it is back."""


def _nothing() -> Dialogue[None]:
    return
    yield


class Link:
    """Exchanges requests with the server at ``address``; raises ``StorageUnavailable`` if it
    cannot be reached, after at most a connection attempt and two exchanges, or at once while it
    is known to be down.

    ``greet`` and ``deliver`` make dialogues, ``pending`` says whether there is anything to deliver.
    """

    def __init__(self, address: Address, on_recovery: Callable[[str], None]) -> None:
        self.address = address
        self.greet: Callable[[], Dialogue[None]] = _nothing
        self.deliver: Callable[[], Dialogue[None]] = _nothing
        self.pending: Callable[[], bool] = lambda: False
        self.breaker = Breaker(self.restore, lambda: self.pending())
        self._on_recovery = on_recovery
        self._idle: deque[Wire] = deque()
        self._wires: set[Wire] = set()
        self._loops = Loops()
        # In a cluster: the node that the one at `address` points to, which has the prefix's slot.
        self._moved: tuple[str, int] | None = None
        self._closed = False

    # Blocking

    def exchange(self, request: Request) -> Replies:
        """The replies to ``request``."""
        idle = self._idle
        if self.breaker.reason is not None:
            self.check()
        try:
            wire = idle.pop()
        except IndexError:
            wire = self.open()
        else:
            try:
                replies = wire.exchange(request)
            except FAILURES as error:
                self.discard(wire)
                if is_timeout(error):
                    raise self.failed(error) from error
                # It died while it was idle, and so probably did the others.
                self._drop_idle()
                wire = self.open()
            except BaseException:
                # Interrupted half-way: the replies would be taken for those of the next request.
                self.discard(wire)
                raise
            else:
                if len(idle) < _IDLE and not self._closed:
                    idle.append(wire)
                else:
                    self._keep(wire)
                return replies
        return self._exchange_on(wire, request)

    def _exchange_on(self, wire: Wire, request: Request) -> Replies:
        try:
            replies = wire.exchange(request)
        except FAILURES as error:
            self.discard(wire)
            raise self.failed(error) from error
        except BaseException:
            self.discard(wire)
            raise
        self._keep(wire)
        return replies

    def converse(self, dialogue: Dialogue[T]) -> T:
        """Carry on ``dialogue``, a connection for each exchange."""
        return converse(dialogue, self.exchange)

    def post(self, request: Request) -> bool:
        """Send ``request`` and wait for no answer; whether it could be sent at once."""
        if self.breaker.reason is not None:
            return False
        try:
            wire = self._idle.pop()
        except IndexError:
            return False
        try:
            wire.post(request)
        except FAILURES:
            self.discard(wire)
            return False
        except BaseException:
            self.discard(wire)
            raise
        self._keep(wire)
        return True

    def open(self) -> Wire:
        """A new connection that has been greeted. For whoever wants one of his own, too, who then
        hands it to :meth:`discard` in the end."""
        try:
            return self._connected()
        except (*FAILURES, StorageUnavailable) as error:
            raise self.failed(error) from error

    def _connected(self, redirects: int = _REDIRECTS) -> Wire:
        wire = None
        try:
            wire = Wire(self.address.connect(self._moved), self.address.timeout)
            self._wires.add(wire)
            converse(self.greet(), wire.exchange)
            return wire
        except BaseException as error:
            self.discard(wire)
            self._moved = moved_to(error)
            if self._moved is None or not redirects:
                raise
        return self._connected(redirects - 1)

    def discard(self, wire: Wire | None) -> None:
        """Close ``wire``."""
        if wire is not None:
            self._wires.discard(wire)
            wire.close()

    def _keep(self, wire: Wire) -> None:
        if len(self._idle) < _IDLE and not self._closed:
            self._idle.append(wire)
        else:
            self.discard(wire)

    def _drop_idle(self) -> None:
        while self._idle:
            try:
                self.discard(self._idle.pop())
            except IndexError:
                return

    # Asynchronous

    async def aexchange(self, request: Request) -> Replies:
        """:meth:`exchange` without blocking the event loop."""
        self.check(may_try=False)
        pool = await self._loops.pool()
        if pool.idle:
            wire = pool.idle.pop()
            try:
                replies = await wire.exchange(request)
            except FAILURES as error:
                await pool.discard(wire)
                if is_timeout(error):
                    raise self.failed(error) from error
                await pool.drop_idle()
            except BaseException:
                await pool.discard(wire)
                raise
            else:
                await pool.keep(wire)
                return replies
        wire = await self._aopen(pool)
        try:
            replies = await wire.exchange(request)
        except FAILURES as error:
            await pool.discard(wire)
            raise self.failed(error) from error
        except BaseException:
            await pool.discard(wire)
            raise
        await pool.keep(wire)
        return replies

    async def aconverse(self, dialogue: Dialogue[T]) -> T:
        """:meth:`converse` without blocking the event loop."""
        return await aconverse(dialogue, self.aexchange)

    async def apost(self, request: Request) -> bool:
        """:meth:`post` without blocking the event loop."""
        pool = await self._loops.pool()
        if self.breaker.reason is not None or not pool.idle:
            return False
        wire = pool.idle.pop()
        try:
            await wire.post(request)
        except FAILURES:
            await pool.discard(wire)
            return False
        except BaseException:
            await pool.discard(wire)
            raise
        await pool.keep(wire)
        return True

    async def _aopen(self, pool: Pool) -> AsyncWire:
        try:
            return await self._aconnected(pool)
        except (*FAILURES, StorageUnavailable) as error:
            raise self.failed(error) from error

    async def _aconnected(self, pool: Pool, redirects: int = _REDIRECTS) -> AsyncWire:
        wire = None
        try:
            async with time_limit(self.address.timeout * 2):
                connection = await self.address.aconnect(self._moved)
                wire = AsyncWire(connection, self.address.timeout)
                pool.wires.add(wire)
            await aconverse(self.greet(), wire.exchange)
            return wire
        except BaseException as error:
            if wire is not None:
                await pool.discard(wire)
            self._moved = moved_to(error)
            if self._moved is None or not redirects:
                raise
        return await self._aconnected(pool, redirects - 1)

    # Down and up

    def reachable(self) -> bool:
        """Whether the last word of the server was none of failure."""
        return self.breaker.reason is None

    def check(self, may_try: bool = True) -> None:
        """Raise ``StorageUnavailable`` if the server is known to be down."""
        reason = self.breaker.reason
        if reason is None:
            return
        if not (may_try and self.breaker.overdue() and self.restore()):
            raise StorageUnavailable(f"Redis at {masked(self.address.url)} is down: {reason}")

    def failed(self, error: BaseException) -> StorageUnavailable:
        """Open the circuit because of ``error``; what to raise for it."""
        if not self._closed:
            self.breaker.open(error)
            self._drop_idle()
        if isinstance(error, StorageUnavailable):
            return error
        return StorageUnavailable(
            f"Redis at {masked(self.address.url)}: {str(error) or type(error).__name__}"
        )

    def restore(self) -> bool:
        """Reach the server, deliver what is pending and close the circuit; whether it worked."""
        wire = None
        try:
            wire = self._connected()
            converse(self.deliver(), wire.exchange)
        except (*FAILURES, StorageUnavailable) as error:
            self.discard(wire)
            if self.breaker.reason is not None:
                self.breaker.reason = error
            return False
        self.breaker.closed()
        try:
            # What was postponed while the rest was delivered.
            converse(self.deliver(), wire.exchange)
        except (*FAILURES, StorageUnavailable) as error:
            self.discard(wire)
            self.failed(error)
            return False
        self._keep(wire)
        for operation in OPERATIONS:
            self._on_recovery(operation)
        return True

    # Lifecycle

    def close(self) -> None:
        """Close every connection and end the healer."""
        self._closed = True
        self.breaker.close()
        self._drop_idle()
        self._loops.close()

    def locks(self) -> Iterable[Any]:
        return (self.breaker.lock,)

    def after_fork(self) -> None:
        """In a forked child: the sockets belong to the parent."""
        self._idle = deque()
        for wire in list(self._wires):
            # Closes this process's copies only; redis-py sees by the pid whose they are.
            wire.close()
        self._wires = set()
        self._loops = self._loops.after_fork()
        self.breaker.after_fork()
