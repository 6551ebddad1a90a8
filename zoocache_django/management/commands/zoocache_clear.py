"""``manage.py zoocache_clear``: forget everything."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoocache_core import BusUnavailable
from zoocache_django.management.on_cache import in_memory_only, the_engine


class Command(BaseCommand):
    """Clear the cache."""

    help = (
        "Forget everything that is cached under the PREFIX of settings.ZOOCACHE. Caches of "
        "settings.CACHES, where sessions may be, are left alone unless they share it."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Clear it, where every process is told."""
        engine = the_engine()
        if in_memory_only(engine):
            raise CommandError(
                "The cache is in the memory of each process, which a command cannot reach. Restart "
                "the server, or set STORAGE_URL or BUS_URL."
            )
        failed = engine.stats().errors
        try:
            engine.clear()
        except BusUnavailable as error:
            raise CommandError(str(error)) from error
        if engine.stats().errors > failed:
            raise CommandError("The storage could not be reached; the log says why.")
        self.stdout.write(self.style.SUCCESS("Cleared."))
