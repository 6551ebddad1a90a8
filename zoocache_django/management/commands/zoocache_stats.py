"""``manage.py zoocache_stats``: what is stored."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from zoocache_django.management.on_cache import (
    add_cache_option,
    place_of,
    reaching,
    the_engine,
)


class Command(BaseCommand):
    """Show the sizes and counters."""

    help = (
        "Show how much is stored and at which position the invalidations are. Hits and misses are "
        "counted by each process for itself, so here they are those of this command."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the format."""
        parser.add_argument("--json", action="store_true", help="as one JSON object")
        add_cache_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them."""
        engine = the_engine(options)
        with reaching(engine):
            counted = engine.stats().as_dict()
            # The counters are there without the store; whether that is, shows when it is used.
            engine.get("zoocache-stats")
        if options["json"]:
            self.stdout.write(json.dumps({"storage": place_of(engine), **counted}))
            return
        self.stdout.write(f"storage {place_of(engine)}")
        for name, number in counted.items():
            self.stdout.write(f"{name:<14}{number:>12,}")
