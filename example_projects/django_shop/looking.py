"""The pages that the demo looks at, and how it finds in each what the database says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlencode

from example_projects.django_shop.browsing import Browser, Response
from example_projects.django_shop.databases import Database

PRODUCTS_ON_A_PAGE = 48


@dataclass
class Page:
    """One page and what was seen of it."""

    name: str
    path: str
    visitor: Browser
    shown: Callable[[str], object]
    """What the page shows of what is in the database."""
    true: Callable[[], object]
    """The same from the database."""
    edited: bool = True
    """Whether the edited product is on it."""
    owner: str | None = None
    """Who alone may see it."""
    cold: float = 0.0
    cached: float = 0.0
    hits: int = 0
    wrong: list[str] = field(default_factory=list)
    """``STALE`` for each response that is not as the database is; ``FOREIGN``, not the owner's."""
    looks: int = 0
    lost: bool = False
    """Whether it was made anew after the edit, although the edited product is not on it."""

    def look(self) -> Response:
        """Request the page and judge what is on it."""
        response = self.visitor.get(self.path)
        self.looks += 1
        if self.owner is not None and f"<h1>Orders of {self.owner}</h1>" not in response.body:
            self.wrong.append("FOREIGN")
        elif self.shown(response.body) != self.true():
            self.wrong.append("STALE")
        return response


def pages(
    product: int, database: Database, anybody: Browser, customers: dict[str, Browser]
) -> list[Page]:
    """All that show the product, and some that do not."""
    name, slug, place = _whereabouts(product, database)
    other = product % 2880 + 1
    words = urlencode({"q": name.rpartition(" ")[0], "category": slug, "order": "price"})
    in_list, in_json = _price_in_list(product), _price_in_json(product)

    def price() -> Decimal:
        return database.price(product)

    def other_price() -> Decimal:
        return database.price(other)

    def orders(owner: str) -> Callable[[], object]:
        return lambda: (_orders_of(owner, database), price())

    def orders_shown(body: str) -> object:
        return re.findall(r">#(\d+)<", body), in_list(body)

    listed = f"categories/{slug}/?page={place // PRODUCTS_ON_A_PAGE + 1}"
    return [
        Page("home, bestsellers", "", anybody, in_list, price),
        Page("category with ratings", listed, anybody, in_list, price),
        Page("search, cheapest first", f"search/?{words}", anybody, in_list, price),
        Page("latest reviews (async view)", "reviews/", anybody, in_list, price),
        Page("the product", f"products/{product}/", anybody, _price_on_page, price),
        Page("the product, REST API", f"api/products/{product}/", anybody, in_json, price),
        Page("search, REST API", f"api/products/?{words}", anybody, in_json, price),
        *(
            Page(f"{owner}'s orders", "orders/", browser, orders_shown, orders(owner), owner=owner)
            for owner, browser in customers.items()
        ),
        Page(
            *("another product", f"products/{other}/", anybody, _price_on_page, other_price),
            edited=False,
        ),
        Page(
            *("another product, REST API", f"api/products/{other}/", anybody),
            *(_price_in_json(other), other_price),
            edited=False,
        ),
    ]


def _whereabouts(product: int, database: Database) -> tuple[str, str, int]:
    """The product's name and category, and how many are before it in the category's list."""
    ((name, slug, place),) = database.rows(
        "WITH rated AS (SELECT p.id, p.name, p.category_id, AVG(r.rating) rating,"
        " COUNT(r.id) reviews FROM shop_product p LEFT JOIN shop_review r ON r.product_id = p.id"
        " GROUP BY p.id)"
        " SELECT m.name, c.slug, (SELECT COUNT(*) FROM rated o"
        " WHERE o.category_id = m.category_id AND"
        " (COALESCE(o.rating, 0), o.reviews, -o.id) > (COALESCE(m.rating, 0), m.reviews, -m.id))"
        " FROM rated m JOIN shop_category c ON c.id = m.category_id WHERE m.id = ?",
        product,
    )
    return str(name), str(slug), int(place)


def _orders_of(owner: str, database: Database) -> list[str]:
    rows = database.rows(
        "SELECT s.id FROM shop_sale s JOIN auth_user u ON u.id = s.buyer_id"
        " WHERE u.username = ? ORDER BY s.id DESC",
        owner,
    )
    return [str(number) for (number,) in rows]


def _price_in_list(product: int) -> Callable[[str], Decimal]:
    item = re.compile(rf'href="/products/{product}/".*?class="price">\$([\d.]+)<', re.DOTALL)
    return lambda body: _found(item, body)


_ON_PAGE = re.compile(r'class="price big">\$([\d.]+)<')


def _price_on_page(body: str) -> Decimal:
    return _found(_ON_PAGE, body)


def _found(pattern: re.Pattern[str], body: str) -> Decimal:
    match = pattern.search(body)
    if match is None:
        raise SystemExit(f"The page does not show the product: no {pattern.pattern!r} in it")
    return Decimal(match[1])


def _price_in_json(product: int) -> Callable[[str], Decimal]:
    def items(body: str) -> Iterator[dict[str, str]]:
        data = json.loads(body)
        yield from data.get("results", [data])

    def price(body: str) -> Decimal:
        (found,) = (Decimal(item["price"]) for item in items(body) if item["id"] == product)
        return found

    return price
