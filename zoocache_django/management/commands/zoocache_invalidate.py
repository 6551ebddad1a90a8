"""``manage.py zoocache_invalidate TAG…``: forget what depends on tags."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from zoocache_core import BusUnavailable, InvalidTag
from zoocache_django.management.on_cache import in_memory_only, the_engine


class Command(BaseCommand):
    """Invalidate tags."""

    help = (
        "Forget everything that depends on the tags, and on any tag below them: shop.product for "
        "all products, shop.product:7 for one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the tags."""
        parser.add_argument("tags", nargs="+", metavar="TAG")

    def handle(self, *args: Any, tags: list[str], **options: Any) -> None:
        """Invalidate them, where every process is told."""
        engine = the_engine()
        if in_memory_only(engine):
            raise CommandError(
                "The cache is in the memory of each process, which a command cannot reach. Restart "
                "the server, or set STORAGE_URL or BUS_URL."
            )
        try:
            engine.invalidate(*tags, strict=True)
        except (InvalidTag, BusUnavailable) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Invalidated {', '.join(tags)}."))
