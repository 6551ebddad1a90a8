"""ZooCache behind the cache API of cachelib, for Flask-Caching, Flask-Session and the like.

::

    Cache(app, config={
        "CACHE_TYPE": "zoocache_flask.cachelib.ZooCacheBackend",
        "CACHE_OPTIONS": {"storage_url": "redis://localhost:6379", "prefix": "shop"},
    })

Every method does what the same method of cachelib's own caches does. Beyond them, ``set``, ``add``
and ``set_many`` take ``tags=``, and ``invalidate_tags()`` forgets what depends on a tag.
"""

from __future__ import annotations

import math
import pickle
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from zoocache_core import MISSING, ConfigurationError, Engine, operations
from zoocache_core.flows import run
from zoocache_core.globs import escape, name_of
from zoocache_core.tags import validate_many
from zoocache_flask.conf import signing_keys

try:
    from cachelib import BaseCache
except ImportError as error:
    raise ImportError("zoocache_flask.cachelib needs cachelib: pip install cachelib") from error

if not TYPE_CHECKING:
    with suppress(ImportError):
        # Flask-Caching before 2.5 takes a cache of no kind of its own for a function.
        from flask_caching.backends.base import BaseCache

if TYPE_CHECKING:
    pass

__all__ = ["ZooCacheBackend"]

Timeout = float | timedelta | None
Tags = str | Iterable[str] | None

_PREFIX: Final = "cachelib"


