"""Transactions that read a snapshot: what they read is as old as it, and so is what they are given.

Each test has a reader in a transaction and a writer who commits meanwhile. What the reader sees
without the cache is what it has to see through it, by every way of caching; and what it leaves
behind must not be given to anybody who would see something newer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from tests.django.store.models import Item
from zoocache_core import cacheable, default_engine
from zoocache_core import stats as engine_stats
from zoocache_django import row_tag

SQLITE = pytest.mark.django_db(transaction=True, databases=["default", "other"])
POSTGRES = pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"])

COMMITTED = "ISOLATION LEVEL READ COMMITTED"
REPEATABLE = "ISOLATION LEVEL REPEATABLE READ"
SERIALIZABLE = "ISOLATION LEVEL SERIALIZABLE"
DEFERRABLE = "ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"
LEVELS = (COMMITTED, REPEATABLE, SERIALIZABLE, DEFERRABLE)


Place = tuple[str, str | None]
"""An alias, and what ``SET TRANSACTION`` is to say there."""


def places(*levels: str) -> Any:
    """SQLite, where every transaction reads a snapshot, and PostgreSQL with these levels."""
    params = [
        pytest.param(("default", None), marks=SQLITE, id="sqlite"),
        *(pytest.param(("postgres", level), marks=POSTGRES, id=level[16:]) for level in levels),
    ]
    return pytest.mark.parametrize("place", params)


@pytest.fixture(autouse=True)
def write_ahead_log(transactional_db: None) -> None:
    """With it, readers and writers of SQLite do not wait for each other."""
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode = WAL")


@contextmanager
def begun(place: Place) -> Iterator[None]:
    """In a transaction that has its snapshot."""
    using, level = place
    with transaction.atomic(using):
        if level is not None:
            with connections[using].cursor() as cursor:
                cursor.execute(f"SET TRANSACTION {level}")
        assert Item.objects.using(using).exists()
        yield


def fresh(using: str) -> int:
    """The key of the only item there is, which nobody has read."""
    Item.objects.using(using).all().delete()
    key: int = Item.objects.using(using).create(name="old").pk
    return key


def uncached(using: str, pk: int) -> str:
    return Item.objects.using(using).get(pk=pk).name


@cacheable(key=lambda using, pk: f"tracked:{using}:{pk}")
def tracked(using: str, pk: int) -> str:
    return uncached(using, pk)


def declared(using: str, pk: int) -> str:
    """As a cache is used by hand: look, read, store."""
    key = f"declared:{using}:{pk}"
    found: str | None = default_engine.get(key)
    if found is None:
        found = uncached(using, pk)
        default_engine.set(key, found, deps=row_tag(Item, pk, using=using))
    return found


def looked_up(using: str, pk: int) -> str:
    name: str = Item.cached.using(using).get(pk=pk).name
    return name


def listed(using: str, pk: int) -> str:
    names = list(Item.cached.using(using).order_by("pk").values_list("name", flat=True))
    return str(names[-1])


def counted(using: str, pk: int) -> str:
    return "old" if Item.cached.using(using).filter(name="old").count() else "new"


def found(using: str, pk: int) -> str:
    return "old" if Item.cached.using(using).filter(name="old").exists() else "new"


WAYS = (tracked, declared, looked_up, listed, counted, found)


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """What another thread gets, with connections of its own."""

    def run() -> Any:
        try:
            return function(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(30)


def rename(using: str, pk: int, name: str) -> None:
    Item.objects.using(using).filter(pk=pk).update(name=name)


@places(*LEVELS)
def test_what_it_reads_never_reaches_others(place: Place) -> None:
    using = place[0]
    for read in WAYS:
        pk = fresh(using)
        with begun(place):
            elsewhere(rename, using, pk, "new")
            for _ in range(2):
                assert read(using, pk) == uncached(using, pk)
            assert elsewhere(read, using, pk) == "new"
            assert read(using, pk) == uncached(using, pk)
            assert elsewhere(read, using, pk) == "new"
        assert read(using, pk) == "new"
        assert default_engine.guards == ()


@places(*LEVELS)
def test_what_others_read_since_does_not_reach_it(place: Place) -> None:
    using = place[0]
    for read in WAYS:
        pk = fresh(using)
        assert read(using, pk) == "old"
        with begun(place):
            assert read(using, pk) == "old"
            elsewhere(rename, using, pk, "new")
            assert elsewhere(read, using, pk) == "new"
            assert gives_a_hit(elsewhere, read, using, pk)
            assert read(using, pk) == uncached(using, pk)
        assert gives_a_hit(read, using, pk)
        assert read(using, pk) == "new"


@places(*LEVELS)
def test_what_nobody_wrote_since_is_shared_both_ways(place: Place) -> None:
    using = place[0]
    for read in WAYS:
        pk = fresh(using)
        with begun(place):
            assert read(using, pk) == "old"
            assert gives_a_hit(elsewhere, read, using, pk)
            elsewhere(default_engine.invalidate, "something.else")
            assert gives_a_hit(read, using, pk)


def gives_a_hit(function: Callable[..., Any], *args: Any) -> bool:
    before = engine_stats().hits
    function(*args)
    return engine_stats().hits > before


@places(COMMITTED, REPEATABLE, SERIALIZABLE)
def test_a_refused_write_leaves_nothing(place: Place) -> None:
    """Who writes over what others wrote since the snapshot is refused and rolled back."""
    using, level = place
    pk = fresh(using)
    assert tracked(using, pk) == "old"
    refused = True
    with suppress(OperationalError), begun(place):
        elsewhere(rename, using, pk, "new")
        assert tracked(using, pk) == uncached(using, pk)
        rename(using, pk, "newer")
        refused = False
        assert tracked(using, pk) == "newer"
        transaction.set_rollback(True, using)
    assert refused == (level != COMMITTED)
    assert tracked(using, pk) == "new"
    assert looked_up(using, pk) == "new"
    assert default_engine.guards == ()


@places(COMMITTED, REPEATABLE, SERIALIZABLE)
def test_its_own_writes_are_seen_by_it_alone(place: Place) -> None:
    using = place[0]
    pk = fresh(using)
    for read in WAYS:
        assert read(using, pk) == "old"
    with begun(place):
        rename(using, pk, "new")
        for read in WAYS:
            assert read(using, pk) == "new"
            assert elsewhere(read, using, pk) == "old"
    for read in WAYS:
        assert read(using, pk) == "new"


@POSTGRES
def test_the_snapshot_of_another_transaction() -> None:
    """It is older than the transaction that reads it, by nobody knows how much."""
    using = "postgres"

    def importing(name: str, read: Callable[[str, int], str], pk: int) -> str:
        with transaction.atomic(using), connections[using].cursor() as cursor:
            cursor.execute(f"SET TRANSACTION {REPEATABLE}")
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
            assert uncached(using, pk) == "old"
            return read(using, pk)

    for read in WAYS:
        pk = fresh(using)
        with begun((using, REPEATABLE)):
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_export_snapshot()")
                (name,) = cursor.fetchone()
            elsewhere(rename, using, pk, "new")
            assert elsewhere(importing, name, read, pk) == "old"
            assert elsewhere(read, using, pk) == "new"
            assert elsewhere(importing, name, read, pk) == "old"
        assert read(using, pk) == "new"


@POSTGRES
def test_a_level_that_the_settings_ask_for() -> None:
    from psycopg import IsolationLevel

    using = "postgres"
    pk = fresh(using)
    connections[using].close()
    options = connections[using].settings_dict["OPTIONS"]
    options["isolation_level"] = IsolationLevel.REPEATABLE_READ
    try:
        with begun((using, None)):
            elsewhere(rename, using, pk, "new")
            assert uncached(using, pk) == "old"
            assert tracked(using, pk) == looked_up(using, pk) == "old"
            assert elsewhere(tracked, using, pk) == elsewhere(looked_up, using, pk) == "new"
            assert tracked(using, pk) == looked_up(using, pk) == "old"
        assert tracked(using, pk) == looked_up(using, pk) == "new"
    finally:
        connections[using].close()
        del options["isolation_level"]


@POSTGRES
def test_a_cursor_on_the_server_outlives_its_transactions_rows() -> None:
    """``iterator()`` reads what was there when it began, in small portions."""
    using = "postgres"
    for _ in range(5):
        Item.objects.using(using).create(name="old")

    def names() -> list[str]:
        rows = Item.objects.using(using).order_by("pk").iterator(chunk_size=2)
        first = next(rows).name
        if interrupt:
            elsewhere(lambda: Item.objects.using(using).update(name="new"))
            interrupt.clear()
        return [first, *(item.name for item in rows)]

    interrupt = [True]
    assert default_engine.fetch("names", names) == ["old"] * 5
    assert default_engine.fetch("names", names) == ["new"] * 5
    assert default_engine.fetch("names", lambda: ["not asked"]) == ["new"] * 5
