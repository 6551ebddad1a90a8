"""Search by query parameters: each combination is a page of its own, and nonsense is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product as combinations
from urllib.parse import urlencode

import pytest
from django.test import Client
from shop.models import Category, Product

from example_projects.django_shop.tests.looks import look
from zoocache_core import default_engine


@pytest.fixture
def shelves(stock: None) -> None:
    camping = Category.objects.create(name="Camping", slug="camping")
    for name, price in (("Red tent", 30), ("Blue tent", 20), ("Red stove", 40)):
        text = "For the mountains." if "tent" in name else ""
        Product.objects.create(category=camping, name=name, description=text, price=price, stock=1)


def found(client: Client, **parameters: object) -> list[str]:
    body, _ = look(client, f"/search/?{urlencode(parameters)}")
    return re.findall(r'<a href="/products/\d+/">(.*?)</a>', body)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"q": "tent", "order": "name"}, ["Blue tent", "Red tent"]),
        ({"q": "RED", "order": "price"}, ["Red tent", "Red stove"]),
        ({"q": "mountains red"}, ["Red tent"]),
        ({"q": "tent stove"}, []),
        ({"category": "camping", "order": "-price"}, ["Red stove", "Red tent", "Blue tent"]),
        ({"category": "tea"}, ["Tea 2", "Tea 1"]),
        (
            {"max_price": "20", "order": "name"},
            ["Blue tent", "Books 1", "Books 2", "Tea 1", "Tea 2"],
        ),
        ({"max_price": "20", "category": "camping"}, ["Blue tent"]),
    ],
)
def test_what_is_found(
    client: Client, shelves: None, parameters: dict[str, object], names: list[str]
) -> None:
    assert found(client, **parameters) == names
    assert found(client, **parameters) == names


def test_a_cached_search_gives_what_one_that_is_not_cached_gives(
    client: Client, shelves: None
) -> None:
    def every() -> Iterator[dict[str, object]]:
        for q, category, order in combinations(
            ("", "red", "tent"), ("", "camping", "books"), ("", "price", "-price", "name")
        ):
            yield {"q": q, "category": category, "order": order}

    first = {urlencode(parameters): found(client, **parameters) for parameters in every()}
    assert {urlencode(parameters): found(client, **parameters) for parameters in every()} == first
    stored = default_engine.stats().sets
    default_engine.clear()
    assert {urlencode(parameters): found(client, **parameters) for parameters in every()} == first
    assert default_engine.stats().sets == 2 * stored == 2 * len(first)


def test_parameters_in_another_order_are_the_same_page(client: Client, shelves: None) -> None:
    assert look(client, "/search/?q=tent&order=price")[1] == "MISS"
    assert look(client, "/search/?order=price&q=tent")[1] == "HIT"


def test_junk_makes_no_entries(client: Client, shelves: None) -> None:
    body, _ = look(client, "/search/?q=tent")
    look(client, "/")
    stored = default_engine.stats().sets
    for number in range(20):
        assert look(client, f"/search/?q=tent&utm_source=mail{number}") == (body, "HIT")
        assert look(client, f"/?fbclid={number}")[1] == "HIT"
        assert client.get(f"/search/?order=by{number}").status_code == 400
        assert client.get(f"/search/?q=tent&page={number + 2}").status_code == 404
        assert client.get(f"/categories/camping/?page={number + 2}").status_code == 404
    assert default_engine.stats().sets == stored


def test_junk_of_one_visitor_is_not_in_the_links_of_the_next(client: Client, stock: None) -> None:
    books = Category.objects.get(slug="books")
    Product.objects.bulk_create(
        Product(category=books, name=f"More {number}", price=1) for number in range(60)
    )
    first, _ = look(client, "/search/?q=more&order=price&next=//evil.example")
    assert "evil" not in first
    assert '<a rel="next" href="?q=more&amp;order=price&amp;page=2">' in first
    second, _ = look(client, "/search/?q=more&order=price&page=2")
    assert '<a rel="prev" href="?q=more&amp;order=price&amp;page=1">' in second
    assert "Page 2 of 2" in second


def test_a_refused_search_says_why(client: Client, shelves: None) -> None:
    body = client.get("/search/?max_price=cheap&category=none").content.decode()
    assert "Enter a number" in body
    assert "not one of the available choices" in body
    assert 'class="price"' not in body


def test_results_follow_what_is_sold(client: Client, shelves: None) -> None:
    assert found(client, q="tent", order="price") == ["Blue tent", "Red tent"]
    Product.objects.filter(name="Red tent").update(price=5)
    assert found(client, q="tent", order="price") == ["Red tent", "Blue tent"]
    Product.objects.get(name="Blue tent").delete()
    assert found(client, q="tent", order="price") == ["Red tent"]
    Category.objects.create(name="Zoo", slug="zoo")
    assert "Zoo" in look(client, "/search/")[0]
