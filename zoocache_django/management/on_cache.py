"""What the commands on the cache have in common: which cache, and what to say without one."""

from __future__ import annotations

from django.core.management.base import CommandError

from zoocache_core import ConfigurationError, Engine
from zoocache_django import conf

__all__ = ["in_memory_only", "place_of", "the_engine"]


def the_engine() -> Engine:
    """The engine of ``settings.ZOOCACHE``.

    Raises:
        CommandError: the settings have mistakes, or the storage is not available.
    """
    try:
        return conf.engine()
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def in_memory_only(engine: Engine) -> bool:
    """Whether what the command does is not seen by any other process."""
    return not (engine.settings.storage_url or engine.settings.bus_url)


def place_of(engine: Engine) -> str:
    """Where the entries are, without the password."""
    scheme, separator, rest = (engine.settings.storage_url or "memory").partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
