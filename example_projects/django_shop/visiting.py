"""A visit to the shop: look at pages, edit a product, look again, and compare with the database."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from statistics import median
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

from example_projects.django_shop.serving import Database, Server

HITS = 15
"""Requests of each cached page that are timed."""
LOOKS = 6
"""Requests of each page after the edit: enough for every server process to answer some."""


@dataclass(frozen=True)
class Response:
    """What came back for one request."""

    body: str
    outcome: str
    """``X-Cache``: HIT, MISS, STALE or BYPASS."""
    milliseconds: float


@dataclass
class Page:
    """One page and what was seen of it."""

    name: str
    path: str
    price: Callable[[str], Decimal] | None
    """Finds the edited product's price in the body; ``None``: the page does not show it."""
    cold: float = 0.0
    cached: float = 0.0
    hits: int = 0
    after: list[str] = field(default_factory=list)
    """What each request after the edit found: fresh, STALE, or as it should be: kept."""


@dataclass(frozen=True)
class Report:
    """The outcome of a visit."""

    pages: list[Page]
    product: str
    before: Decimal
    now: Decimal

    def good(self) -> bool:
        """Whether every page was cached, was fresh after the edit, and was kept if untouched."""
        return all(
            page.hits == HITS and set(page.after) == {"fresh" if page.price else "kept"}
            for page in self.pages
        )

    def table(self) -> str:
        """One line for each page."""
        lines = [
            f"Edited: {self.product}, from ${self.before} to ${self.now}",
            "",
            f"{'page':<30}{'cold':>10}{'cached':>10}{'':>7}  after the edit",
        ]
        for page in self.pages:
            faster = f"{page.cold / page.cached:.0f}x" if page.hits else "-"
            cached = f"{page.cached:.1f} ms" if page.hits else "never"
            lines.append(
                f"{page.name:<30}{page.cold:>7.1f} ms{cached:>10}{faster:>7}  {_after(page)}"
            )
        return "\n".join(lines)

    def verdict(self) -> str:
        """What the table says, in a sentence."""
        stale = sum("STALE" in page.after for page in self.pages)
        lost = sum("lost" in page.after for page in self.pages)
        uncached = sum(page.hits < HITS for page in self.pages)
        if self.good():
            return "Every page that shows the product was fresh; the others stayed in the cache."
        return (
            f"NOT GOOD: {stale} pages stale, {uncached} not cached, {lost} lost without a reason."
        )


def _after(page: Page) -> str:
    if "STALE" in page.after:
        return f"STALE in {page.after.count('STALE')} of {len(page.after)} requests"
    if page.price is not None:
        return "fresh"
    return "LOST" if "lost" in page.after else "still cached"


def visit(server: Server, database: Database) -> Report:
    """Look at the pages, edit a product, and look again."""
    product, name = _bestseller(database)
    pages = _pages(database, product)
    before = database.price(product)
    bodies = {}
    for page in pages:
        first = _get(server, page.path)
        page.cold = first.milliseconds
        repeated = [_get(server, page.path) for _ in range(HITS)]
        page.hits = sum(response.outcome == "HIT" for response in repeated)
        page.cached = median(response.milliseconds for response in repeated)
        bodies[page.name] = first.body
        if page.price is not None and page.price(first.body) != before:
            raise SystemExit(f"{page.path} does not show the price that the database has")
    _edit(server, product, before + Decimal("1.11"))
    now = database.price(product)
    if now == before:
        raise SystemExit("The shop's form did not change the product in the database.")
    for page in pages:
        for _ in range(LOOKS):
            response = _get(server, page.path)
            if page.price is not None:
                page.after.append("fresh" if page.price(response.body) == now else "STALE")
            else:
                same = response.outcome == "HIT" and response.body == bodies[page.name]
                page.after.append("kept" if same else "lost")
    return Report(pages, name, before, now)


def _bestseller(database: Database) -> tuple[int, str]:
    product, name = database.one(
        "SELECT p.id, p.name FROM shop_product p JOIN shop_sale s ON s.product_id = p.id"
        " GROUP BY p.id ORDER BY SUM(s.quantity) DESC, p.id LIMIT 1"
    )
    return int(str(product)), str(name)


def _pages(database: Database, product: int) -> list[Page]:
    slug, place = database.one(
        # On which page of its category the product is: one more than those ahead of it, by 48.
        "WITH rated AS (SELECT p.id, p.category_id, AVG(r.rating) rating, COUNT(r.id) reviews"
        " FROM shop_product p LEFT JOIN shop_review r ON r.product_id = p.id GROUP BY p.id)"
        " SELECT c.slug, (SELECT COUNT(*) FROM rated o WHERE o.category_id = m.category_id AND"
        " (COALESCE(o.rating, 0), o.reviews, -o.id) > (COALESCE(m.rating, 0), m.reviews, -m.id))"
        " FROM rated m JOIN shop_category c ON c.id = m.category_id WHERE m.id = ?",
        product,
    )
    other = product % 2880 + 1
    in_list, in_json = _price_in_list(product), _price_in_json(product)
    return [
        Page("home, bestsellers", "", in_list),
        Page(
            "category with ratings", f"categories/{slug}/?page={int(str(place)) // 48 + 1}", in_list
        ),
        Page("category as JSON", f"api/categories/{slug}/", in_json),
        Page("the product", f"products/{product}/", _price_on_page),
        Page("the product as JSON", f"api/products/{product}/", in_json),
        Page("another product", f"products/{other}/", None),
        Page("another product as JSON", f"api/products/{other}/", None),
    ]


def _price_in_list(product: int) -> Callable[[str], Decimal]:
    card = re.compile(rf'href="/products/{product}/".*?class="price">\$([\d.]+)<', re.DOTALL)
    return lambda body: _found(card, body)


_ON_PAGE = re.compile(r'class="price big">\$([\d.]+)<')


def _price_on_page(body: str) -> Decimal:
    return _found(_ON_PAGE, body)


def _found(pattern: re.Pattern[str], body: str) -> Decimal:
    match = pattern.search(body)
    if match is None:
        raise SystemExit(f"The page does not show the product: no {pattern.pattern!r} in it")
    return Decimal(match[1])


def _price_in_json(product: int) -> Callable[[str], Decimal]:
    def price(body: str) -> Decimal:
        data = json.loads(body)
        (item,) = [item for item in data.get("products", [data]) if item["id"] == product]
        return Decimal(item["price"])

    return price


def _get(server: Server, path: str) -> Response:
    began = time.perf_counter()
    with urlopen(server.url + path, timeout=30) as answer:
        body = answer.read().decode()
        outcome = answer.headers.get("X-Cache", "")
    return Response(body, outcome, (time.perf_counter() - began) * 1000)


class _Form(HTMLParser):
    """The fields of the page's form with their values, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.fields[self._select] = given["value"]
        elif tag == "textarea":
            self._text = given["name"]
            self.fields[self._text] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # HTML has a line break after the opening tag for the writer's convenience.
            self.fields[self._text] = self.fields[self._text].removeprefix("\n")
            self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text] += data


def _edit(server: Server, product: int, price: Decimal) -> None:
    """Change a product's price with the shop's form, as a visitor's browser would."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    url = f"{server.url}products/{product}/edit/"
    with browser.open(url, timeout=30) as answer:
        fields = _Form(answer.read().decode()).fields
    data = urlencode({**fields, "price": str(price)}).encode()
    with browser.open(Request(url, data), timeout=30) as answer:
        if answer.url == url:
            raise SystemExit("The shop's form refused the new price.")
