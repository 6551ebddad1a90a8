"""Signals for hits, misses and invalidations."""

from __future__ import annotations

from typing import Any

from flask import Flask

from tests.flask.conftest import MakeApp
from zoocache_flask import (
    cache_hit,
    cache_invalidated,
    cache_miss,
    cache_view,
    cacheable,
    invalidate,
)

Told = list[tuple[str, Any, Any]]


def listening(app: Flask) -> tuple[Told, list[Any]]:
    told: Told = []

    def hit(sender: Flask, key: str, page: bool, outcome: str) -> None:
        told.append(("hit", page, outcome))

    def miss(sender: Flask, key: str, page: bool, outcome: str) -> None:
        told.append(("miss", page, outcome))

    def invalidated(sender: Flask, tags: tuple[str, ...]) -> None:
        told.append(("invalidated", tags, None))

    cache_hit.connect(hit, app)
    cache_miss.connect(miss, app)
    cache_invalidated.connect(invalidated, app)
    return told, [hit, miss, invalidated]


def test_pages_tell_by_themselves(make_app: MakeApp) -> None:
    app, other = make_app(), make_app()

    @cache_view(deps="t")
    def view() -> str:
        return "text"

    for each in (app, other):
        each.add_url_rule("/", view_func=view)
    told, _receivers = listening(app)
    for each in (other, app, app):
        each.test_client().get("/")
    with app.app_context():
        invalidate("t")
    assert told == [("miss", True, "MISS"), ("hit", True, "HIT")]


def test_values_and_invalidations_tell_if_asked(make_app: MakeApp) -> None:
    app = make_app(signals=True)

    @cacheable(deps="t")
    def number() -> int:
        return 1

    @app.get("/")
    @cache_view
    def view() -> str:
        return "text"

    told, _receivers = listening(app)
    for outcome in ("miss", "hit"):
        app.test_client().get("/")
        assert told.pop()[:2] == (outcome, True)
        assert told == []
    with app.app_context():
        number()
        number()
        invalidate("t", "u")
        number()
    assert told == [
        ("miss", False, "MISS"),
        ("hit", False, "HIT"),
        ("invalidated", ("t", "u"), None),
        ("miss", False, "MISS"),
    ]
