"""Django, configured for this process, and an empty cache for each test."""

from __future__ import annotations

import os

import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"


def pytest_configure() -> None:
    import django

    django.setup()


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Start from an engine that has stored and invalidated nothing."""
    from zoocache_core import reset
    from zoocache_django import conf

    reset()
    conf.apply()
