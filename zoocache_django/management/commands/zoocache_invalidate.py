"""``manage.py zoocache_invalidate TAG…``: forget what depends on tags."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from zoocache_core import InvalidTag
from zoocache_django.management.on_cache import add_cache_option, reaching, shared_engine


class Command(BaseCommand):
    """Invalidate tags."""

    help = (
        "Forget everything that depends on the tags, and on any tag below them: shop.product for "
        "all products, shop.product:7 for one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the tags."""
        parser.add_argument("tags", nargs="+", metavar="TAG")
        add_cache_option(parser)

    def handle(self, *args: Any, tags: list[str], **options: Any) -> None:
        """Invalidate them, where every process is told."""
        engine = shared_engine(options)
        for tag in tags:
            label = _label_of(tag)
            if label is not None:
                self.stderr.write(
                    self.style.WARNING(
                        f"{tag!r} is no model's tag, because case counts: for the rows of that "
                        f"model write {label!r}."
                    )
                )
        try:
            with reaching(engine):
                engine.invalidate(*tags, strict=True)
        except InvalidTag as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Invalidated {', '.join(tags)}."))


def _label_of(tag: str) -> str | None:
    """What was meant by a tag that begins with the name of a model, but not as tags do."""
    name, colon, rest = tag.partition(":")
    try:
        label: str = apps.get_model(name)._meta.label_lower
    except (LookupError, ValueError):
        return None
    return None if name == label else f"{label}{colon}{rest}"
