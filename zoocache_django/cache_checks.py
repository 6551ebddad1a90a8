"""System check of the aliases of ``settings.CACHES`` that have our backend.

======================  =========================================================
``zoocache.E010``       the settings are fine, but the storage is not available
======================  =========================================================

Settings that are not fine never get here: Django's own checks make an object of every alias, and
that raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks

from zoocache_core import ConfigurationError
from zoocache_django import engines

__all__ = ["check_caches", "install"]


def check_caches(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Name each alias that cannot be used, and why."""
    messages: list[checks.CheckMessage] = []
    for name, alias in engines.aliases().items():
        try:
            engines.engine_for(alias)
        except ConfigurationError as error:
            where = f"settings.CACHES[{name!r}]"
            messages.append(checks.Error(str(error), obj=where, id="zoocache.E010"))
    return messages


def install() -> None:
    """Register the check with Django."""
    checks.register(check_caches, checks.Tags.caches)
