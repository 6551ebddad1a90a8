"""The databases that the demo can run the shop on: each its own, filled, and gone afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

SHOP = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Database:
    """The shop's database, as somebody sees it who does not go through the shop."""

    kind: str
    url: str
    """For ``DATABASE_URL``."""
    connect: Callable[[], Any]
    placeholder: str
    """Of a parameter in a statement."""
    seeded_in: float | None
    """Seconds it took to fill it, or ``None`` if it was copied from an earlier run."""

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What a query gives, in which ``?`` stands for each parameter."""
        with closing(self.connect()) as connection:
            statement = query.replace("?", self.placeholder)
            found: list[tuple[Any, ...]] = connection.execute(statement, parameters).fetchall()
            return found

    def price(self, product: int) -> Decimal:
        """What a product costs."""
        ((price,),) = self.rows("SELECT price FROM shop_product WHERE id = ?", product)
        return Decimal(str(price)).quantize(Decimal("0.01"))

    def describe(self) -> str:
        """How much is in it."""
        counts = [
            f"{self.rows(f'SELECT COUNT(*) FROM shop_{table}')[0][0]:,} {name}"
            for table, name in (("product", "products"), ("review", "reviews"), ("sale", "sales"))
        ]
        how = "copied" if self.seeded_in is None else f"seeded in {self.seeded_in:.1f} s"
        return f"{', '.join(counts)} in {self.kind}, {how}"


def _fill(url: str) -> float:
    """Make the tables and their rows. Returns how many seconds that took."""
    began = time.monotonic()
    for command in ("migrate", "seed"):
        subprocess.run(
            [sys.executable, "manage.py", command, "--verbosity", "0"],
            cwd=SHOP,
            env={**os.environ, "DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return time.monotonic() - began


@contextmanager
def _sqlite(directory: Path) -> Iterator[Database]:
    """A file in ``directory``, made once and copied for each run."""
    seeded, seconds = SHOP / "var" / f"seeded-{_fingerprint()}.sqlite3", None
    if not seeded.exists():
        fresh = directory / "fresh.sqlite3"
        seconds = _fill(_sqlite_url(fresh))
        seeded.parent.mkdir(exist_ok=True)
        for outdated in seeded.parent.glob("seeded-*"):
            outdated.unlink(missing_ok=True)
        part = seeded.with_suffix(f".{os.getpid()}")
        shutil.move(fresh, part)
        # Another demo that does the same meanwhile loses nothing: both files are equal.
        part.replace(seeded)
    file = directory / "shop.sqlite3"
    shutil.copyfile(seeded, file)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file, timeout=20)

    with closing(connect()) as connection:
        # Readers and a writer at the same time, as on a server. The mode stays with the file.
        connection.execute("PRAGMA journal_mode = WAL")
    yield Database("SQLite", f"{_sqlite_url(file)}?timeout=20", connect, "?", seconds)


def _sqlite_url(file: Path) -> str:
    return f"sqlite:///{quote(str(file))}"


def _fingerprint() -> str:
    import django

    digest = hashlib.blake2b(django.__version__.encode(), digest_size=8)
    for source in sorted((SHOP / "shop").rglob("*.py")):
        if {"migrations", "commands"} & set(source.parts):
            digest.update(source.read_bytes())
    return digest.hexdigest()


@contextmanager
def _postgresql(directory: Path) -> Iterator[Database]:
    """A server on a free port, the one that the project's tests use."""
    import psycopg

    from tests.servers.postgres import PostgresServer

    with PostgresServer() as server:
        url = server.dsn()
        yield Database("PostgreSQL", url, lambda: psycopg.connect(url), "%s", _fill(url))


DATABASES: dict[str, Callable[[Path], AbstractContextManager[Database]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}
