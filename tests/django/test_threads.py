"""Many threads that write, roll back and read, on real databases: no one goes back in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.db.models import F, Sum
from django.test import override_settings

from tests.django.catalog.models import Product, Review
from tests.django.catalog.population import populate
from tests.servers import RedisServer
from tests.servers.process import wait_until
from zoocache_core import default_engine
from zoocache_django import ZooCacheManager

SECONDS = 2.0
"""How long the threads go on."""

SQLITE = pytest.mark.django_db(transaction=True, databases=["default", "other"])
POSTGRES = pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"])

cached: Any = ZooCacheManager()
cached.model = Product

# Prices only rise, and reviews only become more; so does all of these.
READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda products: products.get(pk=1).price,
    "value": lambda products: products.values_list("price", flat=True).get(pk=2),
    "list": lambda products: sum(product.price for product in products.filter(pk__lte=4)),
    "count": lambda products: products.filter(price__gte=40).count(),
    "aggregate": lambda products: products.aggregate(total=Sum("price"))["total"],
    "join": lambda products: products.filter(reviews__stars=5).count(),
    "prefetch": lambda products: sum(
        len(product.reviews.all()) for product in products.prefetch_related("reviews")
    ),
    "annotate": lambda products: max(
        products.annotate(double=F("price") * 2).values_list("double", flat=True)
    ),
}


class Crowd:
    """Threads on one database."""

    def __init__(self, using: str, isolation: str) -> None:
        self.using = using
        self.isolation = isolation
        self.stop = threading.Event()
        self.ends = time.monotonic() + SECONDS

    def going_on(self) -> bool:
        return not self.stop.is_set() and time.monotonic() < self.ends

    def write(self, random: Random) -> int:
        done, products = 0, Product.objects.using(self.using)
        while self.going_on():
            with suppress(OperationalError), transaction.atomic(self.using):
                for _ in range(random.randint(1, 3)):
                    self.raise_price(random, products.filter(pk=random.randint(1, 4)))
                if random.random() < 0.3:
                    # As far as this part goes: what is below happens all the same.
                    with suppress(ZeroDivisionError), transaction.atomic(self.using):
                        Review.objects.using(self.using).create(product_id=1, stars=5)
                        products.update(price=F("price") + 100)
                        self.compare_one(random)
                        raise ZeroDivisionError
                self.compare_one(random)
                if random.random() < 0.3:
                    transaction.set_rollback(True, self.using)
            with suppress(OperationalError):
                products.filter(pk=1).update(price=F("price") + 1)
                Review.objects.using(self.using).create(product_id=2, stars=5)
            done += 1
        return done

    def raise_price(self, random: Random, product: Any) -> None:
        if random.random() < 0.5:
            product.update(price=F("price") + 1)
        else:
            found = product.select_for_update().get()
            found.price += 1
            found.save()

    def look(self, random: Random) -> int:
        done = 0
        while self.going_on():
            names = random.sample(sorted(READS), 3)
            in_one = random.random() < 0.5
            with self.snapshot() if in_one else nullcontext():
                for name in names:
                    self.compare(name, random.random() < 0.5)
            done += 1
        return done

    def compare_one(self, random: Random) -> None:
        self.compare(random.choice(sorted(READS)), random.random() < 0.5)

    @contextmanager
    def snapshot(self) -> Any:
        with transaction.atomic(self.using):
            if self.isolation:
                with connections[self.using].cursor() as cursor:
                    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {self.isolation}")
            yield

    def compare(self, name: str, as_queryset: bool) -> None:
        plain = Product.objects.using(self.using)
        before = READS[name](plain)
        if as_queryset:
            found = READS[name](cached.using(self.using))
        else:
            found = default_engine.fetch(name, lambda: READS[name](plain))
        after = READS[name](plain)
        assert before <= found <= after, name

    def run(self, work: Callable[[Random], int], seed: int) -> int:
        try:
            return work(Random(seed))
        finally:
            self.stop.set()
            connections.close_all()


def run_crowd(using: str, isolation: str = "") -> None:
    populate(using)
    crowd = Crowd(using, isolation)
    works = [crowd.write, crowd.write, crowd.look, crowd.look, crowd.look]
    with ThreadPoolExecutor(5) as executor:
        futures = [executor.submit(crowd.run, work, seed) for seed, work in enumerate(works)]
        assert all(future.result() > 2 for future in futures)
    # How many depends on the machine; without any, nothing has been compared.
    assert default_engine.stats().hits > 0


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@POSTGRES
def test_no_thread_goes_back_in_time_on_postgresql(isolation: str) -> None:
    run_crowd("postgres", isolation)


@pytest.mark.parametrize("storage", ["memory", "lmdb", "redis"])
@SQLITE
def test_no_thread_goes_back_in_time_on_sqlite(
    storage: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    wanted = {"lmdb": f"lmdb://{tmp_path}", "redis": redis_server.url}
    with connections["default"].cursor() as cursor:
        # Readers see snapshots, and do not wait for writers.
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = OFF")
    settings = {"STORAGE_URL": wanted[storage], "PREFIX": "threads"} if storage in wanted else {}
    with override_settings(ZOOCACHE=settings):
        run_crowd("default")


@SQLITE
def test_many_threads_that_ask_for_the_same_compute_it_once() -> None:
    populate("default")
    asked: list[str] = []
    number = 6

    def slowly(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        waiting = lambda: default_engine.stats().flight_waits == number - 1  # noqa: E731
        assert wait_until(waiting, 20)
        return execute(sql, *rest)

    def read(_: int) -> list[str]:
        try:
            with connections["default"].execute_wrapper(slowly):
                return [product.name for product in cached.order_by("pk")]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as executor:
        found = list(executor.map(read, range(number)))
    assert found == [["p1", "p2", "p3", "p4", "p5"]] * number
    assert len(asked) == 1


@SQLITE
def test_tasks_that_ask_for_the_same_compute_it_once() -> None:
    populate("default")
    sets = default_engine.stats().sets

    async def read() -> list[Any]:
        return await asyncio.gather(*[cached.aget(pk=1) for _ in range(5)])

    found = asyncio.run(read())
    assert [product.name for product in found] == ["p1"] * 5
    assert len({id(product) for product in found}) == 5
    assert default_engine.stats().sets == sets + 1


@SQLITE
def test_a_hit_needs_no_connection() -> None:
    populate("default")
    reads = [
        lambda: cached.get(pk=1).name,
        lambda: [product.name for product in cached.filter(price__gt=10)],
        lambda: cached.filter(price__gt=10).count(),
        lambda: cached.aggregate(Sum("price")),
        lambda: list(cached.annotate(double=F("price") * 2).values_list("double")),
    ]
    first = [read() for read in reads]

    def again() -> Any:
        try:
            return [read() for read in reads], connections["default"].connection
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(again).result() == (first, None)
