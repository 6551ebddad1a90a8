"""An application with a cache and a clock that stands still, for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from zoocache_core.testing import ManualClock
from zoocache_flask import ZooCache

MakeApp = Callable[..., Flask]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_app(clock: ManualClock) -> Iterator[MakeApp]:
    """Makes applications with a cache, which is closed at the end."""
    extension = ZooCache()
    made: list[Flask] = []

    def make(kind: type[Flask] = Flask, **options: Any) -> Flask:
        app = kind(f"app{len(made)}")
        app.config.update(
            SECRET_KEY="a key for tests only", ZOOCACHE={"clock": clock, **options}, TESTING=True
        )
        extension.init_app(app)
        made.append(app)
        return app

    yield make
    for app in made:
        extension.close(app)


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()
