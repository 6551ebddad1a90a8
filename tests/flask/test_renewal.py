"""Pages that are made anew behind the visitor's back, shown when making them fails, and jitter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask_login
import pytest
from flask import Flask, abort, after_this_request, g, redirect, request, session
from flask.testing import FlaskClient
from flask.views import MethodView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool
from werkzeug.wrappers import Response

from tests.flask.conftest import MakeApp
from tests.servers import wait_until
from zoocache_core.testing import ManualClock
from zoocache_flask import ZooCache, cache_view, invalidate

Visit = Callable[[], str]


def renewing() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "zoocache-renewal"]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a thread behind, nor finds one."""
    assert not renewing()
    yield
    rest()


def rest() -> None:
    """Wait until everything that was begun in the background has ended."""
    for thread in renewing():
        thread.join(10)
    assert not renewing()


def seen(client: FlaskClient, path: str = "/", **options: Any) -> tuple[str, str]:
    response = client.get(path, **options)
    return response.text, response.headers["X-Cache"]


Serve = Callable[..., None]


def _plain(app: Flask, view: Callable[[], Any], **options: Any) -> None:
    app.add_url_rule("/", view_func=cache_view(10, stale_while_revalidate=60, **options)(view))


def _asynchronous(app: Flask, view: Callable[[], Any], **options: Any) -> None:
    async def later() -> Any:
        return view()

    _plain(app, later, **options)


def _method(app: Flask, view: Callable[[], Any], **options: Any) -> None:
    class Page(MethodView):
        @cache_view(10, stale_while_revalidate=60, **options)
        def get(self) -> Any:
            assert isinstance(self, Page)
            return view()

    app.add_url_rule("/", view_func=Page.as_view("page"))


@pytest.fixture(params=[_plain, _asynchronous, _method], ids=lambda each: each.__name__)
def serve(request: pytest.FixtureRequest) -> Serve:
    found: Serve = request.param
    return found


def test_an_old_page_is_shown_while_it_is_made_anew(
    app: Flask, clock: ManualClock, serve: Serve
) -> None:
    runs: list[threading.Thread] = []
    may_end = threading.Event()

    def view() -> str:
        runs.append(threading.current_thread())
        if len(runs) > 1:
            assert may_end.wait(10)
        return f"page {len(runs)}"

    serve(app, view)
    client = app.test_client()
    assert seen(client) == ("page 1", "MISS")
    clock.advance(11)
    # One renewal, however many ask meanwhile; nobody waits for it.
    assert [seen(client) for _ in range(4)] == [("page 1", "STALE")] * 4
    assert wait_until(lambda: len(runs) == 2, 10)
    assert len(renewing()) == 1
    may_end.set()
    rest()
    assert seen(client) == ("page 2", "HIT")
    assert len(runs) == 2


def test_the_copy_is_a_request_of_its_own(app: Flask, clock: ManualClock, serve: Serve) -> None:
    found: list[dict[str, Any]] = []
    ended: list[object] = []

    @app.before_request
    def prepare() -> None:
        g.asked_for = request.path
        g.mark = object()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        ended.append(g._get_current_object())  # type: ignore[attr-defined]

    def view() -> str:
        found.append(
            {
                "request": request._get_current_object(),  # type: ignore[attr-defined]
                "g": g._get_current_object(),  # type: ignore[attr-defined]
                "session": session._get_current_object(),
                "mark": g.get("mark"),
                "path": (g.asked_for, request.url, request.args["a"]),
                "header": request.headers["X-Kind"],
                "cookie": request.cookies["theme"],
                "body": request.get_data(),
                "name": session.get("name"),
            }
        )
        return str(len(found))

    app.config["ZOOCACHE"]["shared_globals"] = ["mark"]
    ZooCache().close(app)
    ZooCache(app)
    serve(app, view)
    client = app.test_client()
    client.set_cookie("theme", "dark")
    with client.session_transaction() as changed:
        changed["name"] = "Ann"
    options: dict[str, Any] = {"headers": {"X-Kind": "new"}, "query_string": {"a": "1"}}
    assert seen(client, **options) == ("1", "MISS")
    clock.advance(11)
    assert seen(client, **options) == ("1", "STALE")
    rest()
    assert seen(client, **options) == ("2", "HIT")
    first, second = found
    for name in ("request", "g", "session", "mark"):
        assert first[name] is not second[name], name
    for name in ("path", "header", "cookie", "body", "name"):
        assert first[name] == second[name], name
    assert second["g"] in ended


