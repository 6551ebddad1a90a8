"""ZooCache behind Django's cache API.

::

    CACHES = {
        "default": {
            "BACKEND": "zoocache_django.cache.ZooCacheBackend",
            "LOCATION": "redis://localhost:6379/0",
        }
    }

Every method does what the same method of Django's own backends does; what there is beyond them
(``tags=``, ``invalidate_tags``, ``ttl``, ...) is described where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zoocache_core import MISSING, operations
from zoocache_core.flows import arun, run
from zoocache_core.stamps import forget_misses
from zoocache_django.cache_base import NO_TIMEOUT, Tags, Timeout
from zoocache_django.cache_extras import Extras

__all__ = ["ZooCacheBackend"]


class ZooCacheBackend(Extras):
    """A cache of ``settings.CACHES``.

    Settings: ``LOCATION`` is the URL of the store (``redis://…``, ``lmdb:///…``, ``memory://name``
    or nothing for memory); ``KEY_PREFIX``, ``VERSION``, ``TIMEOUT`` and ``KEY_FUNCTION`` are
    Django's; ``OPTIONS`` takes the options of ``zoocache.configure()``.

    ``tags`` of the methods that store are what the value depends on: a tag, or an iterable of
    tags. A model's label, ``"shop.product"``, means any of its rows.
    """

    # Reading

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value under ``key``, else ``default``. A stored ``None`` is a value."""
        return self.engine.get(self.make_and_validate_key(key, version), default)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """See :meth:`get`."""
        return await self.engine.get_async(self.make_and_validate_key(key, version), default)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values that there are, by key, in one round trip."""
        made = self._made(keys, version)
        return _by_name(made, self.engine.get_many(made.values()))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """See :meth:`get_many`."""
        made = self._made(keys, version)
        return _by_name(made, await self.engine.get_many_async(made.values()))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is a value under ``key``."""
        made = self.make_and_validate_key(key, version)
        return run(operations.exists(self.engine, made))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """See :meth:`has_key`."""
        made = self.make_and_validate_key(key, version)
        return await arun(operations.exists(self.engine, made))

    # Storing

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> None:
        """Store ``value``."""
        made = self.make_and_validate_key(key, version)
        engine, lifetime, deps = self.engine, self._lifetime(timeout), self._deps(tags)
        if engine.direct:
            operations.put_at_once(engine, made, value, lifetime, deps)
        else:
            run(operations.put(engine, {made: value}, lifetime, deps))

    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> None:
        """See :meth:`set`."""
        made = self.make_and_validate_key(key, version)
        engine, lifetime, deps = self.engine, self._lifetime(timeout), self._deps(tags)
        if engine.direct:
            operations.put_at_once(engine, made, value, lifetime, deps)
        else:
            await arun(operations.put(engine, {made: value}, lifetime, deps))

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> list[Any]:
        """Store each item, in one round trip; the keys that could not be stored."""
        made = self._made(data, version)
        values = {made[key]: value for key, value in data.items()}
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        failed = run(operations.put(self.engine, values, lifetime, deps))
        return [key for key in made if made[key] in failed]

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> list[Any]:
        """See :meth:`set_many`."""
        made = self._made(data, version)
        values = {made[key]: value for key, value in data.items()}
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        failed = await arun(operations.put(self.engine, values, lifetime, deps))
        return [key for key in made if made[key] in failed]

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> bool:
        """Store ``value`` if there is none, atomically; whether there was none."""
        made = self.make_and_validate_key(key, version)
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        return run(operations.add(self.engine, made, value, lifetime, deps))

    async def aadd(
        self,
        key: Any,
        value: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> bool:
        """See :meth:`add`."""
        made = self.make_and_validate_key(key, version)
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        return await arun(operations.add(self.engine, made, value, lifetime, deps))

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> Any:
        """The value under ``key``, else ``default`` or what it returns, which is stored then.

        A callable ``default`` runs once for all who ask meanwhile, in this process and in others
        that share the store. With ``tags`` (which may be empty) the value also depends on what the
        callable reads from the database or through cached functions.
        """
        made = self.make_and_validate_key(key, version)
        if self.engine.direct and (found := self.engine.get(made, MISSING)) is not MISSING:
            return found
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        if not callable(default):
            return run(operations.get_or_add(self.engine, made, default, lifetime, deps))
        return run(
            operations.get_or_compute(self.engine, made, default, lifetime, deps, blocking=True)
        )

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Timeout = NO_TIMEOUT,
        version: int | None = None,
        *,
        tags: Tags = None,
    ) -> Any:
        """See :meth:`get_or_set`; ``default`` may be a coroutine function."""
        made = self.make_and_validate_key(key, version)
        if self.engine.direct and (found := self.engine.get(made, MISSING)) is not MISSING:
            return found
        lifetime, deps = self._lifetime(timeout), self._deps(tags)
        if not callable(default):
            return await arun(operations.get_or_add(self.engine, made, default, lifetime, deps))
        return await arun(
            operations.get_or_compute(self.engine, made, default, lifetime, deps, blocking=False)
        )

    # Changing

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add ``delta`` to the value, atomically, and return the sum. The lifetime goes on.

        Raises:
            ValueError: there is no value.
            TypeError: the value is no number.
        """
        made = self.make_and_validate_key(key, version)
        flow = operations.change(self.engine, made, lambda old: old + delta)
        return _number(key, run(flow))

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See :meth:`incr`."""
        made = self.make_and_validate_key(key, version)
        flow = operations.change(self.engine, made, lambda old: old + delta)
        return _number(key, await arun(flow))

    def touch(self, key: Any, timeout: Timeout = NO_TIMEOUT, version: int | None = None) -> bool:
        """Give the value another lifetime; whether there is one."""
        made = self.make_and_validate_key(key, version)
        return run(operations.touch(self.engine, made, self._lifetime(timeout)))

    async def atouch(
        self, key: Any, timeout: Timeout = NO_TIMEOUT, version: int | None = None
    ) -> bool:
        """See :meth:`touch`."""
        made = self.make_and_validate_key(key, version)
        return await arun(operations.touch(self.engine, made, self._lifetime(timeout)))

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Move the value to another version, with its tags and the rest of its lifetime; which.

        Raises:
            ValueError: there is no value.
        """
        made, new_made, new = self._versions(key, delta, version)
        return _version(key, new, run(operations.move(self.engine, made, new_made)))

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See :meth:`incr_version`."""
        made, new_made, new = self._versions(key, delta, version)
        return _version(key, new, await arun(operations.move(self.engine, made, new_made)))

    def _versions(self, key: Any, delta: int, version: int | None) -> tuple[str, str, int]:
        old = self.version if version is None else version
        new = old + delta
        return self.make_and_validate_key(key, old), self.make_and_validate_key(key, new), new

    # Forgetting

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Remove the value; whether there was one."""
        made = self.make_and_validate_key(key, version)
        return run(operations.delete(self.engine, made))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """See :meth:`delete`."""
        made = self.make_and_validate_key(key, version)
        return await arun(operations.delete(self.engine, made))

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Remove the values, in one round trip."""
        run(operations.remove(self.engine, self._made(keys, version).values()))

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """See :meth:`delete_many`."""
        await arun(operations.remove(self.engine, self._made(keys, version).values()))

    def clear(self) -> None:
        """Forget every value of this ``LOCATION`` and ``KEY_PREFIX``, and no other."""
        self.engine.clear()
        forget_misses(self.engine.generation)

    async def aclear(self) -> None:
        """See :meth:`clear`."""
        await self.engine.clear_async()
        forget_misses(self.engine.generation)


def _by_name(made: Mapping[Any, str], found: Mapping[str, Any]) -> dict[Any, Any]:
    return {key: found[name] for key, name in made.items() if name in found}


def _number(key: Any, result: Any) -> int:
    if result is MISSING:
        raise ValueError(f"Key {key!r} not found")
    number: int = result
    return number


def _version(key: Any, version: int, moved: bool) -> int:
    if not moved:
        raise ValueError(f"Key {key!r} not found")
    return version
