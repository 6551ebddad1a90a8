"""The shop's own project, configured for this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"


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