def test_after_request_functions_do_not_run(app: Flask, clock: ManualClock, serve: Serve) -> None:
    threads: list[str] = []

    @app.after_request
    def answered(response: Any) -> Any:
        threads.append(threading.current_thread().name)
        return response

    serve(app, lambda: "text")
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    client.get("/")
    rest()
    assert threads == ["MainThread"] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_is_made_for_the_visitor_whose_request_it_was(
    app: Flask, clock: ManualClock, asynchronous: bool
) -> None:
    versions = {"Ann": 1, "Bob": 1}

    def view() -> str:
        name = session["name"]
        return f"{name} {versions[name]}"

    (_asynchronous if asynchronous else _plain)(app, view)
    clients = {}
    for name in versions:
        clients[name] = app.test_client()
        with clients[name].session_transaction() as changed:
            changed["name"] = name
        assert seen(clients[name]) == (f"{name} 1", "MISS")
    clock.advance(11)
    versions.update(Ann=2, Bob=2)
    assert seen(clients["Ann"]) == ("Ann 1", "STALE")
    rest()
    assert seen(clients["Ann"]) == ("Ann 2", "HIT")
    assert seen(clients["Bob"]) == ("Bob 1", "STALE")
    rest()
    assert seen(clients["Bob"]) == ("Bob 2", "HIT")


def test_a_visitor_who_has_become_another_renews_nothing(app: Flask, clock: ManualClock) -> None:
    users, runs = ["Ann"], []
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.id = name

    @manager.request_loader
    def load(_: object) -> User:
        # As a session kept on the server may have changed since the request came in.
        return User(users[0] if threading.current_thread().name == "MainThread" else "Bob")

    def view() -> str:
        runs.append(flask_login.current_user.id)
        return f"for {flask_login.current_user.id}"

    _plain(app, view)
    client = app.test_client()
    assert seen(client) == ("for Ann", "MISS")
    clock.advance(11)
    assert seen(client) == ("for Ann", "STALE")
    rest()
    assert runs == ["Ann"]
    # The next visitor tries again.
    assert seen(client) == ("for Ann", "STALE")
    rest()
    users[0] = "Bob"
    assert seen(client) == ("for Bob", "MISS")
    assert runs == ["Ann", "Bob"]


