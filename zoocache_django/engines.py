"""One engine for each store that ``settings.CACHES`` names, shared by all threads of the process.

Django makes a backend object for every thread (and every asynchronous request), so the engine
behind it lives here. Two aliases with one ``LOCATION``, ``KEY_PREFIX`` and options are two views of
one cache, as they are with Django's own backends.

``LOCATION``, ``KEY_PREFIX`` and ``TIMEOUT`` say what Django says they do; ``OPTIONS`` takes the
options of ``zoocache_core.configure()``, in upper or lower case, except those three, and
``INVALIDATE_ON_WRITE``: whether values whose tags name models are forgotten when these are written
(the default). Every committed write is published to such a cache, from the start of the process.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.base import InvalidCacheBackendError
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from zoocache_core import ConfigurationError, Engine
from zoocache_core.settings import Settings
from zoocache_core.tags import tag
from zoocache_django.database.publishing import follow, unfollow
from zoocache_django.signing import secret_keys

__all__ = ["OPTIONS", "Alias", "aliases", "close_all", "engine_for", "open_followers", "read"]

OPTIONS: Final = tuple(
    option.name
    for option in fields(Settings)
    if option.name not in ("storage_url", "prefix", "default_ttl")
)
"""The engine's options that ``OPTIONS`` may hold."""

_FOLLOWS: Final = "invalidate_on_write"
_ELSEWHERE: Final = {
    "storage_url": "LOCATION",
    "prefix": "KEY_PREFIX",
    "default_ttl": "TIMEOUT",
}
_PARAMETERS: Final = ("KEY_FUNCTION", "KEY_PREFIX", "OPTIONS", "TIMEOUT", "VERSION")
_DJANGO_CULL_FREQUENCY: Final = 3
_MAX_PREFIX: Final = 128

_MOST_JUDGED: Final = 64

_engines: dict[Settings, Engine] = {}
_judged: Final[dict[str, Alias]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Alias:
    """What an alias of ``settings.CACHES`` says about its engine."""

    settings: Settings
    follows: bool
    """Whether writes of models invalidate anything in it."""


def read(location: object, params: Mapping[str, Any]) -> Alias:
    """Judge an alias of ``settings.CACHES``, without opening anything.

    Raises:
        InvalidCacheBackendError: there is no such option, or a value is not allowed.
    """
    # Django makes a backend object for every asynchronous request.
    written = repr((location, params))
    found = _judged.get(written)
    if found is None:
        found = _judge(location, params)
        if len(_judged) >= _MOST_JUDGED:
            _judged.clear()
        _judged[written] = found
    return found


def _judge(location: object, params: Mapping[str, Any]) -> Alias:
    for name in params:
        if name not in _PARAMETERS:
            raise InvalidCacheBackendError(
                f"CACHES: unknown setting {name!r}.{_hint(name, _PARAMETERS)} Beside BACKEND and "
                f"LOCATION, ZooCacheBackend takes {', '.join(_PARAMETERS)}."
            )
    options = _options(params.get("OPTIONS") or {})
    follows = options.pop(_FOLLOWS, True)
    if not isinstance(follows, bool):
        raise InvalidCacheBackendError(
            f"CACHES: OPTIONS has {_FOLLOWS.upper()}={follows!r}: expected True or False."
        )
    if options.get("max_entries") is not None:
        options.setdefault("cull_frequency", _DJANGO_CULL_FREQUENCY)
    if location:
        options["storage_url"] = _url(location)
        if not options["storage_url"].startswith("memory:"):
            # Memory is private to the process, and needs no signatures.
            options.setdefault("secret_key", secret_keys())
    options["prefix"] = _prefix(params.get("KEY_PREFIX", ""))
    # Django's timeouts run from when a value was stored, not from when it was read last, and what
    # it caches is what a pickle holds.
    defaults = {"read_extend_ttl": False, "verify_values": False}
    try:
        return Alias(Settings.of({**defaults, **options}), follows)
    except ConfigurationError as error:
        raise InvalidCacheBackendError(f"CACHES: {error}") from error


def engine_for(alias: Alias) -> Engine:
    """The engine with these settings: the one that is open, or a new one.

    Raises:
        ConfigurationError: the storage cannot be opened.
    """
    wanted = alias.settings
    with _lock:
        engine = _engines.get(wanted)
        if engine is None:
            given = {option.name: getattr(wanted, option.name) for option in fields(Settings)}
            engine = _engines[wanted] = Engine(**given)
        if alias.follows:
            follow(engine)
        return engine


def open_followers() -> None:
    """Open every engine that has to learn what this process writes, used or not.

    A process that only writes would otherwise leave what others have cached as it is.
    """
    for alias in aliases().values():
        if alias.follows:
            try:
                engine_for(alias)
            except ConfigurationError:
                # Whoever uses it is told, and so is `manage.py check`.
                continue


def close_all(keep: frozenset[Settings] = frozenset()) -> None:
    """Close the engines, except those with the settings to ``keep``.

    What they stored stays where it is, unless that is the memory of this process.
    """
    with _lock:
        for wanted in [wanted for wanted in _engines if wanted not in keep]:
            engine = _engines.pop(wanted)
            unfollow(engine)
            engine.reset()


def _options(written: object) -> dict[str, Any]:
    if not isinstance(written, Mapping):
        raise InvalidCacheBackendError(
            f"CACHES: OPTIONS must be a dict, not {type(written).__name__}: {written!r:.80}."
        )
    options: dict[str, Any] = {}
    for key, value in written.items():
        name = key.lower() if isinstance(key, str) else key
        if name in _ELSEWHERE:
            raise InvalidCacheBackendError(
                f"CACHES: OPTIONS has {key!r}, which is given by {_ELSEWHERE[name]} here."
            )
        if name not in OPTIONS and name != _FOLLOWS:
            known = (*OPTIONS, _FOLLOWS)
            allowed = ", ".join(sorted(option.upper() for option in known))
            raise InvalidCacheBackendError(
                f"CACHES: OPTIONS has {key!r}, and there is no such option."
                f"{_hint(str(name), known)} Options are: {allowed}."
            )
        if name in options:
            raise InvalidCacheBackendError(f"CACHES: OPTIONS has {name!r} twice. Remove one.")
        options[name] = value
    return options


def _hint(name: str, known: tuple[str, ...]) -> str:
    cased = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.lower(), cased, n=1)
    return f" Did you mean {cased[close[0]].upper()!r}?" if close else ""


