"""What every operation of the cache backend needs: its engine, keys, lifetimes and tags."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from numbers import Real
from typing import Any, Final

from django.core.cache.backends.base import (
    DEFAULT_TIMEOUT,
    MEMCACHE_MAX_KEY_LENGTH,
    BaseCache,
    InvalidCacheBackendError,
    default_key_func,
)

from zoocache_core import Engine
from zoocache_core.tags import validate_many
from zoocache_django import engines
from zoocache_django.tags import as_deps

__all__ = ["NO_TIMEOUT", "EngineCache", "Tags", "Timeout"]

Tags = str | Iterable[str] | None
Timeout = float | timedelta | None

NO_TIMEOUT: Final[Any] = DEFAULT_TIMEOUT
_DJANGO_TIMEOUT: Final = 300


class EngineCache(BaseCache):
    """An alias of ``settings.CACHES`` and the engine behind it.

    The object holds no connection and may be made and dropped at any time; the engine belongs to
    the process.
    """

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        self._alias = engines.read(location, params)
        timeout = _default_timeout(params.get("TIMEOUT", _DJANGO_TIMEOUT))
        # Django would make whole seconds of it, and 300 of a mistake.
        super().__init__({**params, "TIMEOUT": None})
        self.default_timeout = timeout
        self._max_entries = self._alias.settings.max_entries or 0
        self._cull_frequency = self._alias.settings.cull_frequency or 0
        # Subclasses may have their own idea of a valid key, and then see each one.
        self._sees_every_key = type(self).validate_key is not BaseCache.validate_key

    @cached_property
    def engine(self) -> Engine:
        """The engine that this alias shares with all threads; opened on first use."""
        return engines.engine_for(self._alias)

    # Keys, lifetimes, tags

    def make_key(self, key: Any, version: int | None = None) -> str:
        """The key as the storage sees it."""
        if version is None:
            version = self.version
        if self.key_func is default_key_func:
            return f"{self.key_prefix}:{version}:{key}"
        made = self.key_func(key, self.key_prefix, version)
        # A subclass of str, such as a text marked as safe, is no exact key.
        return made if type(made) is str else str.__str__(made)

    def make_and_validate_key(self, key: Any, version: int | None = None) -> str:
        """:meth:`make_key`, with Django's warning of keys that memcached would refuse."""
        made = self.make_key(key, version)
        if (
            self._sees_every_key
            or len(made) > MEMCACHE_MAX_KEY_LENGTH
            or " " in made
            or not made.isprintable()
        ):
            self.validate_key(made)
        return made

    def _lifetime(self, timeout: Any) -> float:
        if timeout is NO_TIMEOUT:
            timeout = self.default_timeout
        if type(timeout) is int or (type(timeout) is float and timeout == timeout):
            return timeout
        if timeout is None:
            return math.inf
        if isinstance(timeout, timedelta):
            return timeout.total_seconds()
        if not isinstance(timeout, Real) or math.isnan(timeout):
            raise TypeError(
                f"timeout={timeout!r} is not allowed: expected seconds (0 or less: expired at "
                "once), a timedelta, or None for no expiry."
            )
        return float(timeout)

    @staticmethod
    def _deps(tags: Tags) -> tuple[str, ...] | None:
        return None if tags is None else validate_many(as_deps(tags))

    def _made(self, keys: Iterable[Any], version: int | None) -> dict[Any, str]:
        return {key: self.make_and_validate_key(key, version) for key in keys}


def _default_timeout(written: Any) -> float | None:
    """``TIMEOUT``, which may come from the environment as a text."""
    try:
        seconds = None if written is None else _number(written)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and math.isnan(seconds):
        raise InvalidCacheBackendError(
            f"CACHES: TIMEOUT={written!r} is not allowed: expected a number of seconds, or None "
            "for values that never expire."
        )
    return seconds


def _number(written: Any) -> float:
    return written if type(written) is int else float(written)
