"""Redis numbers the invalidations; this keeps a process's trie up to date with them.

A process remembers its *position*: the id of the newest entry of the log that it has applied. Every
read asks, in its own round trip, for the log from that position on, *inclusive*. If the answer
ends with the very id (number and nonce), the history is the one this process knows, and what
follows is applied. If not, entries are missing in between: the log was trimmed, evicted or
flushed, or the server went back to an older state. Then the process loads every tag's number anew
(``sync``), and where nothing can be trusted any more, the script starts a new history with an
invalidation of everything, numbered above all that anybody has seen.

A server that was restarted, or replaced by another (failover), may have lost the last writes
without its log showing it. So every new connection compares the id of the server's run with the one
that the authority's keys were last written in, and lets another run begin a new history.

Everything that talks is a *dialogue* (see ``dialogue``), carried on by ``link.converse`` or
``link.aconverse``. A bus or a storage uses:

- ``position`` and ``apply``: add ``position.newer`` to a request, give the answer to ``apply``, and
  after ``False`` hold ``catch_up``.
- ``catch_up``, ``listen``: bring the trie up to date, now or when there is something.
- ``publish`` / ``apublish``, with the outbox behind them; ``prune``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from zoocache_core.clock import Clock
from zoocache_core.errors import BusUnavailable
from zoocache_core.redis.dialogue import Dialogue, Request, checked, command, is_full
from zoocache_core.redis.keys import Keys, tag_of, text
from zoocache_core.redis.link import Link
from zoocache_core.redis.outbox import Outbox
from zoocache_core.redis.scripts import BUMP, SYNC, Call, invoke
from zoocache_core.redis.tags import CHUNK, forget, load, number_of
from zoocache_core.storage.base import StorageUnavailable
from zoocache_core.trie import PrefixTrie

__all__ = ["Authority", "Heard", "Position"]

LOG_LENGTH = 10_000
"""About how many invalidations the log keeps. A process that missed more loads all tags."""

TAG_LIMIT = 100_000
"""How many tags Redis remembers; beyond, the oldest are replaced by their parents' floors."""

_ATTEMPTS = 4

# Nothing of it is inherited by a forked child.
_random = random.SystemRandom()

Entries = list[list[Any]]


class Position(NamedTuple):
    """How far the log has been applied: ``newer`` is the packed command that asks for the rest.

    ``era`` counts the times that all tags were loaded anew.
    """

    number: int
    id: bytes
    newer: bytes
    era: int


class Heard(NamedTuple):
    """What has been listened to: the number of the newest invalidation that this process did not
    know yet, or 0; and whether it now knows every one up to the newest that came."""

    newest: int
    complete: bool


