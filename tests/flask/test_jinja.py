"""``{% zoocache %}``."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, g, render_template_string, request, session
from jinja2 import TemplateSyntaxError
from markupsafe import Markup

from tests.flask.conftest import MakeApp
from zoocache_core import UnsupportedValue
from zoocache_core.testing import ManualClock
from zoocache_flask import add_deps, cache_view, cacheable, invalidate


class WithAsyncTemplates(Flask):
    jinja_options = {"enable_async": True}  # noqa: RUF012 - declared so by Flask


@pytest.fixture(params=[Flask, WithAsyncTemplates], ids=["sync", "async"])
def app(request: pytest.FixtureRequest, make_app: MakeApp) -> Flask:
    return make_app(kind=request.param)


class Source:
    """Something that templates show, and how often they looked."""

    def __init__(self) -> None:
        self.value, self.looks = "old", 0

    def look(self) -> str:
        self.looks += 1
        return self.value


def render(app: Flask, template: str, **context: Any) -> str:
    with app.test_request_context():
        return render_template_string(template, **context)


def test_a_fragment_is_rendered_once(app: Flask) -> None:
    source = Source()
    template = 'a {% zoocache "part" %}<b>{{ s.look() }}</b>{% endzoocache %} {{ s.looks }}'
    assert render(app, template, s=source) == "a <b>old</b> 1"
    source.value = "new"
    assert render(app, template, s=source) == "a <b>old</b> 1"


def test_text_is_escaped_once(app: Flask) -> None:
    template = '{% zoocache "part" %}{{ text }}{% endzoocache %}'
    for _ in range(2):
        assert render(app, template, text="<&>") == "&lt;&amp;&gt;"


def test_values_tell_fragments_of_one_name_apart(app: Flask) -> None:
    source = Source()
    for tag in ('"part", x, y', '"part", vary=[x, y]', '"part", x, vary=y'):
        template = f"{{% zoocache {tag} %}}{{{{ s.look() }}}} {{{{ x }}}}{{% endzoocache %}}"
        for x, y in ((1, 2), ("1", 2), (12, ""), ("a", "bc"), ("ab", "c"), (1, 2)):
            assert render(app, template, s=source, x=x, y=y) == f"old {x}"
    # Three ways of saying the same.
    assert source.looks == 5
    assert render(app, template, s=source, x=Markup("a"), y="bc") == "old a"
    assert source.looks == 5


def test_tags_and_what_it_reads_forget_it(app: Flask) -> None:
    source = Source()

    @cacheable(deps="inner")
    def part() -> str:
        add_deps(["more"])
        return source.look()

    template = '{% zoocache "part", tags=["a:1", "b"] %}{{ part() }}{% endzoocache %}'
    with app.test_request_context():
        for looks, tag in enumerate(["a:1", "b", "inner", "more", "a"], start=1):
            for _ in range(2):
                assert render_template_string(template, part=part) == "old"
            invalidate(tag)
            if tag in ("a:1", "b"):
                part.invalidate()
            if tag == "a":
                assert source.looks == looks
    assert source.looks == 5


def test_a_ttl_passes(app: Flask, clock: ManualClock) -> None:
    source = Source()
    template = '{% zoocache "part", ttl=60 %}{{ s.look() }}{% endzoocache %}'
    render(app, template, s=source)
    clock.advance(59)
    render(app, template, s=source)
    assert source.looks == 1
    clock.advance(61)
    render(app, template, s=source)
    assert source.looks == 2


def test_an_outer_fragment_and_the_page_depend_on_the_inner_one(app: Flask) -> None:
    source = Source()
    template = (
        '{% zoocache "outer" %}({% zoocache "inner", 1, tags="t" %}{{ s.look() }}'
        "{% endzoocache %}){% endzoocache %}"
    )

    @app.get("/")
    @cache_view
    def index() -> str:
        return render_template_string(template, s=source)

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["(old)", "(old)"]
    assert client.get("/").headers["X-Cache"] == "HIT"
    source.value = "new"
    with app.app_context():
        invalidate("t")
    assert [client.get("/").text for _ in range(2)] == ["(new)", "(new)"]
    assert source.looks == 2


def test_a_failing_fragment_is_rendered_again(app: Flask) -> None:
    def look() -> str:
        source.looks += 1
        if source.looks == 1:
            raise KeyError("broken")
        return "here"

    source = Source()
    template = '{% zoocache "part" %}{{ look() }}{% endzoocache %}'
    with pytest.raises(KeyError, match="broken"):
        render(app, template, look=look)
    assert [render(app, template, look=look) for _ in range(2)] == ["here", "here"]
    assert source.looks == 2


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("", "needs a name"),
        ("ttl=60", "needs a name"),
        ('"a", tll=60', "no option 'tll'.*ttl, vary, tags"),
        ('"a", ttl=1, ttl=2', "twice"),
        ('"a", ttl=1, 2', "after the values"),
    ],
)
def test_mistakes_are_found_when_the_template_is_loaded(app: Flask, tag: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=message):
        render(app, f"{{% zoocache {tag} %}}{{% endzoocache %}}")


def test_a_value_that_identifies_nothing_is_refused(app: Flask) -> None:
    with pytest.raises(UnsupportedValue):
        render(app, '{% zoocache "a", x %}{% endzoocache %}', x=object())


READERS = {
    "session": "{{ session['name'] }}",
    "g": "{{ g.name }}",
    "cookies": "{{ request.cookies['name'] }}",
    "headers": "{{ request.headers['Cookie'] }}",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("around", ["page", "cached page"])
def test_a_fragment_that_looks_at_its_visitor_is_not_shown_to_another(
    app: Flask, reader: str, around: str, caplog: pytest.LogCaptureFixture
) -> None:
    template = f'{{% zoocache "part" %}}{READERS[reader]}{{% endzoocache %}}'

    @app.before_request
    def look_up() -> None:
        g.name = session.get("name")

    def view() -> str:
        return render_template_string(template)

    app.add_url_rule("/", view_func=cache_view(view) if around == "cached page" else view)
    for name in ("Ann", "Bob"):
        client = app.test_client()
        client.set_cookie("name", name)
        with client.session_transaction() as changed:
            changed["name"] = name
        for _ in range(2):
            assert name in client.get("/").text
    assert len([r for r in caplog.records if "is not told apart" in r.message]) == 1


def test_a_function_is_not_kept_with_a_fragment_that_looks_at_its_visitor(app: Flask) -> None:
    @cacheable
    def part() -> str:
        fragment = "{% zoocache 'part' %}{{ request.cookies['name'] }}{% endzoocache %}"
        return render_template_string(fragment)

    app.add_url_rule("/", view_func=cache_view(lambda: part()))
    for name in ("Ann", "Bob"):
        client = app.test_client()
        client.set_cookie("name", name)
        assert client.get("/").text == name


def test_a_fragment_that_is_given_the_visitor_by_its_page_is_not_shown_to_another(
    app: Flask,
) -> None:
    inner = "{% zoocache 'inner' %}{{ g.name }}{% endzoocache %}"
    template = "{% zoocache 'outer' %}" + inner + "{% endzoocache %}"

    @app.get("/")
    @cache_view
    def view() -> str:
        g.name = request.cookies["name"]
        return render_template_string(template)

    for _ in range(2):
        for name in ("Ann", "Bob"):
            client = app.test_client()
            client.set_cookie("name", name)
            assert client.get("/").text == name
    # The page itself is kept: it has made the name of a cookie.
    assert client.get("/").headers["X-Cache"] == "HIT"


def test_a_fragment_told_apart_by_the_visitor_is_kept(app: Flask) -> None:
    source = Source()
    template = "{% zoocache 'part', session['name'] %}{{ s.look() }} {{ session['name'] }}"
    template += "{% endzoocache %}"

    @app.get("/")
    def view() -> str:
        return render_template_string(template, s=source)

    for name in ("Ann", "Bob"):
        client = app.test_client()
        with client.session_transaction() as changed:
            changed["name"] = name
        for _ in range(2):
            assert client.get("/").text == f"old {name}"
    assert source.looks == 2
