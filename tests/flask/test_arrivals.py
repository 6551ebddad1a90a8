"""A page made from what was looked up before its view ran is no newer than its request."""

from __future__ import annotations

import threading
from typing import Any

import flask_login
import pytest
from flask import Flask, Response, g, request

from zoocache_core.testing import ManualClock
from zoocache_flask import add_deps, cache_view, cacheable, invalidate

NAMES = {"ann": "Ann"}


class User(flask_login.UserMixin):  # type: ignore[misc]
    """A user with a key of its own, who is looked up in something that nobody watches."""

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.name = NAMES[identifier]

    def __zoocache_key__(self) -> str:
        return self.id


@pytest.fixture(autouse=True)
def names() -> Any:
    NAMES["ann"] = "Ann"


def rename() -> None:
    """What another request does, between the lookup of the user and the view."""
    NAMES["ann"] = "Anna"
    invalidate("user:ann")


def seen(app: Flask) -> tuple[str, str]:
    response = app.test_client().get("/")
    return response.text, response.headers["X-Cache"]


def check(app: Flask) -> None:
    assert seen(app) == ("Hello Ann", "MISS")
    # The page was made of what is outdated, so it was not kept for anybody.
    assert seen(app) == ("Hello Anna", "MISS")
    assert seen(app) == ("Hello Anna", "HIT")


def once(change: Any) -> Any:
    pending = [change]

    def run() -> None:
        if pending:
            pending.pop()()

    return run


def test_a_user_that_was_left_in_g(app: Flask) -> None:
    between = once(rename)

    @app.before_request
    def look_up() -> None:
        g.user = User("ann")
        between()

    @app.get("/")
    @cache_view(deps="user:ann")
    def view() -> str:
        return f"Hello {g.user.name}"

    check(app)


def test_a_user_of_flask_login_that_was_looked_at_before(app: Flask) -> None:
    between = once(rename)
    manager = flask_login.LoginManager(app)

    @manager.request_loader
    def load(_: object) -> User:
        return User("ann")

    def protected(view: Any) -> Any:
        def checked(**arguments: Any) -> Any:
            assert flask_login.current_user.is_authenticated
            between()
            return view(**arguments)

        return checked

    @app.get("/")
    @protected
    @cache_view(deps="user:ann")
    def view() -> str:
        return f"Hello {flask_login.current_user.name}"

    check(app)


def test_a_user_that_was_left_in_the_request(app: Flask) -> None:
    between = once(rename)

    @app.before_request
    def look_up() -> None:
        request.user = User("ann")  # type: ignore[attr-defined]
        between()

    @app.get("/")
    @cache_view(deps="user:ann")
    def view() -> str:
        return f"Hello {request.user.name}"  # type: ignore[attr-defined]

    check(app)


def test_what_was_not_looked_at_makes_no_page_older(app: Flask) -> None:
    between = once(rename)

    @app.before_request
    def look_up() -> None:
        g.user = User("ann")
        g.kind = "plain"
        between()

    @cacheable(deps="user:ann")
    def greeting() -> str:
        return f"Hello {NAMES['ann']}"

    @app.get("/")
    @cache_view
    def view() -> Response:
        add_deps([f"kind:{g.kind}"])
        return Response(greeting())

    assert [seen(app) for _ in range(2)] == [("Hello Anna", "MISS"), ("Hello Anna", "HIT")]


def test_the_copy_of_a_request_that_is_made_anew_has_arrived_later(
    app: Flask, clock: ManualClock
) -> None:
    changes: list[Any] = []

    @app.before_request
    def look_up() -> None:
        g.user = User("ann")
        if changes:
            changes.pop()()

    @app.get("/")
    @cache_view(10, stale_while_revalidate=60, deps="user:ann")
    def view() -> str:
        return f"Hello {g.user.name}"

    assert seen(app) == ("Hello Ann", "MISS")
    clock.advance(11)
    changes[:] = [rename, lambda: None]
    assert seen(app) == ("Hello Ann", "STALE")
    for thread in threading.enumerate():
        if thread.name == "zoocache-renewal":
            thread.join(10)
    assert seen(app) == ("Hello Anna", "MISS")
