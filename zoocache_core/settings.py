"""The options of ``configure()``: names, types, defaults, and what is refused.

A mistake in a setting is reported when the application starts, by name, with what is allowed; an
option that is accepted is never ignored.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from zoocache_core.clock import Clock, SystemClock
from zoocache_core.errors import ConfigurationError
from zoocache_core.events import EventSink

__all__ = ["Settings", "seconds"]

_SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Settings:
    """Validated settings of one engine. Durations are in seconds, sizes in bytes."""

    storage_url: str | None = field(default=None, repr=False)
    """Where entries live: ``None`` is this process's memory."""
    bus_url: str | None = field(default=None, repr=False)
    """Redis that carries invalidations between processes whose storage does not."""
    prefix: str | None = None
    """Separates keys, tags and bus from those of other applications on the same store."""
    default_ttl: float | None = None
    """Lifetime of entries stored without a ttl of their own; ``None``: until invalidated."""
    read_extend_ttl: bool = True
    """Whether every read restarts the entry's ttl (time to idle)."""
    max_entries: int | None = None
    """Limit on the number of entries (memory and LMDB)."""
    cull_frequency: int | None = None
    """At the limit, ``1 / cull_frequency`` of the entries is dropped at once (0: all of them);
    ``None``: no more than are in the way."""
    auto_prune_secs: float | None = None
    """Age at which the background worker drops tag numbers; ``None``: no worker."""
    auto_prune_interval: float = 3600
    """Pause between two runs of that worker."""
    lru_update_interval: float = 30
    """How often at most a read entry's recency is written to LMDB."""
    lmdb_map_size: int = 1 << 30
    """Maximum size of the LMDB database."""
    tti_flush_secs: float = 30
    """How often at most a ttl that reads extend is written to a durable storage."""
    flight_timeout: float = 60
    """How long a caller waits for another one's computation before it takes over."""
    max_staleness: float = 5
    """Upper bound on how far a process may lag behind others' invalidations (bus, near cache)."""
    near_max_entries: int | None = None
    """Size of an in-process cache in front of Redis; ``None``: none."""
    verify_values: bool = True
    """Whether a stored object is compared with the original, and refused unless it is the same.
    ``False``: an object is taken for what its pickle makes of it."""
    secret_key: bytes | tuple[bytes, ...] | None = field(default=None, repr=False)
    """Signs pickled values in shared storages; of several, the first signs and all are accepted."""
    compress_min_bytes: int | None = 4096
    """Payloads from this size on are compressed in shared storages; ``None``: never."""
    socket_timeout: float = 1.0
    """How long one call to Redis may take before the storage counts as down."""
    events: tuple[EventSink, ...] = ()
    """Sinks that are told every event."""
    clock: Clock = field(default=_SYSTEM_CLOCK, repr=False)
    """Source of time, replaced in tests."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Validate ``options``.

        Raises:
            ConfigurationError: an unknown option, or a value of the wrong type or out of range.
        """
        known = {option.name for option in fields(cls)}
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigurationError(
                    f"Unknown option {name!r}.{hint} Options are: {', '.join(sorted(known))}."
                )
        settings = cls(**{name: _CHECKS[name](name, value) for name, value in options.items()})
        on_redis = (settings.storage_url or "").startswith(("redis", "unix:"))
        if settings.near_max_entries is not None and not on_redis:
            raise ConfigurationError(
                "near_max_entries is a cache in front of Redis, but storage_url is "
                f"{settings.storage_url!r}. Set storage_url to a Redis URL, or use max_entries to "
                "bound memory and LMDB storage."
            )
        if settings.max_entries is not None and on_redis:
            raise ConfigurationError(
                f"max_entries={settings.max_entries} bounds memory and LMDB, but storage_url is a "
                "Redis, which bounds itself: set its maxmemory and maxmemory-policy, and leave "
                "max_entries out."
            )
        if settings.cull_frequency is not None and settings.max_entries is None:
            raise ConfigurationError(
                f"cull_frequency={settings.cull_frequency} says what to drop when max_entries is "
                "reached, but max_entries is None (no limit). Set max_entries too, or neither."
            )
        return settings


