"""Flask-Caching on the storage of the application's ZooCache: only ``CACHE_TYPE`` changes.

::

    app.config["CACHE_TYPE"] = "zoocache_flask.caching.backend"
    ZooCache(app)
    Cache(app)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from flask import Flask

from zoocache_core.settings import Settings
from zoocache_flask.cachelib import ZooCacheBackend
from zoocache_flask.current import state_of

__all__ = ["backend"]


def backend(
    app: Flask, config: Mapping[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> ZooCacheBackend:
    """A cache in the storage of ``app``'s ZooCache, which has to be there already, under a prefix
    of its own, so that clearing one leaves the other alone.

    ``CACHE_OPTIONS`` may override options of ``zoocache.configure()``.

    Raises:
        NotConfigured: there is none; the message says what to write.
    """
    settings = state_of(app).engine.settings
    options = {option.name: getattr(settings, option.name) for option in fields(Settings)}
    # Timeouts run from when a value was stored, and what is stored is what its pickle says.
    options.update(read_extend_ttl=False, verify_values=False)
    options["prefix"] = ":".join(part for part in (settings.prefix, "flask-caching") if part)
    return ZooCacheBackend.factory(app, config, args, {**options, **kwargs})
