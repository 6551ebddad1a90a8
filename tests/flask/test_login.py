"""Pages and Flask-Login's users."""

from __future__ import annotations

from typing import Any

import flask_login
import pytest
from flask import Flask, g, render_template_string
from flask.testing import FlaskClient

from zoocache_flask import cache_view


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture
def loads(app: Flask) -> list[str]:
    """The names of the users that were looked up."""
    manager, loaded = flask_login.LoginManager(app), []

    @manager.user_loader
    def load(name: str) -> User:
        loaded.append(name)
        return User(name)

    return loaded


def visitor(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = name, False
    return client


def seen(client: FlaskClient) -> tuple[str, str]:
    response = client.get("/")
    return response.text, response.headers["X-Cache"]


GREETINGS: dict[str, Any] = {
    "current_user": lambda: f"Hello {flask_login.current_user.get_id()}",
    "a template": lambda: render_template_string("Hello {{ current_user.get_id() }}"),
    "an included condition": lambda: render_template_string(
        "Hello {% if current_user.is_authenticated %}{{ current_user.id }}{% else %}None{% endif %}"
    ),
    "a decorator inside": flask_login.login_required(
        lambda: f"Hello {flask_login.current_user.id}"
    ),
}


@pytest.mark.parametrize("name", GREETINGS)
@pytest.mark.parametrize("looked_up_before", [False, True])
def test_one_page_for_each_user(
    app: Flask, loads: list[str], name: str, looked_up_before: bool
) -> None:
    if looked_up_before:

        @app.before_request
        def look_up() -> None:
            assert flask_login.current_user.get_id() is None or g._login_user

    def view() -> Any:
        return GREETINGS[name]()

    app.add_url_rule("/", view_func=cache_view(view))
    ann, bob, nobody = visitor(app, "Ann"), visitor(app, "Bob"), app.test_client()
    for _, outcome in ((1, "MISS"), (2, "HIT")):
        assert seen(ann) == ("Hello Ann", outcome)
        assert seen(bob) == ("Hello Bob", outcome)
        if name != "a decorator inside":
            assert seen(nobody) == ("Hello None", outcome)
    if name == "a decorator inside":
        assert nobody.get("/").status_code == 401
    response = ann.get("/")
    assert "private" in response.headers["Cache-Control"]
    assert "Cookie" in response.headers["Vary"]


def test_templates_that_do_not_show_the_user_are_for_everybody(
    app: Flask, loads: list[str]
) -> None:
    @app.get("/")
    @cache_view
    def view() -> str:
        return render_template_string("Hello")

    assert seen(visitor(app, "Ann")) == ("Hello", "MISS")
    assert seen(visitor(app, "Bob")) == ("Hello", "HIT")
    assert loads == []


def test_a_user_with_two_devices_has_one_page(app: Flask, loads: list[str]) -> None:
    @app.get("/")
    @cache_view
    def view() -> str:
        return f"Hello {flask_login.current_user.id}"

    devices = []
    for identifier in ("a", "b"):
        devices.append(visitor(app, "Ann"))
        with devices[-1].session_transaction() as session:
            session["_id"] = identifier
    assert [seen(each)[1] for each in devices] == ["MISS", "HIT"]


def test_a_check_before_the_cache_runs_for_every_request(app: Flask, loads: list[str]) -> None:
    @app.get("/")
    @flask_login.login_required  # type: ignore[untyped-decorator, unused-ignore]
    @cache_view
    def view() -> str:
        return "for all who are logged in"

    assert seen(visitor(app, "Ann"))[1] == "MISS"
    assert seen(visitor(app, "Bob"))[1] == "HIT"
    assert app.test_client().get("/").status_code == 401


def test_one_page_for_each_user_where_that_is_asked_for(app: Flask, loads: list[str]) -> None:
    @app.get("/")
    @cache_view(per_user=True)
    def view() -> str:
        return "text"

    assert seen(visitor(app, "Ann"))[1] == "MISS"
    assert seen(visitor(app, "Bob"))[1] == "MISS"
    assert seen(visitor(app, "Ann"))[1] == "HIT"


@pytest.mark.parametrize("around", ["page", "cached page"])
@pytest.mark.parametrize("looked_at", ["", "{% if current_user.is_authenticated %}{% endif %}"])
def test_a_fragment_that_shows_the_user(
    app: Flask, loads: list[str], around: str, looked_at: str
) -> None:
    fragment = "{% zoocache 'greeting' %}Hello {{ current_user.get_id() }}{% endzoocache %}"

    def view() -> str:
        return render_template_string(looked_at + fragment)

    app.add_url_rule("/", view_func=cache_view(view) if around == "cached page" else view)
    for _ in range(2):
        for name in ("Ann", "Bob"):
            assert visitor(app, name).get("/").text == f"Hello {name}"
        assert app.test_client().get("/").text == "Hello None"
