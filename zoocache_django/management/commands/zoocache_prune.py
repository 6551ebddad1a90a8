"""``manage.py zoocache_prune``: drop what is remembered of tags long not invalidated."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from zoocache_django import conf
from zoocache_django.management.on_cache import add_cache_option, reaching, the_engine

_DAY = 86400.0


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not allowed: expected a number of seconds, 0 or more")
    return number


class Command(BaseCommand):
    """Prune the tree of invalidated tags."""

    help = (
        "Drop the recorded invalidations of tags that were not invalidated for some time, to give "
        "their memory back. Cached values older than what is dropped are computed once more; none "
        "becomes stale."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the age."""
        parser.add_argument(
            "--max-age",
            type=_seconds,
            default=_DAY,
            metavar="SECONDS",
            help="drop tags not invalidated for so long (default: 86400, one day)",
        )
        add_cache_option(parser)

    def handle(self, *args: Any, max_age: float, **options: Any) -> None:
        """Prune, and say how much was dropped."""
        engine = the_engine(options)
        with reaching(engine):
            dropped = engine.prune(max_age)
        self.stdout.write(self.style.SUCCESS(f"Dropped {dropped} branches of tags."))
        if conf.is_private(engine.settings.storage_url, engine.settings.bus_url):
            self.stdout.write(
                self.style.WARNING(
                    "The cache is in the memory of each process, so only this process was pruned. "
                    "Set AUTO_PRUNE_SECS to have every process prune its own."
                )
            )
