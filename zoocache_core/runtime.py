"""What an engine is made of while it is configured: its parts, their lifecycle, their troubles.

The operations a user calls are in ``engine``; this module is what the flows work with.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from zoocache_core import forks
from zoocache_core.assembly import assemble
from zoocache_core.errors import ConfigurationError, NotConfigured
from zoocache_core.fastpaths import Forget, Hit, local_forget, no_forget, no_hit
from zoocache_core.flight import Flights
from zoocache_core.flows import Step, arun, run
from zoocache_core.guards import Guard, Guards
from zoocache_core.parts import Context
from zoocache_core.pruner import Pruner
from zoocache_core.reading import Found, find, find_now, judge
from zoocache_core.reporting import Reporter
from zoocache_core.sequence.base import Sequence as InvalidationSequence
from zoocache_core.settings import Settings, seconds
from zoocache_core.storage.base import Entry, Storage, Thaw
from zoocache_core.trie import PrefixTrie

__all__ = ["Runtime"]

_generations = itertools.count(1)


class _Unset:
    """Stands for every part of an engine that is not configured: any use of it says what to do."""

    # Not `__getattr__` on the engine itself, which would slow down every access to its parts.

    def __getattr__(self, name: str) -> Any:
        raise NotConfigured(
            "ZooCache is used before it is configured. Call zoocache.configure() once when the "
            "application starts, for example: "
            'configure(storage_url="redis://localhost:6379", prefix="myapp"). In Django, set '
            'ZOOCACHE = {} and add "zoocache_django" to INSTALLED_APPS.'
        )

    def __call__(self, *args: Any) -> Any:
        self.__getattr__("__call__")

    __bool__ = __iter__ = __len__ = __call__


_UNSET: Any = _Unset()


class Runtime:
    """The parts of an engine and their lifecycle.

    The parts are set by :meth:`configure` and removed by :meth:`reset`; in between, using one of
    them raises ``NotConfigured``. ``hit`` and ``forget`` are the hot paths (see
    ``fastpaths``).
    """

    settings: Settings
    trie: PrefixTrie
    storage: Storage
    sequence: InvalidationSequence
    flights: Flights
    report: Reporter
    hit: Hit
    forget: Forget
    now: Callable[[], float]
    flight_timeout: float
    direct: bool
    generation: int

    def __init__(self) -> None:
        self._lifecycle = threading.RLock()
        # A lock of its own, held for no longer than an assignment takes: guards are also added by
        # watchers, while the lock of the trie is held. Reentrant, for the garbage collector may
        # close a connection at any moment, and a guard is removed thereby.
        self._guards_lock = threading.RLock()
        self.guarding = Guards()
        # The one that `isolation` adds and removes.
        self.keeper: Guard | None = None
        self._pruner: Pruner | None = None
        self._watchers: tuple[Callable[[], None], ...] = ()
        self._position: Callable[[], int] | None = None
        self.configured = False
        """Whether :meth:`configure` has been called (and :meth:`reset` not since)."""
        self._unset()
        forks.follow(self)

    def _unset(self) -> None:
        for part in Runtime.__annotations__:
            setattr(self, part, _UNSET)

    def configure(self, **settings: Any) -> None:
        """Set up the storage and everything else. Options are the fields of ``Settings``.

        Calling it again with equal settings does nothing.

        Raises:
            ConfigurationError: an unknown or mistyped option, a storage that cannot be opened, or
                other settings than those in force (call :meth:`reset` first to change them).
        """
        wanted = Settings.of(settings)
        with self._lifecycle:
            if self.configured:
                if wanted != self.settings:
                    raise ConfigurationError(
                        f"ZooCache is configured already, with other settings: "
                        f"{_differences(self.settings, wanted)}. Call reset() first to change them."
                    )
                return
            self._assemble(wanted)

    def _assemble(self, settings: Settings) -> None:
        trie, report = PrefixTrie(), Reporter(settings.events)
        parts = assemble(Context(settings, trie, report, self.guarding))
        self.trie = trie
        self.report = report
        self.now = settings.clock.monotonic
        self.flights = Flights(settings.clock.monotonic)
        self.flight_timeout = settings.flight_timeout
        self.storage = parts.storage
        self.sequence = parts.sequence
        self.direct = parts.local
        self._position = parts.position
        self.forget = no_forget
        self.generation = next(_generations)
        self.hit = no_hit if settings.events else parts.hit
        if parts.local and not settings.events:
            self.forget = local_forget(trie, settings.clock, report.counts)
        self._default_ttl = settings.default_ttl
        self.settings = settings
        # Last: whoever sees it may use everything.
        self.configured = True
        self._set_watchers(self._watchers)
        for moving in self._watchers:
            moving()
        if settings.auto_prune_secs is not None:
            self._pruner = Pruner(self, settings.auto_prune_secs, settings.auto_prune_interval)

    def reset(self) -> None:
        """Close everything and forget the configuration. Stored entries stay where they are."""
        with self._lifecycle:
            if not self.configured:
                return
            if self._pruner is not None:
                self._pruner.close()
                self._pruner = None
            sequence, storage = self.sequence, self.storage
            self.configured = False
            self._unset()
            self.guarding.active = ()
            self._position = None
            sequence.close()
            storage.close()

    def locks(self) -> list[Any]:
        """Every lock to hold across a fork, outermost first."""
        locks: list[Any] = [self._lifecycle]
        if self.configured:
            locks += [self.flights.lock, *self.storage.locks(), *self.sequence.locks()]
        locks.append(self._guards_lock)
        return locks

    def after_fork(self) -> None:
        """In a forked child: drop what belongs to the parent process."""
        if self.configured:
            self.flights.after_fork()
            self.storage.after_fork()
            self.sequence.after_fork()
            if self._pruner is not None:
                self._pruner.start()

    # Reading

    def find_step(self, key: str, quiet: bool = False) -> Step:
        """The step that looks up and judges ``key``."""
        return self.find, self.afind, (key, quiet)

    def find(self, key: str, quiet: bool = False) -> Found | None:
        if self.direct:
            # No step of the flow could block or tell anything new.
            return judge(self, key, self.storage.get(key), quiet)
        if self.sequence.leased is None:
            return find_now(self, key, quiet)
        return run(find(self, key, quiet))

    async def afind(self, key: str, quiet: bool = False) -> Found | None:
        if self.direct:
            return judge(self, key, self.storage.get(key), quiet)
        return await arun(find(self, key, quiet))

    # Writing

    def stamp(self) -> int:
        """The position of this process: what a computation that starts now is as new as.

        Take it before reading the data, and hand it to :meth:`Engine.set`.
        """
        position = self.present()
        # Afterwards: a position that has moved is what adds guards.
        guards = self.guarding.active
        if not guards:
            return position
        earlier = [stamp for guard in guards if (stamp := guard.stamp()) is not None]
        # Anew, since a guard may find that a transaction has ended, and publish what it wrote.
        return min([*earlier, self.present()])

    def present(self) -> int:
        """The position of this process, whatever transaction is open."""
        return self.trie.position if self._position is None else self._position()

    def entry(
        self, held: Any, thaw: Thaw | None, deps: tuple[str, ...], stamp: int, ttl: float | None
    ) -> Entry:
        """An entry that lives ``ttl`` seconds; ``None`` takes the default, infinity none."""
        if ttl is None:
            ttl = self._default_ttl
        if ttl is None or ttl == math.inf:
            return Entry(held, thaw, deps, stamp)
        return Entry(held, thaw, deps, stamp, ttl, self.now() + ttl)

    def publish(self, tags: Sequence[str], strict: bool = False) -> bool:
        """Invalidate ``tags`` (``""`` is everything) without validating them."""
        self.report.invalidated(tags)
        return self.sequence.publish(tags, strict)

    async def apublish(self, tags: Sequence[str], strict: bool = False) -> bool:
        """:meth:`publish` for asynchronous callers."""
        self.report.invalidated(tags)
        return await self.sequence.apublish(tags, strict)

    def prune(self, max_age_secs: float | timedelta) -> int:
        """Drop the numbers of tags not invalidated for ``max_age_secs``; how many branches.

        Entries that depend on a dropped tag and are older than its last invalidation are missed
        once; none is ever served stale.
        """
        age = 0.0 if max_age_secs == 0 else seconds(max_age_secs, "max_age_secs")
        return self.sequence.prune(self.now() - age, age)

    # Database transactions

    @property
    def guards(self) -> tuple[Guard, ...]:
        """Those asked at present."""
        return self.guarding.active

    def add_guard(self, guard: Guard) -> None:
        """Ask ``guard`` at every read and store, until :meth:`remove_guard`.

        Adding it twice has no effect. A watcher may call this.
        """
        with self._guards_lock:
            if guard not in self.guards:
                self.guarding.active = (*self.guards, guard)

    def remove_guard(self, guard: Guard) -> None:
        """Stop asking ``guard``."""
        with self._guards_lock:
            self.guarding.active = tuple([other for other in self.guards if other is not guard])

    def watch(self, moving: Callable[[], None]) -> None:
        """Call ``moving`` just before the position moves, until :meth:`unwatch`.

        It is called by whoever invalidates, with the trie's lock held, so it must be quick and take
        no lock that is held while this engine is used; and when the engine is configured anew.
        Watching twice has no effect.
        """
        with self._lifecycle:
            if moving not in self._watchers:
                self._set_watchers((*self._watchers, moving))

    def unwatch(self, moving: Callable[[], None]) -> None:
        """Stop calling ``moving``."""
        with self._lifecycle:
            self._set_watchers(tuple(other for other in self._watchers if other != moving))

    def _set_watchers(self, watchers: tuple[Callable[[], None], ...]) -> None:
        self._watchers = watchers
        if self.configured:
            with self.trie.lock:
                self.trie.watchers = watchers

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        """Whether a transaction of this context forbids it a value with these deps and stamp."""
        return self.guarding.hide(deps, stamp)

    def uncommitted(self) -> bool:
        """Whether a transaction of this context forbids storing anything."""
        return any(guard.uncommitted() for guard in self.guards)


def _differences(old: Settings, new: Settings) -> str:
    changed = [
        option.name
        for option in fields(Settings)
        if getattr(old, option.name) != getattr(new, option.name)
    ]
    return ", ".join(
        # The others are secrets, or may contain one.
        name
        if name in ("secret_key", "storage_url", "bus_url")
        else f"{name} is {getattr(old, name)!r}, not {getattr(new, name)!r}"
        for name in changed
    )
