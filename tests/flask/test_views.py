"""``@cache_view``: what is stored, who is shown it, and how each kind of view is called."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    abort,
    after_this_request,
    flash,
    g,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_template_string,
    url_for,
)
from flask.testing import FlaskClient
from flask.views import MethodView, View
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm import Session as OrmSession

from tests.flask.conftest import MakeApp
from zoocache_core.testing import ManualClock
from zoocache_flask import ZooCache, add_deps, cache_view, cacheable, invalidate, url_tag


def route(app: Flask, view: Any, path: str = "/", **options: Any) -> list[str]:
    """Cache ``view`` at ``path``; the list grows with each run."""
    runs: list[str] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        runs.append(request.method)
        return view(*args, **kwargs)

    counted.__name__ = f"view_{len(app.view_functions)}"
    counted.__qualname__ = counted.__name__
    methods = options.pop("methods", None)
    app.add_url_rule(path, view_func=cache_view(**options)(counted), methods=methods)
    return runs


def seen(client: FlaskClient, path: str = "/", **options: Any) -> tuple[str, str]:
    response = client.get(path, **options)
    return response.text, response.headers["X-Cache"]


# What views return


@pytest.mark.parametrize(
    "result",
    [
        "text",
        b"bytes",
        {"a": 1},
        [1, 2],
        ("text", 200, {"X-Own": "1"}),
        ("text", {"X-Own": "1"}),
        Response("text", mimetype="text/plain"),
    ],
    ids=repr,
)
def test_a_hit_is_what_the_view_returned(app: Flask, result: Any) -> None:
    runs = route(app, lambda: make_response(result))
    first, second = (app.test_client().get("/") for _ in range(2))
    assert runs == ["GET"]
    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    assert (first.data, first.status) == (second.data, second.status)
    for name in ("Content-Type", "Content-Length", "X-Own", "ETag", "Cache-Control"):
        assert first.headers.get(name) == second.headers.get(name), name


def test_a_response_without_content_type_stays_so(app: Flask) -> None:
    def view() -> Response:
        response = make_response("text")
        del response.headers["Content-Type"]
        return response

    route(app, view)
    client = app.test_client()
    for outcome in ("MISS", "HIT"):
        response = client.get("/")
        assert response.headers["X-Cache"] == outcome
        assert "Content-Type" not in response.headers


def test_functions_decorated_in_each_way(app: Flask) -> None:
    def view() -> str:
        return "text"

    ways = [cache_view, cache_view(), cache_view(60), cache_view(ttl=60)]
    for number, decorate in enumerate(ways):
        cached = decorate(view)
        assert cached.__name__ == "view"
        assert cached.uncached is view
        app.add_url_rule(f"/{number}", str(number), cached)
    for number in range(len(ways)):
        assert seen(app.test_client(), f"/{number}") == ("text", "MISS")
        assert seen(app.test_client(), f"/{number}")[1] == "HIT"


def test_views_made_of_classes(app: Flask) -> None:
    class Index(View):
        decorators = [cache_view(60)]  # noqa: RUF012 - declared so by Flask

        def __init__(self, text: str) -> None:
            self.text = text

        def dispatch_request(self, pk: int) -> str:
            return f"{self.text} {pk}"

    class Product(MethodView):
        @cache_view(deps=lambda self, pk: f"product:{pk}")
        def get(self, pk: int) -> str:
            return f"{type(self).__name__} {prices[pk]}"

        def post(self, pk: int) -> str:
            prices[pk] += 1
            invalidate(f"product:{pk}")
            return ""

    prices = {1: 10, 2: 20}
    app.add_url_rule("/a/<int:pk>", view_func=Index.as_view("a", "A"))
    app.add_url_rule("/b/<int:pk>", view_func=Index.as_view("b", "B"))
    app.add_url_rule("/products/<int:pk>", view_func=Product.as_view("product"))
    client = app.test_client()
    assert seen(client, "/a/1") == ("A 1", "MISS")
    assert seen(client, "/b/1") == ("B 1", "MISS")
    assert seen(client, "/a/1") == ("A 1", "HIT")
    assert [seen(client, f"/products/{pk}")[0] for pk in (1, 2, 1)] == [
        "Product 10",
        "Product 20",
        "Product 10",
    ]
    client.post("/products/1")
    assert seen(client, "/products/1") == ("Product 11", "MISS")
    assert seen(client, "/products/2") == ("Product 20", "HIT")
    assert client.head("/products/2").headers["X-Cache"] == "HIT"
    with app.app_context():
        app.view_functions["a"].invalidate()  # type: ignore[attr-defined]
    assert [seen(client, path)[1] for path in ("/a/1", "/b/1")] == ["MISS", "HIT"]


def test_async_views_and_methods(app: Flask) -> None:
    class Product(MethodView):
        @cache_view
        async def get(self) -> str:
            add_deps(["product"])
            return "product"

    @app.get("/")
    @cache_view(deps="page")
    async def index() -> str:
        return f"index {session.get('name')}"

    app.add_url_rule("/product", view_func=Product.as_view("product"))
    client = app.test_client()
    for path, text in (("/", "index None"), ("/product", "product")):
        assert [seen(client, path) for _ in range(2)] == [(text, "MISS"), (text, "HIT")]
    with app.app_context():
        invalidate("page", "product")
    assert [seen(client, path)[1] for path in ("/", "/product")] == ["MISS", "MISS"]
    with client.session_transaction() as changed:
        changed["name"] = "Ann"
    assert seen(client) == ("index Ann", "MISS")
    assert seen(app.test_client()) == ("index None", "HIT")


class Site(Flask):
    """An application with subdomains."""

    def __init__(self, name: str) -> None:
        super().__init__(name, subdomain_matching=True)
        self.config["SERVER_NAME"] = "site.test"


def test_views_that_one_factory_has_made(make_app: MakeApp) -> None:
    app = make_app(Site)

    def shop(name: str, tools: object) -> Any:
        def index() -> str:
            assert tools is not None
            return f"The shop {name}"

        return index

    # At one path, and told not to be kept apart by the host.
    cached = [cache_view(include_host=False)(shop(name, object())) for name in ("A", "B")]
    for name, view in zip(("a", "b"), cached, strict=True):
        app.add_url_rule("/", name, view, subdomain=name)
    client = app.test_client()
    for outcome in ("MISS", "HIT"):
        for name in ("a", "b"):
            expected = (f"The shop {name.upper()}", outcome)
            assert seen(client, base_url=f"http://{name}.site.test") == expected


def test_a_class_that_is_a_view_twice_under_one_key(app: Flask) -> None:
    class Shop(MethodView):
        def __init__(self, name: str) -> None:
            self.name = name
            self.tools = object()

        @cache_view(key=lambda self: "front")
        def get(self) -> str:
            return f"The shop {self.name}"

    for name in ("a", "b"):
        app.add_url_rule(f"/{name}", view_func=Shop.as_view(name, name))
    client = app.test_client()
    for outcome in ("MISS", "HIT"):
        for name in ("a", "b"):
            assert seen(client, f"/{name}") == (f"The shop {name}", outcome)


def test_a_view_that_answers_options_itself(app: Flask) -> None:
    runs = route(app, lambda: (request.method, {"X-Own": "1"}), methods=["GET", "OPTIONS"])
    client = app.test_client()
    client.get("/")
    for _ in range(2):
        response = client.options("/")
        assert (response.text, response.headers["X-Cache"]) == ("OPTIONS", "BYPASS")
    assert seen(client) == ("GET", "HIT")
    assert runs == ["GET", "OPTIONS", "OPTIONS"]


# Methods


def test_a_get_is_never_answered_to_a_post(app: Flask) -> None:
    kinds = []

    def view() -> str:
        kinds.append(type(request._get_current_object()))  # type: ignore[attr-defined]
        return request.method

    runs = route(app, view, methods=["GET", "POST"])
    client = app.test_client()
    assert seen(client) == ("GET", "MISS")
    assert client.post("/").text == "POST"
    assert client.post("/").text == "POST"
    assert runs == ["GET", "POST", "POST"]
    # A request whose answer cannot be stored is not watched.
    assert kinds[1:] == [app.request_class] * 2
    assert kinds[0] is not app.request_class
    # Something was written there, so the page is made again.
    assert seen(client) == ("GET", "MISS")


def test_a_head_is_never_answered_to_a_get(app: Flask) -> None:
    runs = route(app, lambda: "text")
    client = app.test_client()
    head = client.head("/")
    assert (head.data, head.headers["X-Cache"]) == (b"", "MISS")
    assert seen(client) == ("text", "MISS")
    head = client.head("/")
    assert (head.data, head.headers["X-Cache"], head.headers["Content-Length"]) == (b"", "HIT", "4")
    assert seen(client) == ("text", "HIT")
    assert runs == ["HEAD", "GET"]


def test_options_is_flasks_own_answer(app: Flask) -> None:
    route(app, lambda: "text")
    client = app.test_client()
    client.get("/")
    assert client.options("/").allow == {"GET", "HEAD", "OPTIONS"}
    assert seen(client) == ("text", "HIT")


def test_a_get_with_content_takes_no_part(app: Flask) -> None:
    route(app, lambda: request.get_data(as_text=True))
    client = app.test_client()
    assert seen(client, data="poison") == ("poison", "BYPASS")
    assert seen(client) == ("", "MISS")
    assert seen(client, data="poison") == ("poison", "BYPASS")


# What a page depends on


def test_the_query_string_counts_however_it_is_sorted(app: Flask) -> None:
    route(app, lambda: request.args.get("q", ""))
    client = app.test_client()
    for query in ("", "?q=1", "?q=2", "?q=1&q=2", "?q="):
        assert seen(client, f"/{query}")[1] == "MISS"
    assert seen(client, "/?q=1") == ("1", "HIT")
    assert seen(client, "/?q=1&b=2")[1] == "MISS"
    assert seen(client, "/?b=2&q=1")[1] == "HIT"


def test_the_query_may_be_reduced(app: Flask) -> None:
    route(app, lambda: request.args.get("page", ""), query=["page"])
    client = app.test_client()
    seen(client, "/?page=1")
    assert seen(client, "/?utm_source=x&page=1") == ("1", "HIT")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "page=2&utm_source=mail&q=%C3%AAa"),
        ({"query": "none"}, ""),
        ({"query": ["page", "q"]}, "page=2&q=%C3%AAa"),
        ({"ignore_query": ["utm_*"]}, "page=2&q=%C3%AAa"),
        ({"query": "none", "key": lambda: 1}, "page=2&utm_source=mail&q=%C3%AAa"),
    ],
)
def test_a_view_sees_of_the_query_what_counts(
    app: Flask, options: dict[str, Any], shown: str
) -> None:
    def look() -> dict[str, Any]:
        return {
            "args": request.args.to_dict(flat=False),
            "full path": request.full_path,
            "url": request.url,
            "query string": request.query_string.decode(),
            "environ": request.environ["QUERY_STRING"],
        }

    looks: dict[str, Any] = {}
    whole = "page=2&utm_source=mail&q=%C3%AAa"
    route(app, lambda: looks.update(inside=look()) or "page", **options)
    app.before_request(lambda: looks.update(before=look()))
    app.after_request(lambda response: looks.update(after=look()) or response)
    app.test_client().get(f"/?{whole}")
    with app.test_request_context(f"/?{shown}"):
        assert looks["inside"] == look()
    with app.test_request_context(f"/?{whole}"):
        assert looks["before"] == looks["after"] == look()


def test_hosts_and_schemes_are_kept_apart(app: Flask) -> None:
    route(app, lambda: url_for("static", filename="a", _external=True))
    client = app.test_client()
    assert seen(client, base_url="http://a.test") == ("http://a.test/static/a", "MISS")
    assert seen(client, base_url="http://b.test") == ("http://b.test/static/a", "MISS")
    assert seen(client, base_url="https://a.test") == ("https://a.test/static/a", "MISS")
    assert seen(client, base_url="http://a.test")[1] == "HIT"


def test_the_host_counts_if_it_is_read_though_the_option_leaves_it_out(app: Flask) -> None:
    route(app, lambda: request.host, include_host=False)
    client = app.test_client()
    assert seen(client, base_url="http://a.test") == ("a.test", "MISS")
    assert seen(client, base_url="http://b.test") == ("b.test", "MISS")


def test_places_of_mounting_are_kept_apart(app: Flask) -> None:
    route(app, lambda: request.root_path)
    client = app.test_client()
    assert seen(client, base_url="http://a.test/one") == ("/one", "MISS")
    assert seen(client, base_url="http://a.test/two") == ("/two", "MISS")


READERS = {
    "a header": (lambda: request.headers.get("X-Kind", ""), "X-Kind"),
    "a header by its attribute": (lambda: str(request.accept_languages.best), "Accept-Language"),
    "the environment": (lambda: request.environ.get("HTTP_X_KIND", ""), "X-Kind"),
    "the user agent": (lambda: str(request.user_agent), "User-Agent"),
    "the referrer": (lambda: str(request.referrer), "Referer"),
    "a header in a template": (
        lambda: render_template_string("{{ request.headers['X-Kind'] }}"),
        "X-Kind",
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_header_that_was_read_counts(app: Flask, name: str) -> None:
    view, header = READERS[name]
    route(app, view)
    client = app.test_client()
    for value in ("de", "en"):
        body, outcome = seen(client, headers={header: value})
        assert (body, outcome) == (value, "MISS")
        response = client.get("/", headers={header: value, "X-Other": value})
        assert (response.text, response.headers["X-Cache"]) == (value, "HIT")
        assert header.lower() in response.headers["Vary"].lower()


def test_a_header_read_before_the_view_counts_if_the_view_uses_it(app: Flask) -> None:
    @app.before_request
    def look() -> None:
        assert request.accept_languages is not None

    route(app, lambda: str(request.accept_languages.best))
    client = app.test_client()
    for value in ("de", "en", "de"):
        assert seen(client, headers={"Accept-Language": value})[0] == value


def test_headers_that_were_not_read_do_not_count(app: Flask) -> None:
    route(app, lambda: "text")
    client = app.test_client(use_cookies=False)
    seen(client, headers={"User-Agent": "a", "Cookie": "a=1"})
    assert seen(client, headers={"User-Agent": "b", "Cookie": "a=2"}) == ("text", "HIT")
    assert "Vary" not in client.get("/").headers


def test_a_look_at_all_headers_is_not_cached(app: Flask) -> None:
    route(app, lambda: str(request.headers))
    client = app.test_client()
    assert [seen(client)[1] for _ in range(2)] == ["BYPASS", "BYPASS"]


def test_the_address_counts(app: Flask) -> None:
    route(app, lambda: str(request.remote_addr))
    client = app.test_client()
    for address in ("10.0.0.1", "10.0.0.2"):
        assert seen(client, environ_base={"REMOTE_ADDR": address}) == (address, "MISS")
    response = client.get("/", environ_base={"REMOTE_ADDR": "10.0.0.1"})
    assert response.headers["X-Cache"] == "HIT"
    assert "private" in response.headers["Cache-Control"]


def test_only_the_cookies_that_were_read_count(app: Flask) -> None:
    route(app, lambda: request.cookies.get("theme", "none"))
    client = app.test_client(use_cookies=False)
    assert seen(client, headers={"Cookie": "theme=dark; a=1"}) == ("dark", "MISS")
    assert seen(client, headers={"Cookie": "theme=light"}) == ("light", "MISS")
    assert seen(client) == ("none", "MISS")
    assert seen(client, headers={"Cookie": "a=2; theme=dark"}) == ("dark", "HIT")
    assert client.get("/").headers["Vary"] == "Cookie"


def test_a_look_at_all_cookies_counts_as_the_whole_header(app: Flask) -> None:
    route(app, lambda: jsonify(dict(request.cookies)))
    client = app.test_client(use_cookies=False)
    assert seen(client, headers={"Cookie": "a=1"})[1] == "MISS"
    assert seen(client, headers={"Cookie": "a=2"})[1] == "MISS"
    assert seen(client, headers={"Cookie": "a=1"})[1] == "HIT"


def test_named_headers_and_cookies_count(app: Flask) -> None:
    route(app, lambda: "text", vary_headers=["X-Kind"], vary_cookies=["theme"])
    client = app.test_client(use_cookies=False)
    assert seen(client, headers={"X-Kind": "a"})[1] == "MISS"
    assert seen(client, headers={"X-Kind": ""})[1] == "MISS"
    assert seen(client)[1] == "MISS"
    assert seen(client, headers={"Cookie": "theme=a"})[1] == "MISS"
    assert seen(client)[1] == "HIT"


# Sessions and users


def sign_in(app: Flask, **values: Any) -> FlaskClient:
    client = app.test_client()
    with client.session_transaction() as changed:
        changed.update(values)
    return client


def test_a_page_made_for_one_session_is_not_shown_to_another(app: Flask) -> None:
    route(app, lambda: f"Hello {session.get('name')}")
    ann, bob, nobody = sign_in(app, name="Ann"), sign_in(app, name="Bob"), app.test_client()
    for client, text in ((ann, "Hello Ann"), (bob, "Hello Bob"), (nobody, "Hello None")):
        assert seen(client) == (text, "MISS")
    for client, text in ((ann, "Hello Ann"), (bob, "Hello Bob"), (nobody, "Hello None")):
        response = client.get("/")
        assert (response.text, response.headers["X-Cache"]) == (text, "HIT")
        assert "private" in response.headers["Cache-Control"]
        assert "Cookie" in response.headers["Vary"]


def test_what_else_is_in_the_session_does_not_count(app: Flask) -> None:
    route(app, lambda: f"Theme {session.get('theme')}")
    assert seen(sign_in(app, theme="dark", cart=[1]))[1] == "MISS"
    assert seen(sign_in(app, theme="dark", cart=[2]))[1] == "HIT"
    assert seen(sign_in(app, theme="light", cart=[1]))[1] == "MISS"


def test_a_look_at_the_whole_session_counts_as_all_of_it(app: Flask) -> None:
    route(app, lambda: jsonify({**session}))
    assert seen(sign_in(app, theme="dark", cart=[1]))[1] == "MISS"
    assert seen(sign_in(app, theme="dark", cart=[2]))[1] == "MISS"
    assert seen(sign_in(app, theme="dark", cart=[1]))[1] == "HIT"


def test_templates_that_pass_the_session_on_unread_are_for_everybody(app: Flask) -> None:
    route(app, lambda: render_template_string("Hello {{ 'you' }}"))
    assert seen(sign_in(app, name="Ann")) == ("Hello you", "MISS")
    response = sign_in(app, name="Bob").get("/")
    assert response.headers["X-Cache"] == "HIT"
    assert "Vary" not in response.headers
    assert "private" not in response.headers["Cache-Control"]


def test_templates_that_show_the_session_are_not(app: Flask) -> None:
    route(app, lambda: render_template_string("Hello {{ session['name'] }}"))
    assert seen(sign_in(app, name="Ann")) == ("Hello Ann", "MISS")
    assert seen(sign_in(app, name="Bob")) == ("Hello Bob", "MISS")


def test_a_view_that_changes_the_session_is_not_cached(app: Flask) -> None:
    def view() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    route(app, view)
    client = app.test_client()
    assert [seen(client) for _ in range(3)] == [("1", "BYPASS"), ("2", "BYPASS"), ("3", "BYPASS")]


def test_messages_are_shown_once_and_to_one_visitor(app: Flask) -> None:
    @app.get("/leave")
    def leave() -> str:
        flash("Saved.")
        return ""

    route(app, lambda: render_template_string("{{ get_flashed_messages() }}"))
    assert get_flashed_messages is not None
    client, other = app.test_client(), app.test_client()
    assert seen(client)[1] == "MISS"
    client.get("/leave")
    assert seen(client) == ("[&#39;Saved.&#39;]", "BYPASS")
    assert seen(client) == ("[]", "HIT")
    assert seen(other) == ("[]", "HIT")


class User:
    """A user as a before_request function leaves it in ``g``."""

    def __init__(self, name: str) -> None:
        self.name = name


class KnownUser(User):
    def __zoocache_key__(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("view", "kind", "outcomes"),
    [
        (lambda: f"Hello {g.user and g.user.name}", KnownUser, ["MISS", "HIT"]),
        (lambda: f"Hello {g.get('user') and g.user.name}", KnownUser, ["MISS", "HIT"]),
        (
            lambda: render_template_string("Hello {{ g.user and g.user.name }}"),
            KnownUser,
            ["MISS", "HIT"],
        ),
        (lambda: f"Hello {g.user and g.user.name}", User, ["BYPASS", "BYPASS"]),
    ],
)
def test_a_user_that_was_looked_up_before_the_view_counts(
    app: Flask, view: Any, kind: type[User], outcomes: list[str]
) -> None:
    @app.before_request
    def look_up() -> None:
        name = session.get("name")
        g.user = None if name is None else kind(name)

    route(app, view)
    nobody = app.test_client()
    assert [seen(nobody) for _ in range(2)] == [("Hello None", "MISS"), ("Hello None", "HIT")]
    for name in ("Ann", "Bob"):
        client = sign_in(app, name=name)
        assert [seen(client) for _ in range(2)] == [(f"Hello {name}", each) for each in outcomes]
    assert seen(nobody) == ("Hello None", "HIT")


def test_what_the_view_itself_puts_into_g_does_not_count(make_app: MakeApp) -> None:
    app = make_app(shared_globals=["tool"])

    @app.before_request
    def prepare() -> None:
        g.tool = object()

    def view() -> str:
        if "first" not in g:
            g.first = object()
        g.second = object()
        return f"{g.first is not None} {g.second is not None} {g.tool is not None}"

    route(app, view)
    client = app.test_client()
    assert [seen(client)[1] for _ in range(2)] == ["MISS", "HIT"]


@pytest.mark.parametrize("made_before", [False, True])
def test_a_page_with_a_csrf_token_is_not_stored(app: Flask, made_before: bool) -> None:
    # As Flask-WTF does it, for a form in the view or for every request.
    if made_before:
        app.before_request(lambda: setattr(g, "csrf_token", "token"))

    def view() -> str:
        if "csrf_token" not in g:
            g.csrf_token = "token"
        return str(g.csrf_token)

    route(app, view)
    client = app.test_client()
    assert [seen(client) for _ in range(2)] == [("token", "BYPASS"), ("token", "BYPASS")]


def test_what_is_said_not_to_show_does_not_count(app: Flask) -> None:
    route(app, lambda: "text" + str(session.get("name"))[:0], per_user=False)
    assert seen(sign_in(app, name="Ann")) == ("text", "MISS")
    assert seen(sign_in(app, name="Bob")) == ("text", "HIT")


def test_one_page_for_each_session_where_users_are_not_known(app: Flask) -> None:
    route(app, lambda: "text", per_user=True)
    assert seen(sign_in(app, name="Ann")) == ("text", "MISS")
    assert seen(sign_in(app, name="Bob")) == ("text", "MISS")
    assert seen(sign_in(app, name="Ann")) == ("text", "HIT")


def test_attributes_that_the_application_gave_the_request_count(app: Flask) -> None:
    @app.before_request
    def look_up() -> None:
        request.customer = request.headers.get("X-Customer")  # type: ignore[attr-defined]

    route(app, lambda: str(request.customer))  # type: ignore[attr-defined]
    client = app.test_client()
    for name in ("a", "b", "a"):
        assert seen(client, headers={"X-Customer": name})[0] == name


class Row(DeclarativeBase):
    """What mapped classes have in common."""


class Account(Row):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def test_a_row_in_g_counts_by_its_key(app: Flask) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Row.metadata.create_all(engine)
    database = OrmSession(engine)
    database.add_all([Account(id=1, name="Ann"), Account(id=2, name="Bob")])
    database.commit()

    @app.before_request
    def look_up() -> None:
        g.account = database.get(Account, session.get("id", 0))

    route(app, lambda: f"Hello {g.account and g.account.name}")
    for number, name in ((1, "Ann"), (2, "Bob"), (3, None)):
        client = sign_in(app, id=number)
        assert [seen(client) for _ in range(2)] == [
            (f"Hello {name}", "MISS"),
            (f"Hello {name}", "HIT"),
        ]
    database.close()
    engine.dispose()


def test_what_the_view_changes_in_place_counts_as_it_was(app: Flask) -> None:
    @app.before_request
    def prepare() -> None:
        g.trail = ["before"] if "X-Kind" in request.headers else []

    def view() -> str:
        g.trail.append("before")
        return str(len(g.trail))

    route(app, view)
    client = app.test_client()
    assert seen(client) == ("1", "MISS")
    assert seen(client, headers={"X-Kind": "more"}) == ("2", "MISS")
    assert seen(client) == ("1", "HIT")


def test_what_the_server_found_out_counts(app: Flask) -> None:
    route(app, lambda: request.environ.get("SSL_CLIENT_S_DN", "nobody"))
    client = app.test_client()
    for name in ("Ann", "Bob"):
        environ = {"SSL_CLIENT_S_DN": name}
        assert [seen(client, environ_overrides=environ) for _ in range(2)] == [
            (name, "MISS"),
            (name, "HIT"),
        ]
    assert seen(client) == ("nobody", "MISS")


def test_a_header_may_have_an_underscore(app: Flask) -> None:
    route(app, lambda: "text", vary_headers=["X_Kind"])
    client = app.test_client()
    assert seen(client)[1] == "MISS"
    assert seen(client, environ_overrides={"HTTP_X_KIND": "a"})[1] == "MISS"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_run_for_many_requests_at_once(app: Flask, asynchronous: bool) -> None:
    runs: list[str] = []
    barrier = threading.Barrier(6)

    def work() -> str:
        runs.append("run")
        deadline = time.monotonic() + 10
        while engine.stats().flight_waits < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        return "text"

    async def work_later() -> str:
        # Each request of an asynchronous view has an event loop of its own.
        return work()

    engine = ZooCache().engine_of(app)
    app.add_url_rule("/", view_func=cache_view(work_later if asynchronous else work))

    def visit(found: list[tuple[str, str]]) -> None:
        barrier.wait(10)
        found.append(seen(app.test_client()))

    found: list[tuple[str, str]] = []
    threads = [threading.Thread(target=visit, args=(found,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert runs == ["run"]
    assert [text for text, _ in found] == ["text"] * 6


def test_authorization(app: Flask) -> None:
    def view() -> Response:
        return make_response("secret", {"Cache-Control": request.args["cc"]})

    route(app, view)
    client = app.test_client()
    for cc, outcomes in (("max-age=60", ["BYPASS"] * 2), ("public", ["MISS", "HIT"])):
        headers = {"Authorization": "Bearer 1"}
        path = f"/?cc={cc}"
        assert [seen(client, path, headers=headers)[1] for _ in range(2)] == outcomes
    assert seen(client, "/?cc=max-age=60")[1] == "MISS"
    assert seen(client, "/?cc=max-age=60", headers={"Authorization": "Bearer 2"})[1] == "BYPASS"


def test_one_page_for_each_token_where_the_view_varies_on_it(app: Flask) -> None:
    route(app, lambda: request.headers["Authorization"], vary_headers=["Authorization"])
    client = app.test_client()
    for token in ("1", "2"):
        headers = {"Authorization": token}
        assert [seen(client, headers=headers) for _ in range(2)] == [
            (token, "MISS"),
            (token, "HIT"),
        ]


# What is never stored


def cookie() -> Response:
    response = make_response("text")
    response.set_cookie("a", "1")
    return response


def generator() -> Iterator[str]:
    yield "text"


def later() -> str:
    @after_this_request
    def add(response: Response) -> Response:
        response.set_cookie("a", "1")
        return response

    return "text"


NEVER = {
    "Set-Cookie": cookie,
    "private": lambda: ("text", {"Cache-Control": "Private"}),
    "no-store": lambda: ("text", {"Cache-Control": "max-age=5 , NO-STORE"}),
    "no-cache": lambda: ("text", {"Cache-Control": "no-cache"}),
    "Vary: *": lambda: ("text", {"Vary": "*"}),
    "an error": lambda: ("text", 500),
    "not found": lambda: ("text", 404),
    "a redirect": lambda: redirect("/elsewhere"),
    "partial content": lambda: ("text", 206, {"Content-Range": "bytes 0-3/9"}),
    "a generator": lambda: generator(),
    "a stream": lambda: Response(generator()),
    "a streamed template": lambda: stream_template_string("text"),
    "a file": lambda: send_file(io.BytesIO(b"text"), mimetype="text/plain"),
    "passed through": lambda: Response(["text"], direct_passthrough=True),
    "after_this_request": later,
}


@pytest.mark.parametrize("name", NEVER)
def test_what_is_not_for_everybody_is_not_stored(app: Flask, name: str) -> None:
    runs = route(app, NEVER[name])
    client = app.test_client()
    for _ in range(2):
        response = client.get("/")
        assert response.headers["X-Cache"] == "BYPASS"
        response.close()
    assert runs == ["GET", "GET"]


def test_aborted_and_failing_views_are_not_stored(make_app: MakeApp) -> None:
    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    found = []

    def view() -> str:
        if not found:
            abort(404)
        if found == ["broken"]:
            raise KeyError("broken")
        return "here"

    runs = route(app, view)
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(2)] == [404, 404]
    found.append("broken")
    assert client.get("/").status_code == 500
    found.append("repaired")
    assert seen(client) == ("here", "MISS")
    assert len(runs) == 4


def test_answers_of_error_handlers_are_stored_if_asked(app: Flask) -> None:
    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        return "Nothing here", 404

    runs = route(app, lambda: abort(404), statuses=[200, 404], deps="things")
    client = app.test_client()
    for outcome in ("MISS", "HIT"):
        response = client.get("/")
        assert (response.status_code, response.headers["X-Cache"]) == (404, outcome)
        assert response.text == "Nothing here"
    with app.app_context():
        invalidate("things")
    client.get("/")
    assert len(runs) == 2


def test_harmless_cookies_are_replayed(app: Flask) -> None:
    route(app, cookie, harmless_cookies=["a"])
    client = app.test_client()
    first, second = client.get("/"), client.get("/")
    assert second.headers["X-Cache"] == "HIT"
    assert second.headers.getlist("Set-Cookie") == first.headers.getlist("Set-Cookie")


# Invalidation and lifetime


def test_forgetting_by_tag_view_arguments_and_url(app: Flask) -> None:
    @app.get("/<int:pk>")
    @cache_view(deps=lambda pk: f"product:{pk}")
    def product(pk: int) -> str:
        add_deps(["shop"])
        return str(pk)

    client = app.test_client()

    def after(forget: Any) -> list[str]:
        for pk in (1, 2):
            client.get(f"/{pk}")
        with app.app_context():
            forget()
        return [seen(client, f"/{pk}")[1] for pk in (1, 2)]

    assert after(lambda: None) == ["HIT", "HIT"]
    assert after(lambda: invalidate("product:1")) == ["MISS", "HIT"]
    assert after(lambda: invalidate("product")) == ["MISS", "MISS"]
    assert after(lambda: invalidate("shop")) == ["MISS", "MISS"]
    assert after(lambda: product.invalidate(pk=2)) == ["HIT", "MISS"]
    assert after(lambda: product.invalidate()) == ["MISS", "MISS"]
    assert after(lambda: invalidate(url_tag("/1"))) == ["MISS", "HIT"]


def test_a_page_depends_on_the_cached_functions_it_calls(app: Flask) -> None:
    source = ["old"]

    @cacheable(deps="source")
    def part() -> str:
        return source[0]

    route(app, part)
    client = app.test_client()
    assert [seen(client) for _ in range(2)] == [("old", "MISS"), ("old", "HIT")]
    source[0] = "new"
    with app.app_context():
        part.invalidate()
    assert seen(client) == ("new", "MISS")


def test_a_page_whose_data_changed_while_it_was_made_is_not_kept(app: Flask) -> None:
    source = ["old"]

    def view() -> str:
        value = source[0]
        if value == "old":
            source[0] = "new"
            invalidate("source")
        return value

    route(app, view, deps="source")
    client = app.test_client()
    assert seen(client)[0] == "old"
    assert seen(client)[0] == "new"


def test_a_ttl_passes(app: Flask, clock: ManualClock) -> None:
    route(app, lambda: "text", ttl=60)
    client = app.test_client()
    client.get("/")
    clock.advance(59)
    response = client.get("/")
    assert (response.headers["X-Cache"], response.headers["Age"]) == ("HIT", "59")
    clock.advance(2)
    assert seen(client)[1] == "MISS"


def test_the_browser_is_told_that_it_has_the_page(app: Flask) -> None:
    runs = route(app, lambda: "text")
    client = app.test_client()
    etag = client.get("/").headers["ETag"]
    response = client.get("/", headers={"If-None-Match": etag})
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["X-Cache"] == "HIT"
    assert "Content-Type" not in response.headers
    assert runs == ["GET"]


def test_after_request_functions_run_for_hits(app: Flask) -> None:
    @app.after_request
    def add(response: Response) -> Response:
        response.headers["X-Request"] = str(len(runs))
        return response

    runs = route(app, lambda: "text")
    client = app.test_client()
    assert [client.get("/").headers["X-Request"] for _ in range(2)] == ["1", "1"]


def test_after_request_functions_are_told_how_long_a_page_is(app: Flask) -> None:
    lengths: list[int | None] = []

    @app.after_request
    def look(response: Response) -> Response:
        lengths.append(response.content_length)
        return response

    route(app, lambda: "text")
    client = app.test_client()
    assert [client.get("/").content_length, client.head("/").content_length] == [4, 4]
    assert client.get("/").headers.getlist("Content-Length") == ["4"]
    assert lengths == [4, 4, 4]


def test_the_view_runs_while_the_storage_is_away(make_app: MakeApp) -> None:
    app = make_app(storage_url="redis://127.0.0.1:1", socket_timeout=0.1)
    route(app, lambda: "text")
    assert seen(app.test_client())[0] == "text"


def test_pages_in_redis_are_shared_by_applications(make_app: MakeApp, redis_url: str) -> None:
    first, second = make_app(storage_url=redis_url), make_app(storage_url=redis_url)

    @cache_view(deps="page")
    def view() -> str:
        return f"Hello {session.get('name')}"

    for app in (first, second):
        app.add_url_rule("/", view_func=view)
    assert seen(sign_in(first, name="Ann")) == ("Hello Ann", "MISS")
    assert seen(sign_in(second, name="Ann")) == ("Hello Ann", "HIT")
    assert seen(sign_in(second, name="Bob")) == ("Hello Bob", "MISS")
    with second.app_context():
        invalidate("page")
    assert seen(sign_in(first, name="Ann"))[1] == "MISS"
