"""The pages that the demo looks at, and how it finds in each what the database says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlencode

from example_projects.django_shop.browsing import Browser, Response
from example_projects.django_shop.databases import Database

PRODUCTS_ON_A_PAGE = 48

Facts = tuple[Callable[[str], object], Callable[[], object]]
"""What a page's body shows of what is in the database, and the same from the database."""


@dataclass
class Page:
    """One page and what was seen of it."""

    name: str
    path: str
    visitor: Browser
    facts: Facts
    edited: bool = True
    """Whether the edited product is on it."""
    owner: str | None = None
    """Who alone may see it."""
    cold: float = 0.0
    cached: float = 0.0
    hits: int = 0
    looks: int = 0
    wrong: list[str] = field(default_factory=list)
    """``STALE`` for each response that is not as the database is; ``FOREIGN``, not the owner's."""
    lost: bool = False
    """Whether it was made anew after the edit, although the edited product is not on it."""

    def look(self) -> Response:
        """Request the page and judge what is on it."""
        response = self.visitor.get(self.path)
        self.looks += 1
        shown, true = self.facts
        if self.owner is not None and f"<h1>Orders of {self.owner}</h1>" not in response.body:
            self.wrong.append("FOREIGN")
        elif shown(response.body) != true():
            self.wrong.append("STALE")
        return response


def pages(
    product: int, database: Database, anybody: Browser, customers: dict[str, Browser]
) -> list[Page]:
    """All that show the product, and some that do not."""

    def price(of: int, found: Callable[[int, str], Decimal]) -> Facts:
        return lambda body: found(of, body), lambda: database.price(of)

    ((name, slug),) = database.rows(
        "SELECT p.name, c.slug FROM shop_product p JOIN shop_category c ON c.id = p.category_id"
        " WHERE p.id = ?",
        product,
    )
    shelf, on_shelf = _on_shelf(product, slug, database)
    other = product % 2880 + 1
    words = urlencode({"q": name.rpartition(" ")[0], "category": slug, "order": "price"})
    shared = [
        ("home, bestsellers", "", price(product, _in_list)),
        ("category with ratings", shelf, on_shelf),
        ("search, cheapest first", f"search/?{words}", price(product, _in_list)),
        ("latest reviews (async view)", "reviews/", price(product, _in_list)),
        ("the product", f"products/{product}/", price(product, _on_page)),
        ("the product, REST API", f"api/products/{product}/", price(product, _in_json)),
        ("search, REST API", f"api/products/?{words}", price(product, _in_json)),
    ]
    untouched = [
        ("another product", f"products/{other}/", price(other, _on_page)),
        ("another product, REST API", f"api/products/{other}/", price(other, _in_json)),
    ]
    return [
        *(Page(name, path, anybody, facts) for name, path, facts in shared),
        *(
            Page(f"{name}'s orders", "orders/", browser, _orders(name, database), owner=name)
            for name, browser in customers.items()
        ),
        *(Page(name, path, anybody, facts, edited=False) for name, path, facts in untouched),
    ]


def _on_shelf(product: int, slug: str, database: Database) -> tuple[str, Facts]:
    """The page of its category where the product is, and what it shows: products in their order."""

    def best_rated() -> list[int]:
        rows = database.rows(
            "SELECT p.id FROM shop_product p JOIN shop_category c ON c.id = p.category_id"
            " LEFT JOIN shop_review r ON r.product_id = p.id WHERE c.slug = ? GROUP BY p.id"
            " ORDER BY COALESCE(AVG(r.rating), 0) DESC, COUNT(r.id) DESC, p.id",
            slug,
        )
        return [key for (key,) in rows]

    first = best_rated().index(product) // PRODUCTS_ON_A_PAGE * PRODUCTS_ON_A_PAGE

    def shown(body: str) -> object:
        listed = re.findall(r'href="/products/(\d+)/"', body)
        return [int(key) for key in listed], _in_list(product, body)

    def true() -> object:
        return best_rated()[first : first + PRODUCTS_ON_A_PAGE], database.price(product)

    return f"categories/{slug}/?page={first // PRODUCTS_ON_A_PAGE + 1}", (shown, true)


def _orders(owner: str, database: Database) -> Facts:
    """What the owner has bought, newest first, and what that costs today."""

    def shown(body: str) -> object:
        found = re.findall(r'>#(\d+)<.*?class="price">\$([\d.]+)<', body, re.DOTALL)
        return [(int(order), Decimal(price)) for order, price in found]

    def true() -> object:
        rows = database.rows(
            "SELECT s.id, s.product_id FROM shop_sale s JOIN auth_user u ON u.id = s.buyer_id"
            " WHERE u.username = ? ORDER BY s.id DESC",
            owner,
        )
        return [(order, database.price(product)) for order, product in rows]

    return shown, true


def _in_list(product: int, body: str) -> Decimal:
    return _price(rf'href="/products/{product}/".*?class="price">\$([\d.]+)<', body)


def _on_page(product: int, body: str) -> Decimal:
    return _price(r'class="price big">\$([\d.]+)<', body)


def _price(pattern: str, body: str) -> Decimal:
    found = re.search(pattern, body, re.DOTALL)
    if found is None:
        raise SystemExit(f"The page does not show the product: no {pattern!r} in it")
    return Decimal(found[1])


def _in_json(product: int, body: str) -> Decimal:
    data = json.loads(body)
    (found,) = [item for item in data.get("results", [data]) if item["id"] == product]
    return Decimal(found["price"])