def _url(location: object) -> str:
    if isinstance(location, str):
        if "://" in location:
            return location
        if re.fullmatch(r"[\w-]+", location):
            # The name of a LocMemCache.
            return f"memory://{location}"
    raise InvalidCacheBackendError(
        f"CACHES: LOCATION={location!r} is not a URL. Expected 'redis://host:6379/0', "
        "'lmdb:///path/to/directory', or, for the memory of each process, 'memory://name' or ''."
    )


def _prefix(key_prefix: object) -> str:
    """The engine's prefix, another one for every ``KEY_PREFIX``.

    It keeps the cache apart from the engine of ``settings.ZOOCACHE`` on the same store.
    """
    text = str(key_prefix)
    if not text:
        return "django"
    prefix = f"django:{tag(text)}"
    if len(prefix) > _MAX_PREFIX:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        prefix = f"django:-{digest}"
    return prefix


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """After ``override_settings(CACHES=...)``, close what is not in ``CACHES`` any more."""
    if setting in ("CACHES", "SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        _judged.clear()
        close_all(keep=frozenset(alias.settings for alias in aliases().values()))
        if apps.is_installed("zoocache_django"):
            open_followers()


def aliases() -> dict[str, Alias]:
    """The aliases of ``settings.CACHES`` that have this backend, by name, unless they are wrong."""
    # Here, because the backend needs this module.
    from zoocache_django.cache import ZooCacheBackend

    found: dict[str, Alias] = {}
    for name, written in settings.CACHES.items():
        params = dict(written)
        location = params.pop("LOCATION", "")
        try:
            backend = import_string(params.pop("BACKEND", ""))
            if isinstance(backend, type) and issubclass(backend, ZooCacheBackend):
                found[name] = read(location, params)
        except (ImportError, InvalidCacheBackendError):
            # Django tells whoever uses it.
            continue
    return found


def _in_forked_child() -> None:
    # The thread that may have held it does not exist here.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
setting_changed.connect(_on_setting_changed, dispatch_uid="zoocache_django.engines")
