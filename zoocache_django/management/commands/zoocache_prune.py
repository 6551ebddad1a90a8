"""``manage.py zoocache_prune``: drop what is remembered of tags long not invalidated."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from zoocache_core import ConfigurationError
from zoocache_django import conf

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

    def handle(self, *args: Any, max_age: float, **options: Any) -> None:
        """Prune, and say how much was dropped."""
        try:
            engine = conf.engine()
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        dropped = engine.prune(max_age)
        self.stdout.write(self.style.SUCCESS(f"Dropped {dropped} branches of tags."))
        if not (engine.settings.storage_url or engine.settings.bus_url):
            self.stdout.write(
                self.style.WARNING(
                    "The cache is in the memory of each process, so only this process was pruned. "
                    "Set AUTO_PRUNE_SECS to have every process prune its own."
                )
            )