class ZooCacheBackend(BaseCache):  # type: ignore[misc, unused-ignore]
    """A cachelib cache.

    Args:
        default_timeout: seconds or a timedelta, for values stored without a timeout of their own;
            0 means for ever.
        ignore_delete_many_errors: accepted for cachelib's sake. Deleting does not fail: what
            cannot be deleted because the storage is away is forgotten when it is back.
        engine: an engine with ``read_extend_ttl=False`` to use. ``clear()`` then forgets what this
            cache has stored and nothing else of the engine's.
        options: without an ``engine``, the options of ``zoocache.configure()`` for an engine of
            this cache's own. ``threshold`` stands for ``max_entries``.

    Raises:
        ConfigurationError: an option is unknown, mistyped or out of range, or the engine prolongs
            what is read.
    """

    def __init__(
        self,
        default_timeout: float | timedelta = 300,
        ignore_delete_many_errors: bool = True,
        engine: Engine | None = None,
        threshold: int | None = None,
        key_prefix: str = "",
        **options: Any,
    ) -> None:
        self.default_timeout = _seconds(default_timeout)  # type: ignore[assignment, unused-ignore]
        self.ignore_delete_many_errors = ignore_delete_many_errors
        self._prefix = key_prefix
        if engine is not None:
            if options or threshold is not None:
                raise TypeError(
                    "ZooCacheBackend takes either an engine or the options of one, not both: "
                    f"{', '.join([*options, *(['threshold'] if threshold else [])])}"
                )
            if engine.settings.read_extend_ttl:
                raise ConfigurationError(
                    "Timeouts of a cachelib cache count from when a value was stored, but each "
                    "read restarts those of this engine. Configure it with read_extend_ttl=False, "
                    "or give ZooCacheBackend the options of an engine of its own."
                )
            self._prefix = f"{_PREFIX}:{key_prefix}"
            self.engine = engine
        else:
            if threshold:
                options.setdefault("max_entries", threshold)
            options.setdefault("prefix", _PREFIX)
            # Timeouts run from when a value was stored, and what is stored is what its pickle says.
            self.engine = Engine(**{"read_extend_ttl": False, "verify_values": False, **options})
            weakref.finalize(self, self.engine.reset)

    @classmethod
    def factory(cls, *given: Any, **options: Any) -> ZooCacheBackend:
        """How Flask-Caching makes the caches that it knows by a dotted path.

        Before 2.5 it gives the application, its configuration, arguments and options: then with
        ``CACHE_KEY_PREFIX``, and signing with a key derived from the application's secret. Since
        then, only arguments and options.
        """
        if options:
            return cls(*given, **options)
        app, config, args, kwargs = given
        options = {"key_prefix": config.get("CACHE_KEY_PREFIX") or "", **kwargs}
        if "engine" not in options and options.get("storage_url") and signing_keys(app):
            options.setdefault("secret_key", signing_keys(app))
        return cls(*args, **options)

    # Reading

    def get(self, key: str) -> Any:
        """The value under ``key``, else ``None``."""
        return self.engine.get(self._prefix + key)

    def get_many(self, *keys: str) -> list[Any]:
        """The values under ``keys``, ``None`` for each that there is not, in one round trip."""
        made = [self._prefix + key for key in keys]
        found = self.engine.get_many(made)
        return [found.get(key) for key in made]

    def get_dict(self, *keys: str) -> dict[str, Any]:
        """:meth:`get_many` by key."""
        return dict(zip(keys, self.get_many(*keys), strict=True))

    def has(self, key: str) -> bool:
        """Whether there is a value under ``key``."""
        return run(operations.exists(self.engine, self._prefix + key))

    # Storing

    def set(self, key: str, value: Any, timeout: Timeout = None, *, tags: Tags = None) -> bool:
        """Store ``value``; whether it was stored.

        Raises:
            pickle.PicklingError: it cannot be.
        """
        return bool(self.set_many({key: value}, timeout, tags=tags))

    def set_many(
        self, mapping: Mapping[str, Any], timeout: Timeout = None, *, tags: Tags = None
    ) -> list[Any]:
        """:meth:`set` for each item, in one round trip; the keys that were stored."""
        values = {self._prefix + key: value for key, value in mapping.items()}
        flow = operations.put(self.engine, values, self._lifetime(timeout), _valid(tags))
        failed = _pickled(lambda: run(flow))
        return [key for key in mapping if self._prefix + key not in failed]

    def add(self, key: str, value: Any, timeout: Timeout = None, *, tags: Tags = None) -> bool:
        """Store ``value`` if there is none, atomically; whether it was stored."""
        lifetime = self._lifetime(timeout)
        flow = operations.add(self.engine, self._prefix + key, value, lifetime, _valid(tags))
        return bool(_pickled(lambda: run(flow)))

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Add ``delta`` to the value, atomically, and return the sum; from 0 if there is none.

        ``None`` if the storage cannot be reached. The lifetime of a value goes on.
        """
        made = self._prefix + key
        for _ in range(_ATTEMPTS):
            total = run(operations.change(self.engine, made, lambda old: (old or 0) + delta))
            if total is not MISSING:
                number: int = total
                return number
            if self.add(key, delta):
                return delta
        return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """:meth:`inc` by ``-delta``."""
        return self.inc(key, -delta)

    # Forgetting

    def delete(self, key: str) -> bool:
        """Remove the value; whether there was one."""
        return run(operations.delete(self.engine, self._prefix + key))

    def delete_many(self, *keys: str) -> list[Any]:
        """Remove the values, in one round trip; the keys that are gone, which is all of them."""
        run(operations.remove(self.engine, [self._prefix + key for key in keys]))
        return list(keys)

    def clear(self) -> bool:
        """Forget every value of this cache, and no other."""
        if self._prefix:
            self.engine.publish([name_of(f"{escape(self._prefix)}*")])
        else:
            self.engine.clear()
        return True

    def delete_many_with_prefix(self, prefix: str) -> bool:
        """Forget every value whose key begins with ``prefix``."""
        self.engine.publish([name_of(f"{escape(self._prefix + prefix)}*")])
        return True

    def invalidate_tags(self, *tags: str) -> None:
        """Forget every value that depends on ``tags`` or on a tag below them.

        Raises:
            InvalidTag: a tag is malformed; nothing has been forgotten then.
        """
        self.engine.invalidate(*tags)

    def _lifetime(self, timeout: Timeout) -> float:
        seconds = self.default_timeout if timeout is None else _seconds(timeout)
        return math.inf if seconds == 0 else seconds


_ATTEMPTS: Final = 100
"""How often a counter may be removed between the two looks at it."""


def _seconds(timeout: object) -> float:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds:
        raise TypeError(
            f"timeout={timeout!r} is not allowed: expected a number of seconds (0: for ever) or a "
            "timedelta."
        )
    return seconds


def _valid(tags: Tags) -> tuple[str, ...] | None:
    return None if tags is None else validate_many(tags)


def _pickled(store: Callable[[], Any]) -> Any:
    try:
        return store()
    except pickle.PickleError:
        raise
    except (TypeError, AttributeError) as error:
        # What Python's own pickler raises for most objects that cannot be pickled.
        raise pickle.PicklingError(str(error)) from error
