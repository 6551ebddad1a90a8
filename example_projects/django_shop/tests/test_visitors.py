"""Accounts, and the page that everybody has for themselves."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient, Client
from shop.models import Product, Sale

from example_projects.django_shop.tests.looks import look

ORDERS = "/orders/"


def customer(name: str) -> Client:
    User.objects.create_user(name, password="secret")
    client = Client()
    assert client.login(username=name, password="secret")
    return client


@pytest.fixture
def ada(stock: None) -> Client:
    return customer("ada")


@pytest.fixture
def ben(stock: None) -> Client:
    return customer("ben")


@pytest.fixture
async def asynchronous_visitor(stock: None) -> AsyncIterator[AsyncClient]:
    yield AsyncClient()
    # Those of the thread in which Django's asynchronous ORM does its work.
    await sync_to_async(connections.close_all)()


def buy(client: Client, product: Product, quantity: int = 1) -> None:
    response = client.post(f"/products/{product.pk}/buy/", {"quantity": quantity})
    assert response.status_code == 302


def test_logging_in_and_out(client: Client, stock: None) -> None:
    User.objects.create_user("ada", password="secret")
    assert client.get(ORDERS)["Location"] == "/login/?next=/orders/"
    wrong = client.post("/login/", {"username": "ada", "password": "?"})
    assert "correct username and password" in wrong.content.decode()
    form = {"username": "ada", "password": "secret", "next": ORDERS}
    assert client.post("/login/?next=/orders/", form)["Location"] == ORDERS
    assert "Orders of ada" in look(client, ORDERS)[0]
    assert "Log out" in client.get("/account/").content.decode()
    assert client.post("/logout/")["Location"] == "/"
    assert client.get(ORDERS).status_code == 302


def test_each_has_a_page_of_their_own(ada: Client, ben: Client, book: Product) -> None:
    buy(ada, book)
    for expected in ("MISS", "HIT"):
        for client, name, bought in ((ada, "ada", True), (ben, "ben", False)):
            body, outcome = look(client, ORDERS)
            assert outcome == expected
            assert f"<h1>Orders of {name}</h1>" in body
            assert (book.name in body) is bought


def test_nobody_else_may_keep_it(ada: Client) -> None:
    response = ada.get(ORDERS)
    assert "private" in response["Cache-Control"]
    assert "Cookie" in response["Vary"]


def test_who_logs_in_at_the_same_computer_sees_their_own(ada: Client, ben: Client) -> None:
    assert "Orders of ada" in look(ada, ORDERS)[0]
    ada.post("/logout/")
    assert ada.get(ORDERS).status_code == 302
    assert ada.login(username="ben", password="secret")
    assert "Orders of ben" in look(ada, ORDERS)[0]
    # One page for ben, wherever he is.
    assert look(ben, ORDERS)[1] == "HIT"


def test_an_order_is_listed_at_once_and_keeps_what_was_paid(ada: Client, book: Product) -> None:
    assert "Nothing yet" in look(ada, ORDERS)[0]
    buy(ada, book, 3)
    assert "$30.00" in look(ada, ORDERS)[0]
    Product.objects.filter(pk=book.pk).update(price=99)
    body, outcome = look(ada, ORDERS)
    assert outcome == "MISS"
    assert "$30.00" in body
    assert '<span class="price">$99.00</span>' in body


def test_a_new_name_is_on_the_page_at_once(ada: Client) -> None:
    look(ada, ORDERS)
    User.objects.filter(username="ada").update(username="lovelace")
    assert "Orders of lovelace" in look(ada, ORDERS)[0]


def test_who_may_no_longer_log_in_is_not_shown_the_cached_page(ada: Client) -> None:
    look(ada, ORDERS)
    assert look(ada, ORDERS)[1] == "HIT"
    User.objects.filter(username="ada").update(is_active=False)
    assert ada.get(ORDERS).status_code == 302


def test_pages_for_everybody_are_shared_also_by_those_who_are_logged_in(
    ada: Client, ben: Client, client: Client
) -> None:
    for path in ("/", "/search/", "/reviews/"):
        outcomes = [look(visitor, path)[1] for visitor in (ada, ben, client)]
        assert outcomes == ["MISS", "HIT", "HIT"]


def test_who_buys_without_an_account_leaves_no_name(client: Client, book: Product) -> None:
    buy(client, book)
    assert Sale.objects.latest("pk").buyer is None


def test_a_review_is_signed_by_who_is_logged_in(ada: Client, client: Client, book: Product) -> None:
    path = f"/products/{book.pk}/review/"
    assert 'value="ada"' in ada.get(path).content.decode()
    assert 'value="ada"' not in client.get(path).content.decode()


def test_in_a_crowd_everybody_sees_their_own(stock: None, book: Product) -> None:
    Product.objects.filter(pk=book.pk).update(stock=1000)
    clients = {name: customer(name) for name in ("ada", "ben", "cleo", "dan")}
    dice = random.Random(7)
    rounds = [dice.sample(sorted(clients), k=4) for _ in range(12)]

    def own(name: str) -> bool:
        try:
            body, _ = look(clients[name], ORDERS)
            return f"<h1>Orders of {name}</h1>" in body and body.count("<td>") == 2 * bought[name]
        finally:
            connection.close()
            if connection.connection is not None:
                # Django leaves the connections to a database in memory open.
                connection.connection.close()
                connection.connection = None

    bought = dict.fromkeys(clients, 0)
    with ThreadPoolExecutor(4) as threads:
        for names in rounds:
            buy(clients[names[0]], book)
            bought[names[0]] += 1
            assert all(threads.map(own, names * 2))


async def test_an_asynchronous_server_keeps_them_apart_too(
    ada: Client, ben: Client, asynchronous_visitor: AsyncClient
) -> None:
    for expected in ("MISS", "HIT"):
        for name, client in (("ada", ada), ("ben", ben)):
            asynchronous_visitor.cookies = client.cookies
            response = await asynchronous_visitor.get(ORDERS)
            assert response["X-Cache"] == expected
            assert f"<h1>Orders of {name}</h1>" in response.content.decode()


async def test_the_asynchronous_view(asynchronous_visitor: AsyncClient, book: Product) -> None:
    async def look(path: str) -> tuple[str, str]:
        response = await asynchronous_visitor.get(path)
        return response.content.decode(), response["X-Cache"]

    for expected in ("MISS", "HIT"):
        body, outcome = await look("/reviews/?utm_source=mail")
        assert outcome == expected
        assert "The newest of 4." in body
    await book.reviews.acreate(author="Eve", rating=1, text="Too <thin>.")
    body, outcome = await look("/reviews/")
    assert outcome == "MISS"
    assert "Too &lt;thin&gt;." in body
    await Product.objects.filter(pk=book.pk).aupdate(price=77)
    assert "$77.00" in (await look("/reviews/"))[0]