def test_who_is_turned_away_before_the_view_renews_nothing(
    app: Flask, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []
    in_background: list[Callable[[], Any]] = [
        lambda: redirect("/login"),
        lambda: abort(403),
        lambda: 1 / 0,
    ]

    @app.before_request
    def check() -> Any:
        if threading.current_thread().name != "MainThread":
            return in_background.pop(0)() if in_background else None
        return None

    def view() -> str:
        runs.append(1)
        return str(len(runs))

    _plain(app, view)
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    errors = []
    for _ in range(4):
        assert seen(client) == ("1", "STALE")
        rest()
        errors.append(ZooCache().engine_of(app).stats().errors)
    assert runs == [1, 1]
    assert errors == [0, 0, 1, 1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ZeroDivisionError" in caplog.text
    assert seen(client) == ("2", "HIT")


def test_failures_are_counted_and_logged_and_tried_again(
    app: Flask, clock: ManualClock, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []

    def view() -> str:
        runs.append(1)
        if len(runs) in (2, 3):
            raise KeyError("no such shelf")
        return str(len(runs))

    serve(app, view)
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    for failures in (1, 2, 2):
        assert seen(client) == ("1", "STALE")
        rest()
        assert ZooCache().engine_of(app).stats().errors == failures
    assert seen(client) == ("4", "HIT")
    assert "no such shelf" in caplog.text
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all("not renewed" in each for each in told)


def test_what_must_not_be_shown_any_more_goes(app: Flask, clock: ManualClock) -> None:
    gone: list[int] = []

    def view() -> Any:
        return abort(404) if gone else "text"

    _plain(app, view)
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    gone.append(1)
    assert seen(client) == ("text", "STALE")
    rest()
    assert client.get("/").status_code == 404


def test_a_page_whose_data_changed_is_never_shown_old(app: Flask, clock: ManualClock) -> None:
    names = ["old"]
    _plain(app, lambda: names[0], deps="name")
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    names[0] = "new"
    with app.app_context():
        invalidate("name")
    assert seen(client) == ("new", "MISS")


def test_what_is_written_while_it_is_made_anew_is_not_lost(
    app: Flask, clock: ManualClock, serve: Serve
) -> None:
    names, runs = ["old"], []

    def view() -> str:
        name = names[0]
        runs.append(name)
        if len(runs) == 2:
            names[0] = "new"
            invalidate("name")
        return name

    serve(app, view, deps="name")
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    assert seen(client) == ("old", "STALE")
    rest()
    assert seen(client) == ("new", "MISS")


def test_another_time_to_make_it_anew_after_the_window(app: Flask, clock: ManualClock) -> None:
    runs: list[int] = []

    def view() -> str:
        runs.append(1)
        return str(len(runs))

    _plain(app, view)
    client = app.test_client()
    client.get("/")
    clock.advance(71)
    assert seen(client) == ("2", "MISS")
    assert not renewing()


def test_there_are_only_so_many_threads(app: Flask, clock: ManualClock) -> None:
    may_end = threading.Event()

    @app.get("/<int:pk>")
    @cache_view(10, stale_while_revalidate=60)
    def page(pk: int) -> str:
        if threading.current_thread().name != "MainThread":
            assert may_end.wait(10)
            return f"{pk} anew"
        return str(pk)

    client = app.test_client()
    for pk in range(20):
        client.get(f"/{pk}")
    clock.advance(11)
    assert {seen(client, f"/{pk}")[1] for pk in range(20)} == {"STALE"}
    assert 0 < len(renewing()) <= 8
    may_end.set()
    for _ in range(3):
        rest()
        for pk in range(20):
            client.get(f"/{pk}")
    rest()
    assert {seen(client, f"/{pk}") for pk in range(20)} == {
        (f"{pk} anew", "HIT") for pk in range(20)
    }


@pytest.mark.parametrize("storage", ["redis", "lmdb"])
def test_one_renewal_for_all_processes(
    make_app: MakeApp, clock: ManualClock, redis_url: str, tmp_path: Path, storage: str
) -> None:
    url = redis_url if storage == "redis" else f"lmdb://{tmp_path}/pages"
    runs: list[str] = []
    all_asked = threading.Event()

    def make() -> FlaskClient:
        app = make_app(storage_url=url)

        # A cached view of its own for each, as processes have.
        def page() -> str:
            runs.append(threading.current_thread().name)
            if len(runs) > 1:
                assert all_asked.wait(10)
            return f"page {len(runs)}"

        page.__qualname__ = "page"
        app.add_url_rule("/", view_func=cache_view(10, stale_while_revalidate=60)(page))
        return app.test_client()

    clients = [make() for _ in range(3)]
    assert seen(clients[0]) == ("page 1", "MISS")
    clock.advance(11)
    assert [seen(client) for client in clients] == [("page 1", "STALE")] * 3
    assert wait_until(lambda: len(runs) == 2, 10)
    all_asked.set()
    rest()
    assert [seen(client) for client in clients] == [("page 2", "HIT")] * 3
    assert len(runs) == 2


class Base(DeclarativeBase):
    """What the models have in common."""


db = SQLAlchemy(model_class=Base)


class Product(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int]


def test_it_closes_its_database_session(tmp_path: Path, clock: ManualClock, serve: Serve) -> None:
    app = Flask("shop")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db",
        SQLALCHEMY_ENGINE_OPTIONS={"poolclass": QueuePool},
        ZOOCACHE={"clock": clock},
    )
    cache = ZooCache(app)
    db.init_app(app)
    sessions: list[object] = []

    def view() -> str:
        sessions.append(db.session())
        return str(db.session.scalar(select(Product.price)))

    serve(app, view)
    with app.app_context():
        db.create_all()
        db.session.add(Product(id=1, price=20))
        db.session.commit()
    client = app.test_client()
    assert seen(client) == ("20", "MISS")
    clock.advance(11)
    assert seen(client) == ("20", "STALE")
    rest()
    assert len(set(map(id, sessions))) == 2
    assert seen(client) == ("20", "HIT")
    with app.app_context():
        pool: Any = db.engine.pool
        assert pool.checkedout() == 0
        assert not db.session.registry.registry
        # And what it read still counts.
        db.session.get_one(Product, 1).price = 30
        db.session.commit()
    assert seen(client) == ("30", "MISS")
    cache.close(app)
    with app.app_context():
        db.engine.dispose()


def test_a_view_that_leaves_something_to_do_is_not_renewed(app: Flask, clock: ManualClock) -> None:
    done: list[str] = []

    def view() -> str:
        if threading.current_thread().name != "MainThread":

            @after_this_request
            def later(response: Response) -> Response:
                done.append("done")
                return response

        return "text"

    _plain(app, view)  # type: ignore[arg-type]
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    client.get("/")
    rest()
    assert done == []
    # What it answers now is not for everybody.
    assert seen(client) == ("text", "MISS")


def test_an_old_page_is_shown_when_making_it_fails(app: Flask, clock: ManualClock) -> None:
    outcome: list[Any] = ["text"]

    def view() -> Any:
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/", view_func=cache_view(10, stale_if_error=600)(view))
    client = app.test_client()
    client.get("/")
    clock.advance(11)
    for failure in (KeyError("broken"), ("unavailable", 503)):
        outcome[0] = failure
        assert seen(client) == ("text", "STALE")
    clock.advance(600)
    outcome[0] = KeyError("broken")
    assert client.get("/").status_code == 500


def test_pages_made_together_do_not_expire_together(app: Flask, clock: ManualClock) -> None:
    @app.get("/<int:pk>")
    @cache_view(100, jitter=0.5)
    def page(pk: int) -> str:
        return str(pk)

    client = app.test_client()
    for pk in range(40):
        client.get(f"/{pk}")
    clock.advance(49)
    assert {seen(client, f"/{pk}")[1] for pk in range(40)} == {"HIT"}
    clock.advance(26)
    assert {seen(client, f"/{pk}")[1] for pk in range(40)} == {"HIT", "MISS"}


def test_many_visitors_at_once_cause_one_renewal(app: Flask, clock: ManualClock) -> None:
    runs: list[int] = []

    def view() -> str:
        runs.append(1)
        return str(len(runs))

    _plain(app, view)
    app.test_client().get("/")
    clock.advance(11)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: seen(app.test_client()), range(24)))
    rest()
    assert len(runs) == 2
    assert set(found) <= {("1", "STALE"), ("2", "HIT")}
