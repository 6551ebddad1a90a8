"""Fragments and functions that are given rows which were read before show them as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.core.paginator import Paginator
from django.db.models import Count
from django.template import Context, Engine, Template
from django.template.library import Library

from tests.django.store.models import Item, Kind
from zoocache_core import default_engine
from zoocache_django import cacheable

pytestmark = pytest.mark.django_db

_names = count()


def template(source: str) -> Template:
    """Every fragment in it gets a name of its own."""
    numbered = re.sub("NAME", lambda _: f"loaded{next(_names)}", source)
    return Template("{% load zoocache %}" + numbered)


def plain(source: str) -> Template:
    """The same without any cache."""
    return Template(re.sub("{% (end)?zoocache.*?%}", "", source))


@pytest.fixture(autouse=True)
def item() -> Item:
    first = Item.objects.create(name="one", kind=Kind.objects.create(name="kind"))
    Item.objects.create(name="two", kind=first.kind)
    return first


def page() -> Any:
    found = Paginator(Item.objects.order_by("pk"), 1).page(1)
    list(found)
    return found


class Box:
    def __init__(self) -> None:
        self.item = Item.objects.order_by("pk")[0]


ROWS: dict[str, Callable[[], Any]] = {
    "an instance": lambda: Item.objects.order_by("pk")[0],
    "a list": lambda: list(Item.objects.order_by("pk")),
    "an evaluated queryset": lambda: (q := Item.objects.order_by("pk"), len(q))[0],
    "a queryset": lambda: Item.objects.order_by("pk"),
    "a dict of lists": lambda: {"rows": list(Item.objects.order_by("pk"))},
    "a page": page,
    "an object": Box,
}

SHOWS = {"an instance": "{{ given.name }}", "an object": "{{ given.item.name }}"}
LOOP = "{% for row in given %}{{ row.name }} {% endfor %}"
SHOWS["a dict of lists"] = LOOP.replace("given", "given.rows")
FRAGMENT = "{% zoocache None NAME %}SHOW{% endzoocache %}"


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(
    "source",
    [
        FRAGMENT,
        FRAGMENT.replace("SHOW", FRAGMENT),
        "{% if given %}" + FRAGMENT + "{% endif %}",
        "{% with own=given %}" + FRAGMENT.replace("SHOW", "SHOW{{ own.name }}") + "{% endwith %}",
    ],
)
def test_fragments_show_rows_as_they_were_read(kind: str, source: str, item: Item) -> None:
    source = source.replace("SHOW", SHOWS.get(kind, LOOP))
    cached, fresh = template(source), plain(source)
    for name in ("one", "new", "newer"):
        Item.objects.filter(pk=item.pk).update(name=name)
        for _ in range(3):
            shown = cached.render(Context({"given": ROWS[kind]()}))
            assert name in shown
            assert shown == fresh.render(Context({"given": ROWS[kind]()}))
    hits = default_engine.stats().hits
    cached.render(Context({"given": ROWS[kind]()}))
    assert default_engine.stats().hits == hits + 1


CHANGES: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "loaded along": (
        "given.kind.name",
        lambda: Item.objects.select_related("kind").earliest("pk"),
        lambda: Kind.objects.update(name="new"),
    ),
    "prefetched": (
        "given.items.all.0.name",
        lambda: Kind.objects.prefetch_related("items").get(),
        lambda: Item.objects.update(name="new"),
    ),
    "annotated": (
        "given.number",
        lambda: Kind.objects.annotate(number=Count("items")).get(),
        lambda: Item.objects.create(kind=Kind.objects.get()),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_fragments_show_what_was_read_with_an_instance(kind: str) -> None:
    path, load, change = CHANGES[kind]
    source = "{% zoocache None NAME given.pk %}{{ " + path + " }}{% endzoocache %}"
    cached, fresh = template(source), plain(source)
    for _ in range(3):
        cached.render(Context({"given": load()}))
    change()
    shown = cached.render(Context({"given": load()}))
    assert shown == fresh.render(Context({"given": load()})) not in ("one", "kind", "2")


def test_a_preview_is_not_shown_to_others(item: Item) -> None:
    cached = template("{% zoocache None NAME item.pk %}{{ item.name }}{% endzoocache %}")
    for _ in range(3):
        assert cached.render(Context({"item": Item.objects.get(pk=item.pk)})) == "one"
        item.name = "preview"
        assert cached.render(Context({"item": item})) == "preview"


def test_a_process_that_has_not_seen_the_fragment_yet(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = template("{% zoocache None NAME item.pk %}{{ item.name }}{% endzoocache %}")
    for name in ("one", "new"):
        monkeypatch.setattr("zoocache_django.templatetags.zoocache._given", {})
        Item.objects.filter(pk=item.pk).update(name=name)
        assert cached.render(Context({"item": Item.objects.get(pk=item.pk)})) == name


def test_tags_that_take_the_context_as_a_whole(item: Item) -> None:
    library = Library()
    library.simple_tag(
        lambda context: context.flatten()["item"].name, takes_context=True, name="name_of_item"
    )
    engine = Engine(libraries={"zoocache": "zoocache_django.templatetags.zoocache"})
    engine.template_builtins.append(library)
    source = "{% load zoocache %}{% zoocache None flattened %}{% name_of_item %}{% endzoocache %}"
    cached = Template(source, engine=engine)
    for name in ("one", "new"):
        Item.objects.filter(pk=item.pk).update(name=name)
        for _ in range(3):
            assert cached.render(Context({"item": Item.objects.get(pk=item.pk)})) == name


def test_an_outer_fragment_is_given_what_an_inner_one_is(item: Item) -> None:
    inner = "{% zoocache None inner_of_outer %}{{ item.name }}{% endzoocache %}"
    cached = template("{% zoocache None NAME %}" + inner + "{% endzoocache %}")
    for name in ("one", "new"):
        Item.objects.filter(pk=item.pk).update(name=name)
        for _ in range(3):
            # So that the outer one finds the inner one made already.
            given = Context({"item": Item.objects.get(pk=item.pk)})
            assert template(inner).render(given) == name
            assert cached.render(given) == name


def test_what_holds_rows_and_cannot_be_told_apart_is_rendered_each_time(
    item: Item, caplog: pytest.LogCaptureFixture
) -> None:
    class Opaque(Box):
        def __init__(self) -> None:
            super().__init__()
            self.others = [Box()]

    cached = template("{% zoocache None NAME %}{{ box.others.0.item.name }}{% endzoocache %}")
    for name in ("one", "new"):
        Item.objects.filter(pk=item.pk).update(name=name)
        for _ in range(3):
            assert cached.render(Context({"box": Opaque()})) == name
    assert "is given rows in a variable, and rows are kept in a" in caplog.text


@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind not in ("a page", "an object")])
def test_functions_are_given_rows_as_they_were_read(kind: str, item: Item) -> None:
    @cacheable
    def names(given: Any) -> list[str]:
        given = given.get("rows") if isinstance(given, dict) else given
        return [row.name for row in ([given] if isinstance(given, Item) else given)]

    for name in ("one", "new"):
        Item.objects.filter(pk=item.pk).update(name=name)
        for _ in range(3):
            assert names(ROWS[kind]())[0] == name
        assert names.cached_value(ROWS[kind]())[0] == name


def test_methods_of_instances(item: Item, django_assert_num_queries: Any) -> None:
    @cacheable
    def siblings(self: Item) -> int:
        return Item.objects.filter(kind=self.kind_id).exclude(name=self.name).count()

    assert siblings(item) == 1
    with django_assert_num_queries(0):
        assert siblings(item) == 1
    Item.objects.create(name="three", kind=item.kind)
    assert siblings(item) == 2
    item.name = "three"
    assert siblings(item) == 2
    Item.objects.filter(name="two").delete()
    assert siblings(item) == 1
