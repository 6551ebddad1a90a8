"""Expressions of the ORM as text, the same exactly when they ask for the same."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Field
from django.utils import timezone

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode

__all__ = ["expressions_text"]


def expressions_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What tells these expressions from others, or ``None`` if nothing is known that does.

    An expression is known by what it was constructed from. Some mean something else in another
    time zone, so the current one counts, too.
    """
    zone = timezone.get_current_timezone_name() if settings.USE_TZ else None
    try:
        return encode((zone, _text(args), _text(kwargs)))
    except (UnsupportedValue, ValueError):
        # A queryset in a subquery, for one, or a class that was made in a function.
        return None


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return encode([type(value), *map(_text, value)])
    if isinstance(value, dict):
        return encode([(name, _text(item)) for name, item in value.items()])
    if isinstance(value, Field):
        return encode(("field", _text(value.deconstruct()[1:])))
    if hasattr(value, "deconstruct"):
        return encode(("expression", _text(value.deconstruct())))
    return encode(value)
