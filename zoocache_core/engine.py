"""The engine: what a user calls.

A process may have many engines; the functions of the package ``zoocache_core`` belong to a default
one. Until it is configured every use raises ``NotConfigured``; decorating functions before that is
fine, since modules are imported before settings are loaded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from zoocache_core import values
from zoocache_core.about import VERSION
from zoocache_core.calls import Call, call, unwrap
from zoocache_core.decorator import Cached, Decorator, Deps, decorate
from zoocache_core.deps import current_scope
from zoocache_core.events import Stats
from zoocache_core.flows import arun, run
from zoocache_core.runtime import Runtime
from zoocache_core.settings import seconds
from zoocache_core.storage.base import StorageUnavailable
from zoocache_core.tags import invalidation_target, validate, validate_many

__all__ = ["Engine"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Ttl = float | timedelta | None


class Engine(Runtime):
    """One cache. ``Engine(**settings)`` is configured at once, ``Engine.unconfigured()`` later."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.configure(**settings)

    @classmethod
    def unconfigured(cls) -> Engine:
        """An engine that waits for :meth:`configure`."""
        engine = cls.__new__(cls)
        Runtime.__init__(engine)
        return engine

    # Cached computations

    @overload
    def cacheable(self, function: Callable[P, R], /) -> Cached[P, R]: ...

    @overload
    def cacheable(
        self,
        namespace: str | None = None,
        deps: Deps = None,
        ttl: Ttl = None,
        key: str | Callable[..., Any] | None = None,
    ) -> Decorator: ...

    def cacheable(
        self,
        namespace: Any = None,
        deps: Deps = None,
        ttl: Ttl = None,
        key: str | Callable[..., Any] | None = None,
    ) -> Any:
        """Cache what a function returns, by its arguments.

        Used as ``@cacheable`` or ``@cacheable(...)`` on functions, methods and coroutine functions.

        Args:
            namespace: replaces the function's module and name in its keys.
            deps: tags that the results depend on: one, an iterable, or a callable that is given
                the arguments of the call and returns either.
            ttl: lifetime in seconds; ``None`` takes ``default_ttl``, ``float("inf")`` none.
            key: the key itself, or a callable that makes it from the arguments of the call.

        Raises:
            InvalidTag: a static dep is malformed.
            UnsupportedValue: the function cannot be cached (a generator function, for example).
            ValueError: the ttl is not above 0.
        """
        if callable(namespace) or isinstance(namespace, (classmethod, staticmethod)):
            return decorate(self, namespace)
        return lambda function: decorate(self, function, namespace, deps, ttl, key)

    def fetch(
        self,
        key: str,
        compute: Callable[[], T],
        *,
        deps: str | Iterable[str] = (),
        ttl: Ttl | Callable[[T], float | None] = None,
        admit: Callable[[T], bool] | None = None,
        refresh: bool = False,
    ) -> T:
        """The value under ``key``, computed by ``compute()`` if there is no valid one.

        What ``@cacheable`` does, for adapters that make their own keys: one computation for all
        callers, and whatever it reads is registered as its deps. ``admit(value)`` says whether a
        value may be stored and shared with other callers; ``refresh`` computes in any case.
        """
        request = self._request(key, compute, deps, ttl, admit, refresh)
        value: T = unwrap(run(call(self, request, True)))
        return value

    async def fetch_async(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        *,
        deps: str | Iterable[str] = (),
        ttl: Ttl | Callable[[T], float | None] = None,
        admit: Callable[[T], bool] | None = None,
        refresh: bool = False,
    ) -> T:
        """:meth:`fetch` with a coroutine function."""
        request = self._request(key, compute, deps, ttl, admit, refresh)
        value: T = unwrap(await arun(call(self, request, False)))
        return value

    @staticmethod
    def _request(
        key: str,
        compute: Callable[[], Any],
        deps: str | Iterable[str],
        ttl: Ttl | Callable[[Any], float | None],
        admit: Callable[[Any], bool] | None,
        refresh: bool,
    ) -> Call:
        lifetime = ttl if ttl is None or callable(ttl) else seconds(ttl)
        return Call(
            values.checked_key(key),
            compute,
            (),
            None,
            validate_many(deps),
            lifetime,
            admit,
            refresh,
        )

    # Values by key

    def get(self, key: str, default: Any = None) -> Any:
        """The value under ``key`` if it is there and valid, else ``default``.

        ``None`` is a value like any other. Within a cached computation, the computation depends on
        what the value depends on.
        """
        entry = self.hit(key)
        if entry is None:
            return values.found_or_noted(self, values.checked_key(key), self.find(key), default)
        scope = current_scope()
        if scope is not None:
            scope.add(entry.deps)
        thaw = entry.thaw
        return entry.held if thaw is None else thaw(entry.held)

    async def get_async(self, key: str, default: Any = None) -> Any:
        """:meth:`get` without blocking the event loop."""
        entry = self.hit(key)
        if entry is None:
            return values.found_or_noted(
                self, values.checked_key(key), await self.afind(key), default
            )
        scope = current_scope()
        if scope is not None:
            scope.add(entry.deps)
        return entry.value()

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those ``keys`` that are there and valid, in one round trip."""
        return run(values.get_many(self, keys))

    async def get_many_async(self, keys: Iterable[str]) -> dict[str, Any]:
        """:meth:`get_many` without blocking the event loop."""
        return await arun(values.get_many(self, keys))

    def set(
        self,
        key: str,
        value: Any,
        deps: str | Iterable[str] = (),
        ttl: Ttl = None,
        stamp: int | None = None,
    ) -> bool:
        """Store ``value`` under ``key``; whether it was stored.

        Args:
            deps: tags that the value depends on.
            ttl: lifetime in seconds; ``None`` takes ``default_ttl``, ``float("inf")`` none.
            stamp: what :meth:`stamp` returned before the data was read. Left out, it is the
                position at which :meth:`get` last missed this key in this context, or else the
                present one.

        Returns ``False`` if the value is outdated already, if a transaction of this context has
        uncommitted writes, or if the storage cannot be reached.

        Raises:
            UnsupportedValue: the value cannot be stored faithfully.
            StorageIsFull: there is no room for it.
        """
        # One step, which may block: no need of a flow.
        entry = values.prepare(
            self, key, value, validate_many(deps), None if ttl is None else seconds(ttl), stamp
        )
        if entry is None:
            return False
        try:
            self.storage.set(key, entry)
        except StorageUnavailable as error:
            self.report.failed("set", error)
            return False
        self.report.stored(key)
        return True

    async def set_async(
        self,
        key: str,
        value: Any,
        deps: str | Iterable[str] = (),
        ttl: Ttl = None,
        stamp: int | None = None,
    ) -> bool:
        """:meth:`set` without blocking the event loop."""
        return await arun(values.set_many(self, {key: value}, deps, ttl, stamp))

    def set_many(
        self,
        items: Mapping[str, Any],
        deps: str | Iterable[str] = (),
        ttl: Ttl = None,
        stamp: int | None = None,
    ) -> bool:
        """:meth:`set` for each of ``items``, in one round trip."""
        return run(values.set_many(self, items, deps, ttl, stamp))

    async def set_many_async(
        self,
        items: Mapping[str, Any],
        deps: str | Iterable[str] = (),
        ttl: Ttl = None,
        stamp: int | None = None,
    ) -> bool:
        """:meth:`set_many` without blocking the event loop."""
        return await arun(values.set_many(self, items, deps, ttl, stamp))

    def touch(self, key: str, ttl: Ttl = None) -> bool:
        """Restart the entry's lifetime with ``ttl`` seconds; whether the key exists.

        ``None`` takes ``default_ttl``, ``float("inf")`` none.
        """
        return run(values.touch(self, key, ttl))

    async def touch_async(self, key: str, ttl: Ttl = None) -> bool:
        """:meth:`touch` without blocking the event loop."""
        return await arun(values.touch(self, key, ttl))

    def delete(self, key: str) -> bool:
        """Remove the entry under ``key``; whether there was one."""
        return run(values.delete(self, key))

    async def delete_async(self, key: str) -> bool:
        """:meth:`delete` without blocking the event loop."""
        return await arun(values.delete(self, key))

    # Invalidation

    def invalidate(self, *tags: str, strict: bool = False) -> None:
        """Forget everything that depends on ``tags``, and on any tag below them.

        ``invalidate("user:*")`` means ``invalidate("user")``. When the call has returned, no read
        that begins afterwards gives a value whose computation began before it.

        Args:
            strict: raise if other processes cannot be told now. Otherwise the invalidation is
                applied here, delivered to them as soon as possible, and the failure is counted.

        Raises:
            InvalidTag: a tag is malformed; nothing has been invalidated then.
            BusUnavailable: ``strict``, and the authority did not answer.
        """
        if tags and not (len(tags) == 1 and type(tags[0]) is str and self.forget(tags[0])):
            self.publish(tuple(map(invalidation_target, tags)), strict)

    async def invalidate_async(self, *tags: str, strict: bool = False) -> None:
        """:meth:`invalidate` without blocking the event loop."""
        if tags:
            await self.apublish(tuple(map(invalidation_target, tags)), strict)

    def clear(self) -> None:
        """Forget everything in this engine's prefix; an invalidation of the root of all tags."""
        run(values.clear(self))

    async def clear_async(self) -> None:
        """:meth:`clear` without blocking the event loop."""
        await arun(values.clear(self))

    def get_tag_version(self, tag: str) -> int:
        """The number of the newest invalidation that reached ``tag``; 0 if there was none."""
        return self.trie.number_of(validate(tag))

    # About the cache

    def stats(self) -> Stats:
        """Counters since ``configure()`` in this process, and the sizes of now."""
        return replace(
            self.report.counts,
            entries=len(self.storage),
            tags=len(self.trie),
            position=self.trie.position,
        )

    @staticmethod
    def version() -> str:
        """The version of ZooCache that is installed."""
        return VERSION
