"""Every page of the shop is cached, and right after every way of writing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from shop.models import Category, Product, Review

from example_projects.django_shop.tests.looks import look

pytestmark = pytest.mark.usefixtures("stock")


def fields(item: Product, **changed: Any) -> dict[str, Any]:
    form = {name: getattr(item, name) for name in ("name", "description", "price", "stock")}
    return {**form, "category": item.category_id, **changed}


def pages_of(item: Product) -> list[str]:
    slug = item.category.slug
    return [
        "/",
        f"/categories/{slug}/",
        f"/products/{item.pk}/",
        f"/search/?category={slug}",
        "/reviews/",
        f"/api/products/{item.pk}/",
        f"/api/products/?category={slug}",
    ]


def test_every_page_is_cached(client: Client, book: Product) -> None:
    for path in pages_of(book):
        first, missed = look(client, path)
        second, hit = look(client, path)
        assert (missed, hit) == ("MISS", "HIT")
        assert first == second
        assert book.name in first


def test_an_edit_is_on_every_page_at_once(client: Client, book: Product, tea: Product) -> None:
    kept = [f"/products/{tea.pk}/", f"/api/products/{tea.pk}/"]
    for path in [*pages_of(book), *kept]:
        look(client, path)
    response = client.post(
        f"/products/{book.pk}/edit/", fields(book, price="12.34", name="Renamed")
    )
    assert response.status_code == 302
    for path in pages_of(book):
        body, outcome = look(client, path)
        assert "12.34" in body
        assert "Renamed" in body
        assert outcome == "MISS"
        assert look(client, path) == (body, "HIT")
    for path in kept:
        assert look(client, path)[1] == "HIT"


def test_a_refused_edit_changes_nothing(client: Client, book: Product) -> None:
    for path in pages_of(book):
        look(client, path)
    response = client.post(f"/products/{book.pk}/edit/", fields(book, price="-1"))
    assert response.status_code == 200
    assert "greater than or equal" in response.content.decode()
    for path in pages_of(book):
        assert look(client, path)[1] == "HIT"


def test_a_move_is_seen_in_both_categories(client: Client, book: Product, tea: Product) -> None:
    for slug in ("books", "tea"):
        look(client, f"/categories/{slug}/")
    client.post(f"/products/{book.pk}/edit/", fields(book, category=tea.category_id))
    assert book.name not in look(client, "/categories/books/")[0]
    assert book.name in look(client, "/categories/tea/")[0]


def test_a_review_counts(client: Client, book: Product) -> None:
    path = f"/products/{book.pk}/"
    assert "★ 3.0" in look(client, path)[0]
    assert json.loads(look(client, f"/api/products/{book.pk}/")[0])["rating"] == 3
    client.post(f"{path}review/", {"author": "Grace", "rating": 5, "text": "Lovely <b>thing</b>."})
    body, _ = look(client, path)
    assert "★ 4.0" in body
    assert "Lovely &lt;b&gt;thing" in body
    assert json.loads(look(client, f"/api/products/{book.pk}/")[0])["review_count"] == 2
    assert client.post(f"{path}review/", {"author": "", "rating": 9}).status_code == 200
    assert Review.objects.filter(product=book).count() == 2


def test_a_sale_changes_stock_and_bestsellers(client: Client, book: Product) -> None:
    assert "1 sold" in look(client, "/")[0]
    assert "5 in stock" in look(client, f"/products/{book.pk}/")[0]
    client.post(f"/products/{book.pk}/buy/", {"quantity": 4})
    assert "5 sold" in look(client, "/")[0]
    assert "1 in stock" in look(client, f"/products/{book.pk}/")[0]
    refused = client.post(f"/products/{book.pk}/buy/", {"quantity": 2})
    assert "Only 1 left" in refused.content.decode()
    client.post(f"/products/{book.pk}/buy/", {"quantity": 1})
    assert "Sold out" in look(client, f"/products/{book.pk}/")[0]


def test_the_admin_writes_like_anybody(client: Client, book: Product) -> None:
    for path in pages_of(book):
        look(client, path)
    admin = Client()
    admin.force_login(User.objects.create_superuser("boss"))
    response = admin.post(f"/admin/shop/product/{book.pk}/change/", fields(book, price="77.70"))
    assert response.status_code == 302
    for path in pages_of(book):
        assert "77.7" in look(client, path)[0]
    admin.post(
        "/admin/shop/review/",
        {
            "action": "delete_selected",
            "_selected_action": [review.pk for review in book.reviews.all()],
            "post": "yes",
        },
    )
    assert "no reviews yet" in look(client, f"/products/{book.pk}/")[0]


def test_pages_of_a_category_are_pages_of_their_own(client: Client, book: Product) -> None:
    Product.objects.bulk_create(
        Product(category=book.category, name=f"More {number}", price=1) for number in range(60)
    )
    first, second = (
        look(client, "/categories/books/")[0],
        look(client, "/categories/books/?page=2")[0],
    )
    assert "Page 1 of 2" in first
    assert "Page 2 of 2" in second


def test_what_is_not_there_is_not_cached(client: Client, book: Product) -> None:
    for _ in range(2):
        assert client.get("/products/999/").status_code == 404
    Product.objects.create(pk=999, category=book.category, name="New", price=1)
    assert "New" in look(client, "/products/999/")[0]


def test_forms_belong_to_one_visitor(book: Product) -> None:
    for form in ("edit", "review", "buy"):
        response = Client().get(f"/products/{book.pk}/{form}/")
        assert "csrftoken" in response.cookies
        assert "X-Cache" not in response


def test_editors_can_be_asked_for_an_account(client: Client, book: Product, settings: Any) -> None:
    settings.SHOP_ANYONE_MAY_EDIT = False
    path = f"/products/{book.pk}/edit/"
    assert "/admin/login/" in client.get(path)["Location"]
    assert client.post(path, fields(book, price="1.00")).status_code == 302
    assert Product.objects.get(pk=book.pk).price == 10
    client.force_login(User.objects.create_superuser("boss"))
    client.post(path, fields(book, price="1.00"))
    assert Product.objects.get(pk=book.pk).price == 1


def test_the_project_is_in_order() -> None:
    call_command("check", fail_level="WARNING")
    call_command("makemigrations", check=True, verbosity=0)


def test_seeding_fills_an_empty_shop_only(client: Client, capsys: Any) -> None:
    with pytest.raises(CommandError, match="empty"):
        call_command("seed")
    Product.objects.all().delete()
    Category.objects.all().delete()
    call_command("seed")
    assert Product.objects.count() == 2880
    for name in ("demo", "ada", "ben"):
        assert client.login(username=name, password="demo")
    assert json.loads(look(client, "/api/products/?category=books")[0])["count"] == 240
