"""``manage.py zoocache_check``: is the cache reachable, writable, coherent?"""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from zoocache_core import BusUnavailable, Engine, StorageIsFull
from zoocache_django.management.on_cache import add_cache_option, place_of, the_engine


class Command(BaseCommand):
    """Store, read, invalidate."""

    help = (
        "Store a value, read it, invalidate it and make sure that it is gone. Exits with an error "
        "if one of that fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the cache."""
        add_cache_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Try it."""
        engine = the_engine(options)
        problem = _problem(engine)
        if problem is not None:
            raise CommandError(f"storage {place_of(engine)}: {problem}")
        self.stdout.write(
            self.style.SUCCESS(f"storage {place_of(engine)}: reachable, writable, coherent.")
        )


def _problem(engine: Engine) -> str | None:
    mark = secrets.token_hex(8)
    key, dep = f"zoocache-check:{mark}", f"zoocache.check:{mark}"
    try:
        if not engine.set(key, mark, deps=dep, ttl=60):
            return "a value could not be stored; the log says why."
        if engine.get(key) != mark:
            return "a value that was stored could not be read; the log says why."
        engine.invalidate(dep, strict=True)
        if engine.get(key) is not None:
            return "a value was still there after its tag had been invalidated."
    except (BusUnavailable, StorageIsFull) as error:
        return str(error)
    finally:
        engine.delete(key)
    return None