class Authority:
    """The sequence of one prefix on the Redis behind ``link``, applied to ``trie``."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        trie: PrefixTrie,
        clock: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.link = link
        self.outbox = Outbox(trie)
        self._keys = keys
        self._trie = trie
        self._now = clock.monotonic
        self._on_error = on_error
        self.position = self._position(b"0-0", 0)
        self._marked = 0
        self._thinned = self._now()
        link.greet = self.sync
        link.deliver = self._deliver
        link.pending = lambda: bool(self.outbox)

    # Learning of invalidations

    def apply(self, asked: Position, entries: Any) -> bool:
        """Apply the answer to ``asked.newer``. ``False``: it does not continue what is known here.

        Raises:
            StorageUnavailable: the answer is an error.
        """
        if isinstance(entries, RedisError):
            raise self.link.failed(entries)
        if not entries or entries[-1][0] != asked.id:
            return False
        if len(entries) == 1:
            return True
        newest = entries[0][0]
        with self._trie.lock:
            if asked.era != self.position.era:
                return False
            self._mark(entries[-2::-1])
            if number_of(newest) > self.position.number:
                self._trie.advance(number_of(newest))
                self.position = self._position(newest, asked.era)
        return True

    def catch_up(self) -> Dialogue[None]:
        """Apply everything that the authority had when this began.

        Raises:
            StorageUnavailable: it cannot be asked.
        """
        for _ in range(_ATTEMPTS):
            asked = self.position
            (entries,) = yield Request(asked.newer, 1)
            if self.apply(asked, entries):
                return
            yield from self.sync()
        raise StorageUnavailable("the history of invalidations in Redis keeps changing")

    def listen(self, seconds: float) -> Dialogue[Heard]:
        """Wait up to ``seconds`` for invalidations, and apply those that come."""
        asked = self.position
        ask = ("BLOCK", max(1, int(seconds * 1000)), "STREAMS", self._keys.log, asked.id)
        (news,) = yield Request(command("XREAD", *ask), 1, seconds)
        if not checked(news):
            return Heard(0, False)
        entries, trie = news[0][1], self._trie
        newest = number_of(entries[-1][0])
        # Each entry names the one before it.
        complete = entries[0][1][1] == asked.id
        with trie.lock:
            complete = complete and asked.era == self.position.era
            if newest <= trie.position:
                return Heard(0, complete)
            self._mark(entries)
            if complete:
                trie.advance(newest)
                self.position = self._position(entries[-1][0], asked.era)
            else:
                # They count already; the position has to wait until nothing is missing.
                trie.advance(trie.position)
        return Heard(newest, complete)

    def _mark(self, entries: Entries) -> None:
        now, trie = self._now(), self._trie
        for name, fields in entries:
            number = number_of(name)
            if number > trie.position:
                trie.mark(number, map(tag_of, fields[3::2]), now)
                self._marked += len(fields) // 2
        if self._marked > TAG_LIMIT:
            # A process may run for long, and invalidated tags must not fill its memory.
            trie.prune(self._thinned)
            self._marked, self._thinned = 0, now

    def sync(self) -> Dialogue[None]:
        """Find out where this process stands, and load all tags if it cannot be told.

        Raises:
            StorageUnavailable: the history changes faster than it can be loaded.
        """
        asked = self.position
        known, answer = yield from self._standing(asked.id)
        if not known:
            asked, answer = yield from self._reload(answer)
        self.apply(asked, answer)

    def _reload(self, newest: bytes) -> Dialogue[tuple[Position, Entries]]:
        """Load all tags as of ``newest``; the position then, and what has followed it."""
        for _ in range(_ATTEMPTS):
            fresh = yield from load(self._keys.tags, number_of(newest), self._now())
            # The table may have been evicted before it was loaded, and would look as if nothing
            # had ever been invalidated. Whoever makes it anew begins another log, so if `newest` is
            # in the log now and no key is missing, none was missing then.
            known, answer = yield from self._standing(newest)
            if known:
                self._adopt(fresh, newest)
                return self.position, answer
            newest = answer
        raise StorageUnavailable("the history of invalidations in Redis keeps changing")

    def _standing(self, position: bytes) -> Dialogue[tuple[Any, Any]]:
        (reply,) = yield from invoke([SYNC.call(self._keys.authority, position, _nonce())])
        known, answer = checked(reply)
        return known, answer

    def _adopt(self, fresh: PrefixTrie, newest: bytes) -> None:
        with self._trie.lock:
            # Another thread may have loaded a newer state meanwhile.
            if fresh.position > self._trie.position:
                self._trie.adopt(fresh)
                self.position = self._position(newest, self.position.era + 1)

    def _position(self, name: bytes, era: int) -> Position:
        # The newest first: Redis finds the end of a stream more quickly than a place within.
        newer = command("XREVRANGE", self._keys.log, "+", name)
        return Position(number_of(name), name, newer, era)

    # Telling of invalidations

    def publish(self, tags: Sequence[str], strict: bool = False) -> bool:
        """Number ``tags`` and apply them; whether the authority has them (see ``sequence.base``).

        Raises:
            BusUnavailable: ``strict``, and it has not. They will be delivered all the same.
        """
        try:
            self.link.check()
            self.link.converse(self._deliver(tags))
        except StorageUnavailable as error:
            return self._postpone(tags, strict, error)
        except BaseException:
            self._keep(tags)
            raise
        return True

    async def apublish(self, tags: Sequence[str], strict: bool = False) -> bool:
        """:meth:`publish` without blocking the event loop."""
        try:
            self.link.check(may_try=False)
            await self.link.aconverse(self._deliver(tags))
        except StorageUnavailable as error:
            return self._postpone(tags, strict, error)
        except BaseException:
            # Cancelled, perhaps: nobody knows whether it arrived, and twice is better than never.
            self._keep(tags)
            raise
        return True

    def _postpone(self, tags: Sequence[str], strict: bool, error: StorageUnavailable) -> bool:
        self._keep(tags)
        self._on_error("publish", error)
        if strict:
            raise BusUnavailable(
                f"The invalidation of {', '.join(repr(tag) for tag in tags)} is in force in this "
                f"process and will be delivered to the others as soon as possible, but not yet: "
                f"{error}"
            ) from error
        return False

    def _keep(self, tags: Sequence[str]) -> None:
        self.outbox.add(tags)
        self.link.breaker.heal()

    def _deliver(self, tags: Sequence[str] = ()) -> Dialogue[None]:
        """Number ``tags`` and what waits in the outbox."""
        waiting = self.outbox.take()
        if waiting or tags:
            yield from self._bump((*tags, *waiting))
            self.outbox.delivered(waiting)

    def _bump(self, tags: Iterable[str]) -> Dialogue[None]:
        names = list(dict.fromkeys(map(text, tags)))
        asked = self.position
        replies = yield from invoke(self._bumps(asked, names), asked.newer)
        if any(map(is_full, replies)):
            # The server is full and evicts nothing. If the invalidation cannot be recorded, then
            # at least nobody may go on trusting entries that it would outdate: without its keys
            # the authority has to be made anew, with an invalidation of everything.
            yield Request(command("DEL", *self._keys.authority), 1)
            replies = yield from invoke(self._bumps(asked, names), asked.newer)
        for reply in replies:
            checked(reply)
        if not self.apply(asked, replies[-1]):
            yield from self.sync()
            yield from self.catch_up()

    def _bumps(self, asked: Position, names: list[bytes]) -> list[Call]:
        return [
            BUMP.call(
                self._keys.authority,
                asked.id,
                _nonce(),
                LOG_LENGTH,
                TAG_LIMIT,
                *names[start : start + CHUNK],
            )
            for start in range(0, len(names), CHUNK)
        ]

    # Forgetting

    def prune(self, max_age: float) -> Dialogue[None]:
        """Let Redis drop the numbers of tags not invalidated for ``max_age`` seconds."""
        yield from forget(self._keys, self.position.id, _nonce(), max_age)

    def close(self) -> None:
        """Try once more to deliver what waits in the outbox."""
        if self.outbox and not self.link.restore():
            self._on_error(
                "publish",
                StorageUnavailable(f"{len(self.outbox)} invalidations could not be delivered"),
            )

    def locks(self) -> Iterable[Any]:
        # The outbox holds its own while it takes the trie's.
        return (self.outbox.lock, self._trie.lock)

    def after_fork(self) -> None:
        self.outbox.after_fork()


def _nonce() -> int:
    # Not a secret; it has to differ between histories. Below 2**53, as every number here.
    return _random.getrandbits(53)
