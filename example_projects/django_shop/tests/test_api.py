"""The API: cached where it is read, right after what is written, also through itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from shop.models import Product, Review

from example_projects.django_shop.tests.looks import look

pytestmark = pytest.mark.usefixtures("stock")


def data(client: Client, path: str) -> Any:
    return json.loads(look(client, path)[0])


def names(client: Client, path: str) -> list[str]:
    return [item["name"] for item in data(client, path)["results"]]


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("boss", is_staff=True))
    return client


def change(client: Client, item: Product, **fields: Any) -> int:
    status: int = client.patch(
        f"/api/products/{item.pk}/", json.dumps(fields), content_type="application/json"
    ).status_code
    return status


def test_a_product(client: Client, book: Product) -> None:
    path = f"/api/products/{book.pk}/"
    expected = {
        "id": book.pk,
        "name": "Books 1",
        "description": "",
        "category": "books",
        "price": "10.00",
        "stock": 5,
        "rating": 3.0,
        "review_count": 1,
        "reviews": [{"author": "Ada", "rating": 3, "text": "Fine."}],
    }
    for outcome in ("MISS", "HIT"):
        assert look(client, path)[1] == outcome
        assert data(client, path) == expected


def test_it_is_searched_like_the_page(client: Client) -> None:
    assert names(client, "/api/products/?category=tea") == ["Tea 2", "Tea 1"]
    assert names(client, "/api/products/?q=1&order=-price") == ["Books 1", "Tea 1"]
    assert look(client, "/api/products/?order=-price&q=1&junk=1")[1] == "HIT"
    refused = client.get("/api/products/?order=junk")
    assert refused.status_code == 400
    assert list(refused.json()) == ["order"]
    assert client.get("/api/products/?page=9").status_code == 404


def test_links_to_other_pages_are_the_same_for_everybody(client: Client, book: Product) -> None:
    Product.objects.bulk_create(
        Product(category=book.category, name=f"More {number}", price=1) for number in range(60)
    )
    following = data(client, "/api/products/?q=more&utm_source=mail")["next"]
    assert following == "http://testserver/api/products/?page=2&q=more"
    assert len(names(client, following)) == 24


def test_staff_may_change_products(client: Client, staff: Client, book: Product) -> None:
    pages = ("/", f"/products/{book.pk}/", f"/api/products/{book.pk}/", "/api/products/")
    for path in pages:
        look(client, path)
    assert change(client, book, price="12.34") == 403
    assert change(staff, book, price="-1") == 400
    assert [look(client, path)[1] for path in pages] == ["HIT"] * 4
    assert change(staff, book, price="12.34") == 200
    for path in pages:
        body, outcome = look(client, path)
        assert outcome == "MISS"
        assert "12.34" in body


def test_a_list_makes_anew_what_has_changed(client: Client, book: Product) -> None:
    def queries_for_reviews() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert look(client, "/api/products/?order=name")[1] == "MISS"
        return sum('FROM "shop_review"' in query["sql"] for query in queries)

    assert queries_for_reviews() == 4
    Product.objects.filter(pk=book.pk).update(name="Books 1, second edition")
    assert queries_for_reviews() == 1
    Review.objects.create(product=book, author="Eve", rating=1, text="New.")
    assert queries_for_reviews() == 4
