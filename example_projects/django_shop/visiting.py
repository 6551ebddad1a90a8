"""A visit to the shop: look at pages, edit a product, look again, and compare with the database."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from example_projects.django_shop.browsing import Browser
from example_projects.django_shop.databases import Database
from example_projects.django_shop.looking import Page, pages
from example_projects.django_shop.serving import Server

HITS = 15
"""Requests of each cached page that are timed."""
LOOKS = 6
"""Requests of each page after the edit: enough for every server process to answer some."""
CUSTOMERS = ("ada", "ben")


@dataclass(frozen=True)
class Report:
    """The outcome of a visit."""

    pages: list[Page]
    product: str
    before: Decimal
    now: Decimal

    def good(self) -> bool:
        """Whether every page was cached, was always right, and was kept if untouched."""
        return all(page.hits == HITS and not page.wrong and not page.lost for page in self.pages)

    def table(self) -> str:
        """One line for each page."""
        lines = [
            f"Visitors  anybody, and {' and '.join(CUSTOMERS)}, who have bought {self.product}",
            f"Edit      its price, from ${self.before} to ${self.now}",
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
        if self.good():
            return (
                "Every page that shows the product was fresh, the others stayed in the cache, and "
                "nobody\nwas shown another's orders."
            )
        counts = {
            "stale": sum("STALE" in page.wrong for page in self.pages),
            "shown to somebody else": sum("FOREIGN" in page.wrong for page in self.pages),
            "not cached": sum(page.hits < HITS for page in self.pages),
            "lost without a reason": sum(page.lost for page in self.pages),
        }
        return f"NOT GOOD, pages {', '.join(f'{what}: {count}' for what, count in counts.items())}."


def _after(page: Page) -> str:
    for problem in ("FOREIGN", "STALE"):
        if problem in page.wrong:
            return f"{problem} in {page.wrong.count(problem)} of {page.looks} requests"
    if page.edited:
        return "fresh"
    return "LOST" if page.lost else "still cached"


def visit(server: Server, database: Database) -> Report:
    """Look at the pages, edit a product, and look again."""
    ((product, name),) = database.rows(
        "SELECT p.id, p.name FROM shop_product p JOIN shop_sale s ON s.product_id = p.id"
        " GROUP BY p.id ORDER BY SUM(s.quantity) DESC, p.id LIMIT 1"
    )
    before, anybody = database.price(product), Browser(server.url)
    visited = pages(product, database, anybody, _customers(server, product))
    bodies = {page.name: _look_before(page) for page in visited}
    anybody.submit(f"products/{product}/edit/", price=before + Decimal("1.11"))
    now = database.price(product)
    if now == before:
        raise SystemExit("The shop's form did not change the product in the database.")
    for _ in range(LOOKS):
        # In turn, so that one visitor's request follows the other's.
        for page in visited:
            response = page.look()
            same = response.outcome == "HIT" and response.body == bodies[page.name]
            page.lost |= not page.edited and not same
    return Report(visited, name, before, now)


def _customers(server: Server, product: int) -> dict[str, Browser]:
    """People who are logged in and have bought the product; one of them has reviewed it."""
    customers = {name: Browser(server.url) for name in CUSTOMERS}
    for name, browser in customers.items():
        browser.submit("login/", username=name, password="demo")
        browser.submit(f"products/{product}/buy/", quantity=1)
    customers[CUSTOMERS[0]].submit(f"products/{product}/review/", rating=5, text="Again!")
    return customers


def _look_before(page: Page) -> str:
    """Look at a page for the first time, and again while it is cached. Returns its body."""
    first = page.look()
    page.cold = first.milliseconds
    repeated = [page.look() for _ in range(HITS)]
    page.hits = sum(response.outcome == "HIT" for response in repeated)
    page.cached = median(response.milliseconds for response in repeated)
    return first.body
