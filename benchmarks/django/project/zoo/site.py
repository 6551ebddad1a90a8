"""A Django project for one contender, in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

HOUR = 3600
PREFIX = f"zoo{os.getpid()}"
"""Keeps contenders that share a Redis apart."""


def redis_url() -> str:
    return os.environ["ZOOCACHE_BENCH_REDIS"]


def start(
    *,
    apps: Sequence[str] = (),
    caches: dict[str, Any] | None = None,
    database: str = "zoo.sqlite3",
    manager: str = "django.db.models.Manager",
    manager_options: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Configure Django for this process: a contender is what is given."""
    import django
    from django.conf import settings as django_settings

    django_settings.configure(
        ALLOWED_HOSTS=["testserver"],
        CACHES={"default": caches or {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*apps, "zoo"],
        LOGGING_CONFIG=None,
        SECRET_KEY="zoo",
        USE_TZ=True,
        ZOO_MANAGER=manager,
        ZOO_MANAGER_OPTIONS=manager_options or {},
        **settings,
    )
    django.setup()


def populate() -> None:
    """A hundred animals and an aviary."""
    from django.core.management import call_command

    from zoo.models import Animal, Aviary

    call_command("migrate", run_syncdb=True, verbosity=0)
    born = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)
    Animal.objects.bulk_create(
        Animal(
            name=f"animal {n}",
            legs=4,
            weight=Decimal(n) + Decimal("0.25"),
            born=born + timedelta(days=n, microseconds=n),
        )
        for n in range(1, 101)
    )
    Aviary.objects.create(name="aviary", height=12)


def queries_of(read: Callable[[], Any]) -> int:
    """How many statements `read` sends to the database."""
    from django.db import connection

    sent: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        read()
    return len(sent)


def locmem() -> dict[str, Any]:
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "TIMEOUT": HOUR}


def django_redis() -> dict[str, Any]:
    return _on_redis("django_redis.cache.RedisCache")


def redis_cache() -> dict[str, Any]:
    """That of Django itself."""
    return _on_redis("django.core.cache.backends.redis.RedisCache")


def zoocache(location: str = "") -> dict[str, Any]:
    return {
        "BACKEND": "zoocache_django.cache.ZooCacheBackend",
        "LOCATION": location,
        "KEY_PREFIX": PREFIX,
        "TIMEOUT": HOUR,
    }


def _on_redis(backend: str) -> dict[str, Any]:
    return {"BACKEND": backend, "LOCATION": redis_url(), "KEY_PREFIX": PREFIX, "TIMEOUT": HOUR}
