"""``{% zoocache %}``: fragments of templates."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.test.utils import override_settings
from django.utils import translation

from tests.django.store.models import Item
from zoocache_core import UnsupportedValue, default_engine, invalidate
from zoocache_core.testing import ManualClock
from zoocache_django import cacheable

pytestmark = pytest.mark.django_db

ROWS = "{% zoocache 60 rows %}{% for item in items %}{{ item.name }} {% endfor %}{% endzoocache %}"


def render(source: str, **values: Any) -> str:
    return Template("{% load zoocache %}" + source).render(Context(values))


def test_a_fragment_is_forgotten_when_its_rows_change(django_assert_num_queries: Any) -> None:
    Item.objects.create(pk=1, name="one")
    assert render(ROWS, items=Item.objects.all()) == "one "
    with django_assert_num_queries(0):
        assert render(ROWS, items=Item.objects.all()) == "one "
    Item.objects.create(pk=2, name="two")
    assert render(ROWS, items=Item.objects.order_by("pk")) == "one two "


def test_fragments_vary() -> None:
    source = "{% zoocache 60 part n %}{{ shown }}{% endzoocache %}"
    assert render(source, n=1, shown="a") == "a"
    assert render(source, n=2, shown="b") == "b"
    assert render(source, n=1, shown="c") == "a"
    assert render(source, n="1", shown="d") == "d"
    one = Item.objects.create(pk=1)
    assert render(source, n=one, shown="e") == "e"
    assert render(source, n=Item.objects.get(pk=1), shown="f") == "e"


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="nothing is known that identifies"):
        render("{% zoocache 60 part n %}{% endzoocache %}", n=object())


def test_tags_and_models() -> None:
    source = '{% zoocache None part tags="news" %}{{ n }}{% endzoocache %}'
    assert [render(source, n=n) for n in (1, 2)] == ["1", "1"]
    invalidate("news")
    assert render(source, n=3) == "3"
    several = "{% zoocache None other tags=tags %}{{ n }}{% endzoocache %}"
    assert [render(several, n=n, tags=["a", "store.item"]) for n in (1, 2)] == ["1", "1"]
    Item.objects.create()
    assert render(several, n=3, tags=["a", "store.item"]) == "3"


def test_fragments_inside_fragments() -> None:
    source = (
        "{% zoocache 60 outer %}{{ a }}"
        '{% zoocache 60 inner tags="in" %}{{ b }}{% endzoocache %}{% endzoocache %}'
    )
    assert render(source, a=1, b=1) == "11"
    assert render(source, a=2, b=2) == "11"
    invalidate("in")
    assert render(source, a=3, b=3) == "33"


def test_a_cached_function_depends_on_the_fragments_it_renders() -> None:
    @cacheable
    def page() -> str:
        return render(ROWS, items=Item.objects.all())

    assert (render(ROWS, items=Item.objects.all()), page()) == ("", "")
    Item.objects.create(name="new")
    assert page() == "new "


def test_escaping_and_language_tell_fragments_apart() -> None:
    source = "{% zoocache 60 part %}{{ text }}{% endzoocache %}"
    off = "{% autoescape off %}" + source + "{% endautoescape %}"
    for _ in range(2):
        assert render(source, text="<b>") == "&lt;b&gt;"
        assert render(off, text="<b>") == "<b>"
    with translation.override("de"):
        assert render(source, text="fett") == "fett"


def test_the_ttl() -> None:
    clock = ManualClock()
    with override_settings(ZOOCACHE={"CLOCK": clock}):
        source = "{% zoocache ttl part %}{{ n }}{% endzoocache %}"
        assert render(source, n=1, ttl=10) == "1"
        clock.advance(11)
        assert render(source, n=2, ttl=10) == "2"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% zoocache 60 %}{% endzoocache %}", "is written as"),
        ("{% zoocache 60 a tags=b tags=c %}{% endzoocache %}", "is written as"),
        ("{% zoocache ttl a %}{% endzoocache %}", "expected a number of seconds"),
        ("{% zoocache 0 a %}{% endzoocache %}", "expected a number of seconds"),
    ],
)
def test_mistakes_are_named(source: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=message):
        render(source, ttl="soon")


def for_visitor(source: str, user: Any) -> str:
    request = RequestFactory().get("/")
    request.user = user
    return Template("{% load zoocache %}" + source).render(RequestContext(request))


@pytest.mark.parametrize("shown", ["user", "request.user", "perms.store.add_item"])
def test_what_is_made_for_a_visitor_is_not_shown_to_another(
    shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    ann, ben = (
        User.objects.create_user(name, is_superuser=name == "ann") for name in ("ann", "ben")
    )
    source = "{% zoocache 60 part %}{{ " + shown + " }}{% endzoocache %}"
    with caplog.at_level(logging.WARNING, "zoocache"):
        first, second, again = (for_visitor(source, user) for user in (ann, ben, ann))
    assert first == again != second
    assert "looks at its visitor" in caplog.text


def test_a_fragment_for_each_user() -> None:
    ann, ben = (User.objects.create_user(name) for name in ("ann", "ben"))
    source = "{% zoocache 60 part user %}{{ user }}{% endzoocache %}"
    for _ in range(2):
        assert for_visitor(source, ann) == "ann"
        assert for_visitor(source, ben) == "ben"
        assert for_visitor(source, AnonymousUser()) == "AnonymousUser"
    assert default_engine.stats().sets == 3


def test_a_form_is_not_cached() -> None:
    source = "{% zoocache 60 part 1 %}{% csrf_token %}{% endzoocache %}"
    assert for_visitor(source, AnonymousUser()) != for_visitor(source, AnonymousUser())
    assert default_engine.stats().sets == 0
