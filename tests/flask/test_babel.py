"""Pages and the language and time zone of Flask-Babel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flask import Flask, g, render_template_string, request, session
from flask.testing import FlaskClient
from flask_babel import Babel, force_locale, format_date, format_datetime, get_locale

from zoocache_flask import cache_view

DAY = datetime(2026, 3, 1, 12)


def by_session() -> str | None:
    found: str | None = session.get("language")
    return found


def by_g() -> str | None:
    found: str | None = g.get("language")
    return found


SELECTORS: dict[str, Callable[[], str | None]] = {
    "g": by_g,
    "session": by_session,
    "a header": lambda: request.accept_languages.best_match(["en", "de"]),
    "a cookie": lambda: request.cookies.get("language"),
    "the query": lambda: request.args.get("language"),
}


def visitor(app: Flask, language: str) -> Callable[[], Any]:
    client = app.test_client()
    client.set_cookie("language", language)
    with client.session_transaction() as changed:
        changed["language"] = language
    options: dict[str, Any] = {
        "headers": {"Accept-Language": language},
        "query_string": {"language": language},
    }
    return lambda: client.get("/", **options)


VIEWS: dict[str, Callable[[], str]] = {
    "formatted": lambda: format_date(DAY, "EEEE"),
    "the locale": lambda: str(get_locale()),
    "a template": lambda: render_template_string("{{ day|dateformat('EEEE') }}", day=DAY),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("looked_up_before", [False, True])
def test_each_language_has_its_page(
    app: Flask, selector: str, view: str, looked_up_before: bool
) -> None:
    Babel(app, locale_selector=SELECTORS[selector])

    @app.before_request
    def choose() -> None:
        g.language = session.get("language")
        if looked_up_before:
            assert str(get_locale()) == g.language

    def page() -> str:
        return VIEWS[view]()

    app.add_url_rule("/", view_func=cache_view(page))
    english, german = visitor(app, "en"), visitor(app, "de")
    texts = {"en": ("Sunday", "en"), "de": ("Sonntag", "de")}
    for outcome in ("MISS", "HIT"):
        for get, language in ((english, "en"), (german, "de")):
            response = get()
            assert response.text in texts[language]
            assert response.headers["X-Cache"] == outcome
    # Another visitor who speaks German.
    other = visitor(app, "de")()
    assert other.text in texts["de"]
    assert other.headers["X-Cache"] == "HIT"


def test_each_time_zone_has_its_page(app: Flask) -> None:
    Babel(app, timezone_selector=lambda: g.zone)

    @app.before_request
    def choose() -> None:
        g.zone = request.headers["X-Zone"]

    @app.get("/")
    @cache_view
    def page() -> str:
        return str(format_datetime(DAY, "HH:mm"))

    def seen(zone: str) -> tuple[str, str]:
        response = app.test_client().get("/", headers={"X-Zone": zone})
        return response.text, response.headers["X-Cache"]

    zones = {"Europe/Berlin": "13:00", "Asia/Tokyo": "21:00", "UTC": "12:00"}
    for outcome in ("MISS", "HIT"):
        assert {zone: seen(zone) for zone in zones} == {
            zone: (time, outcome) for zone, time in zones.items()
        }


def test_a_language_that_the_view_forces_is_its_own_business(app: Flask) -> None:
    Babel(app)

    @app.get("/")
    @cache_view
    def page() -> str:
        with force_locale("fr"):
            return format_date(DAY, "EEEE")

    client: FlaskClient = app.test_client()
    for outcome in ("MISS", "HIT"):
        response = client.get("/")
        assert (response.text, response.headers["X-Cache"]) == ("dimanche", outcome)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("around", ["page", "cached page"])
def test_each_language_has_its_fragment(app: Flask, selector: str, around: str) -> None:
    Babel(app, locale_selector=SELECTORS[selector])

    @app.before_request
    def choose() -> None:
        g.language = session.get("language")

    def page() -> str:
        return render_template_string(
            "{% zoocache 'day' %}{{ day|datetimeformat('EEEE HH') }}{% endzoocache %}", day=DAY
        )

    app.add_url_rule("/", view_func=cache_view(page) if around == "cached page" else page)
    for _ in range(2):
        assert visitor(app, "en")().text == "Sunday 12"
        assert visitor(app, "de")().text == "Sonntag 12"


def test_each_time_zone_has_its_fragment(app: Flask) -> None:
    Babel(app, timezone_selector=lambda: request.headers["X-Zone"])

    @app.get("/")
    def page() -> str:
        return render_template_string(
            "{% zoocache 'hour' %}{{ day|datetimeformat('HH') }}{% endzoocache %}", day=DAY
        )

    for _ in range(2):
        for zone, hour in {"Europe/Berlin": "13", "UTC": "12"}.items():
            assert app.test_client().get("/", headers={"X-Zone": zone}).text == hour
