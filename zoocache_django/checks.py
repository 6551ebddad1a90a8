"""System checks: every mistake in ``settings.ZOOCACHE``, each by its own id.

======================  =========================================================
``zoocache.E001``       ``ZOOCACHE`` is not a dict
``zoocache.E002``       an option is given twice, in lower and in upper case
``zoocache.E003``       there is no such option
``zoocache.E004``       a value is not allowed for its option
``zoocache.E005``       ``ignore_models`` names a model that is not installed
``zoocache.E006``       the options are fine, but the storage is not available
``zoocache.W001``       (``check --deploy``) each process has a cache of its own
======================  =========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks

from zoocache_django import conf

__all__ = ["check_deployment", "check_settings", "install"]


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Name each mistake in ``settings.ZOOCACHE``."""
    return [
        checks.Error(problem.message, problem.hint, "settings.ZOOCACHE", problem.check_id)
        for problem in conf.state().problems
    ]


def check_deployment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Warn of a cache in process memory, which several server processes do not share."""
    state = conf.state()
    private = conf.is_private(state.core.get("storage_url"), state.core.get("bus_url"))
    if state.problems or not private:
        return []
    return [
        checks.Warning(
            "ZOOCACHE keeps entries in the memory of each process, and a process does not learn "
            "what others write: with several server processes, pages become stale.",
            hint="Set STORAGE_URL to 'lmdb:///path' (one host) or 'redis://host:6379', or BUS_URL "
            "to a Redis. With a single server process, silence this check.",
            obj="settings.ZOOCACHE",
            id="zoocache.W001",
        )
    ]


def install() -> None:
    """Register the checks with Django."""
    checks.register(check_settings, checks.Tags.caches)
    checks.register(check_deployment, checks.Tags.caches, deploy=True)
