"""Who computes a missing key, among all processes that share a Redis.

A lease is a key that holds its holder's token and expires by itself after two seconds; while the
holder lives, a thread renews it. So a computation may take any time, and a holder that is killed
delays the others by no more than those two seconds. (The algorithm is that of Redis' documentation
for a single instance, "Distributed locks with Redis"; its known weaknesses do not matter here,
since a lease saves work and guards nothing.)

Whoever waits blocks in Redis until the lease is given back, on a stream that tells all of them at
once and keeps telling for as long, so that nobody who comes a moment too late waits in vain.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from typing import Any

from zoocache_core.redis.dialogue import Dialogue, Request, checked, command
from zoocache_core.redis.keys import Keys, text
from zoocache_core.redis.link import Link
from zoocache_core.redis.scripts import ACQUIRE, RELEASE, RENEW, invoke
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["RedisLeases"]

LEASE_MS = 2000
_RENEWALS = 4
"""Per lifetime of a lease."""


class RedisLeases:
    """The leases of one prefix. A lease is its token."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._held: dict[bytes, bytes] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._renewer: threading.Thread | None = None

    # As in storage.base.Leases

    def acquire(self, key: str) -> bytes | None:
        return self._link.converse(self._acquire(key))

    async def aacquire(self, key: str) -> bytes | None:
        return await self._link.aconverse(self._acquire(key))

    def release(self, key: str, lease: bytes) -> None:
        self._held.pop(lease, None)
        request = self._release(key, lease)
        if not self._link.post(request):
            self._link.exchange(request)

    async def arelease(self, key: str, lease: bytes) -> None:
        self._held.pop(lease, None)
        request = self._release(key, lease)
        if not await self._link.apost(request):
            await self._link.aexchange(request)

    def wait(self, key: str, timeout: float) -> None:
        try:
            self._link.exchange(self._until_released(key, timeout))
        except StorageUnavailable:
            # The next `acquire` fails as well, and there it is counted.
            return

    async def await_(self, key: str, timeout: float) -> None:
        try:
            await self._link.aexchange(self._until_released(key, timeout))
        except StorageUnavailable:
            # The next `acquire` fails as well, and there it is counted.
            return

    def _acquire(self, key: str) -> Dialogue[bytes | None]:
        token, name = secrets.token_bytes(16), text(key)
        keys = (self._keys.leases + name, self._keys.turns + name)
        (ours,) = yield from invoke([ACQUIRE.call(keys, token, LEASE_MS)])
        if not checked(ours):
            return None
        self._hold(token, keys[0])
        return token

    def _release(self, key: str, lease: bytes) -> Request:
        # In full: nobody looks at the answer, which might be that the script is not known.
        name = text(key)
        keys = (self._keys.leases + name, self._keys.turns + name)
        return Request(RELEASE.call(keys, lease, LEASE_MS).in_full(), 1)

    def _until_released(self, key: str, timeout: float) -> Request:
        # No longer than a lease lives: that of a dead holder ends without a word.
        block = min(max(timeout, 0.001), LEASE_MS / 1000)
        turn = self._keys.turns + text(key)
        return Request(command("XREAD", "BLOCK", int(block * 1000), "STREAMS", turn, "0"), 1, block)

    # Renewal

    def _hold(self, token: bytes, name: bytes) -> None:
        with self._changed:
            self._held[token] = name
            if self._renewer is None and not self._closed:
                self._renewer = threading.Thread(
                    target=self._work, name="zoocache-leases", daemon=True
                )
                self._renewer.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._closed)
                # Most leases are given back before they would be renewed for the first time.
                self._changed.wait_for(lambda: self._closed, LEASE_MS / 1000 / _RENEWALS)
                if self._closed:
                    return
                held = list(self._held.items())
            if held:
                self._renew(held)

    def _renew(self, held: list[tuple[bytes, bytes]]) -> None:
        scripts = [RENEW.call((name,), token, LEASE_MS) for token, name in held]
        try:
            self._link.converse(invoke(scripts))
        except StorageUnavailable:
            # The leases may end early: others compute as well then.
            return

    # Lifecycle

    def close(self) -> None:
        """End the renewer. Leases that are still held end by themselves."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        renewer = self._renewer
        if renewer is not None and renewer is not threading.current_thread():
            renewer.join(timeout=5)

    def locks(self) -> Iterable[Any]:
        return (self._changed,)

    def after_fork(self) -> None:
        """In a forked child: what is held is held by the parent."""
        self._changed = threading.Condition()
        self._held = {}
        self._renewer = None