def _refuse(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"Option {name}={value!r} ({type(value).__name__}) is not allowed: expected {allowed}."
    )


def seconds(value: object, name: str = "ttl") -> float:
    """``value`` (int, float or timedelta) as a positive number of seconds.

    ``float("inf")`` is accepted and means "never expires".

    Raises:
        ValueError: it is of another type, not positive, or not a number.
    """
    number: object = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not number > 0:
        raise ValueError(
            f"{name}={value!r} is not allowed: expected a number of seconds above 0 or a timedelta."
        )
    return number


def _duration(name: str, value: object) -> float:
    try:
        number = seconds(value, name)
    except ValueError:
        number = math.inf
    if math.isinf(number):
        raise _refuse(name, value, "a finite number of seconds above 0, or a timedelta")
    return number


def _whole(least: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _refuse(name, value, f"a whole number of at least {least}")
        return value

    return check


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False")
    return value


def _url(name: str, value: object) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise _refuse(name, value, "a URL such as 'redis://localhost:6379', or None")
    return value


def _prefix(name: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", value):
        raise _refuse(name, value, "1 to 128 letters, digits, '_', '.', ':' or '-', or None")
    return value


def _secret(name: str, value: object) -> bytes | tuple[bytes, ...]:
    keys = [value] if isinstance(value, (str, bytes)) else value
    if not isinstance(keys, (list, tuple)) or not keys:
        raise ConfigurationError(
            f"Option {name} ({type(value).__name__}) is not allowed: expected a str, bytes, or a "
            "list of them, the newest first."
        )
    # The value itself is not shown: it is a secret.
    encoded = []
    for key in keys:
        raw = key.encode() if isinstance(key, str) else key
        if not isinstance(raw, bytes) or len(raw) < 16:
            raise ConfigurationError(
                f"Option {name} is not allowed: each key must be a str or bytes of at least 16 "
                "bytes. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'."
            )
        encoded.append(raw)
    return tuple(encoded)


def _sinks(name: str, value: object) -> tuple[EventSink, ...]:
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes)):
        raise _refuse(name, value, "a list of event sinks")
    sinks = tuple(value)
    methods = [method for method in vars(EventSink) if not method.startswith("_")]
    for sink in sinks:
        missing = [method for method in methods if not callable(getattr(sink, method, None))]
        if missing:
            raise _refuse(name, sink, f"event sinks, with the method(s) {', '.join(missing)}")
    return sinks


def _clock(name: str, value: object) -> Clock:
    if not callable(getattr(value, "monotonic", None)) or not callable(
        getattr(value, "time", None)
    ):
        raise _refuse(name, value, "an object with the methods monotonic() and time()")
    return value  # type: ignore[return-value]


def _optional(check: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda name, value: None if value is None else check(name, value)


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "storage_url": _optional(_url),
    "bus_url": _optional(_url),
    "prefix": _optional(_prefix),
    "default_ttl": _optional(_duration),
    "read_extend_ttl": _flag,
    "max_entries": _optional(_whole(1)),
    "cull_frequency": _optional(_whole(0)),
    "auto_prune_secs": _optional(_duration),
    "auto_prune_interval": _duration,
    "lru_update_interval": _duration,
    "lmdb_map_size": _whole(64 * 1024),
    "tti_flush_secs": _duration,
    "flight_timeout": _duration,
    "max_staleness": _duration,
    "near_max_entries": _optional(_whole(1)),
    "verify_values": _flag,
    "secret_key": _optional(_secret),
    "compress_min_bytes": _optional(_whole(0)),
    "socket_timeout": _duration,
    "events": _sinks,
    "clock": _clock,
}
