"""Django, configured for this process, and an empty cache for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import PostgresServer
from tests.servers.process import HOST

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"


def pytest_configure() -> None:
    import django

    django.setup()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start PostgreSQL if one of the tests is marked as using it."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("django_db")]
    if not any("postgres" in mark.kwargs.get("databases", ()) for mark in marks):
        yield
        return
    from django.db import connections

    with PostgresServer() as server:
        connections["postgres"].settings_dict.update(HOST=HOST, PORT=str(server.port))
        yield


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Start from an engine that has stored and invalidated nothing."""
    from zoocache_core import reset
    from zoocache_django import conf

    reset()
    conf.apply()


@pytest.fixture
def serve(settings: Any) -> Iterator[Callable[..., None]]:
    """Make a site of one view: ``serve(view, *middleware)``. Each middleware is a function that is
    given the request before the view."""
    from django.urls import re_path
    from django.utils import timezone, translation

    from tests.django import pages

    def serve(view: Any, *middleware: Callable[[Any], object]) -> None:
        pages.before_view[:] = middleware
        settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [re_path("(?s)^.*$", view)]})

    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.django.pages.meanwhile"]
    yield serve
    pages.before_view.clear()
    # What a middleware has said for a request stays in the thread.
    translation.deactivate()
    timezone.deactivate()
