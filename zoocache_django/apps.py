"""Start-up: the one place where settings are applied and anything is installed into Django."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed


class ZooCacheConfig(AppConfig):
    """Add ``"zoocache_django"`` to ``INSTALLED_APPS``."""

    name = "zoocache_django"
    verbose_name = "ZooCache"

    def ready(self) -> None:
        """Apply ``settings.ZOOCACHE`` and watch the database as it says; register the checks."""
        from zoocache_django import cache_checks, checks, conf, engines
        from zoocache_django.pages import arrivals, loaded

        conf.apply()
        engines.open_followers()
        arrivals.install()
        loaded.install()
        checks.install()
        cache_checks.install()
        setting_changed.connect(_on_setting_changed, dispatch_uid="zoocache_django.conf")


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """``override_settings(ZOOCACHE=...)`` takes effect at once."""
    from zoocache_django import conf
    from zoocache_django.queries import plans

    # What a query's text was made with may have been another setting.
    plans.forget()

    if setting == "ZOOCACHE":
        conf.apply()
