"""``manage.py zoocache_clear``: forget everything."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from zoocache_django.management.on_cache import add_cache_option, reaching, shared_engine


class Command(BaseCommand):
    """Clear the cache."""

    help = (
        "Forget everything that is cached under the PREFIX of settings.ZOOCACHE. Caches of "
        "settings.CACHES, where sessions may be, are left alone unless one is named."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the cache."""
        add_cache_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Clear it, where every process is told."""
        engine = shared_engine(options)
        with reaching(engine):
            engine.clear()
        self.stdout.write(self.style.SUCCESS("Cleared."))
