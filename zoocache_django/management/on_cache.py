"""What the commands on a cache have in common: which cache, and what to say where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from zoocache_core import BusUnavailable, ConfigurationError, Engine
from zoocache_core.redis.address import masked
from zoocache_django import conf, engines

__all__ = ["add_cache_option", "place_of", "reaching", "shared_engine", "the_engine"]

IN_MEMORY: Final = (
    "The cache is in the memory of each process, which a command cannot reach. Restart the server, "
    "or set {remedy}."
)


def add_cache_option(parser: CommandParser) -> None:
    """Let a command be used on an alias of ``settings.CACHES``."""
    parser.add_argument(
        "--cache",
        metavar="ALIAS",
        help="an alias of settings.CACHES, in place of the cache of settings.ZOOCACHE",
    )


def the_engine(options: dict[str, Any]) -> Engine:
    """The engine of the alias in the command's options, or of ``settings.ZOOCACHE``.

    Raises:
        CommandError: there is no such alias, the settings have mistakes, or the storage is not
            available.
    """
    alias = options.get("cache")
    try:
        return conf.engine() if alias is None else engines.engine_for(_alias(alias))
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def _alias(name: str) -> engines.Alias:
    known = engines.aliases()
    if name in known:
        return known[name]
    if name in settings.CACHES:
        raise CommandError(
            f"settings.CACHES[{name!r}] has the backend {settings.CACHES[name].get('BACKEND')!r}, "
            "or settings that it does not take (manage.py check names them): expected "
            "'zoocache_django.cache.ZooCacheBackend'."
        )
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise CommandError(
        f"There is no cache {name!r} in settings.CACHES.{hint} Those of ZooCache are: "
        f"{', '.join(sorted(known)) or 'none'}. Without --cache, it is that of settings.ZOOCACHE."
    )


def shared_engine(options: dict[str, Any]) -> Engine:
    """:func:`the_engine`, for a command that has to have an effect on other processes.

    Raises:
        CommandError: as there, and where the cache is in the memory of each process.
    """
    engine = the_engine(options)
    if conf.is_private(engine.settings.storage_url, engine.settings.bus_url):
        alias = options.get("cache")
        remedy = "STORAGE_URL or BUS_URL" if alias is None else f"the LOCATION of {alias!r}"
        raise CommandError(IN_MEMORY.format(remedy=remedy))
    return engine


@contextmanager
def reaching(engine: Engine) -> Iterator[None]:
    """Have a command fail if its storage or bus could not be reached meanwhile.

    Raises:
        CommandError: so it was. What was to be delivered later is lost, for the process ends.
    """
    failed, reason = engine.stats().errors, "the log says why"
    try:
        yield
    except BusUnavailable as error:
        failed, reason = -1, str(error.__cause__ or error)
    if engine.stats().errors > failed:
        raise CommandError(
            f"{place_of(engine)} could not be reached, so nothing is certain. Try again. ({reason})"
        )


def place_of(engine: Engine) -> str:
    """Where the entries are, without the password."""
    return masked(engine.settings.storage_url or "memory")
