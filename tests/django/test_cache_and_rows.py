"""Values of the cache whose tags name models: forgotten when rows are written, in step with
transactions. Values without tags are none of the database's business."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection, connections, transaction
from django.test import override_settings

from tests.django.caches import STORAGES, Caches, caches_on
from tests.django.library.models import Book
from zoocache_core import cacheable
from zoocache_django import engines, invalidate_model, model_tag, row_tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

BACKEND = "zoocache_django.cache.ZooCacheBackend"


@pytest.fixture(params=STORAGES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Caches]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with caches_on(request.param, tmp_path, url) as made:
        yield made


@pytest.fixture
def cache(store: Caches) -> Iterator[Any]:
    alias = {"BACKEND": BACKEND, "LOCATION": store.location, "OPTIONS": store.options}
    with override_settings(CACHES={"default": alias}):
        yield caches["default"]


def elsewhere(function: Callable[[], Any]) -> Any:
    """What another thread gets, with a connection of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return results[0]


def test_a_write_forgets_what_names_the_row_or_its_model(cache: Any) -> None:
    book, other = Book.objects.create(title="a"), Book.objects.create(title="b")
    cache.set("row", 1, tags=[row_tag(book)])
    cache.set("other-row", 1, tags=[row_tag(other)])
    cache.set("any-row", 1, tags=model_tag(Book))
    cache.set("label", 1, tags="library.book")
    cache.set("author", 1, tags=["library.author"])
    cache.set("plain", 1)
    everything = ["row", "other-row", "any-row", "label", "author", "plain"]
    assert len(cache.get_many(everything)) == 6
    book.save()
    assert cache.get_many(everything).keys() == {"other-row", "author", "plain"}
    Book.objects.update(title="c")
    assert cache.get_many(everything).keys() == {"author", "plain"}


def test_what_cannot_be_told_from_a_statement_spares_values_without_tags(cache: Any) -> None:
    cache.set("plain", 1, None)
    Book.objects.create(title="a")
    cache.set("tagged", 1, tags=["library.book"])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA user_version = 5")
        cursor.execute("WITH x AS (SELECT 1) UPDATE library_book SET title = 'x'")
    assert cache.get_many(["plain", "tagged"]) == {"plain": 1}


def test_a_rolled_back_write_leaves_no_trace(cache: Any) -> None:
    book = Book.objects.create(title="committed")
    tag = row_tag(book)

    def show() -> str:
        return cache.get_or_set("k", lambda: Book.objects.get(pk=book.pk).title, tags=[tag])

    assert show() == "committed"
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="not committed")
        assert show() == "not committed"
        cache.set("other", "not committed", tags=[tag])
        assert cache.add("added", "not committed", tags=[tag]) is False
        assert elsewhere(show) == "committed"
        transaction.set_rollback(True)
    assert show() == "committed"
    assert cache.get_many(["other", "added"]) == {}


def test_a_commit_forgets(cache: Any) -> None:
    book = Book.objects.create(title="old")
    cache.set("k", "old", tags=[row_tag(book)])
    with transaction.atomic():
        book.title = "new"
        book.save()
        assert cache.get("k") is None, "the writer sees its own write"
        assert elsewhere(lambda: cache.get("k")) == "old"
    assert cache.get("k") is None
    assert elsewhere(lambda: cache.get("k")) is None


def test_what_an_old_snapshot_shows_is_not_stored(cache: Any) -> None:
    book = Book.objects.create(title="old")
    with transaction.atomic():
        title = Book.objects.get(pk=book.pk).title
        # SQLite lets nobody write while somebody reads, so the write is only announced.
        elsewhere(lambda: (Book.objects.count(), invalidate_model(Book, book.pk)))
        cache.set("k", title, tags=[row_tag(book)])
        cache.add("added", title, tags=[row_tag(book)])
    assert cache.get_many(["k", "added"]) == {}


def test_values_without_tags_do_not_care_for_transactions(cache: Any) -> None:
    cache.set("k", 0)
    with transaction.atomic():
        Book.objects.create(title="not committed")
        cache.set("set", 1)
        cache.set_many({"many": 1})
        assert cache.add("added", 1) is True
        assert cache.add("added", 2) is False
        assert cache.incr("k") == 1
        assert cache.get_or_set("computed", lambda: Book.objects.count()) == 1
        assert cache.touch("k", 50) is True
        expected = {"k": 1, "set": 1, "many": 1, "added": 1, "computed": 1}
        assert cache.get_many(expected) == expected
        assert cache.get("k") == 1
        assert elsewhere(lambda: cache.get_many(expected)) == expected
        elsewhere(lambda: cache.set("theirs", 1))
        assert cache.get("theirs") == 1
        with cache.lock("lock"):
            assert elsewhere(lambda: cache.lock("lock").acquire(blocking=False)) is False
        cache.clear()
        with cache.lock("lock"):
            assert elsewhere(lambda: cache.lock("lock").acquire(blocking=False)) is False
        cache.set("k", 2)
        assert cache.add("added", 2) is True
        assert cache.get_or_set("computed", lambda: 2) == 2
        assert cache.get_many(expected) == {"k": 2, "added": 2, "computed": 2}
        transaction.set_rollback(True)
    assert cache.get_many(expected) == {"k": 2, "added": 2, "computed": 2}


def test_what_a_callable_reads_is_a_dependency_if_tags_are_given(cache: Any) -> None:
    Book.objects.create(title="a")

    def titles() -> list[str]:
        return list(Book.objects.values_list("title", flat=True))

    assert cache.get_or_set("tracked", titles, tags=()) == ["a"]
    assert cache.get_or_set("plain", titles) == ["a"]
    Book.objects.create(title="b")
    assert cache.get_or_set("tracked", titles, tags=()) == ["a", "b"]
    assert cache.get_or_set("plain", titles) == ["a"]


def test_a_computation_depends_on_the_values_it_takes_from_the_cache(cache: Any) -> None:
    book = Book.objects.create(title="a")
    cache.set("part", "a", tags=[row_tag(book)])

    @cacheable
    def page() -> str:
        return f"page of {cache.get('part')}"

    assert page() == "page of a"
    cache.set("part", "b", tags=[row_tag(book)])
    assert page() == "page of a"
    book.save()
    assert page() == "page of None"


def test_an_alias_may_ignore_writes(store: Caches) -> None:
    options = {**store.options, "INVALIDATE_ON_WRITE": False}
    alias = {"BACKEND": BACKEND, "LOCATION": store.location, "OPTIONS": options}
    with override_settings(CACHES={"default": alias}):
        caches["default"].set("k", 1, tags=["library.book"])
        Book.objects.create(title="a")
        assert caches["default"].get("k") == 1
        caches["default"].invalidate_tags("library.book")
        assert caches["default"].get("k") is None


def test_every_alias_is_told_also_if_this_process_never_used_it() -> None:
    opened = []
    alias = {"BACKEND": BACKEND, "LOCATION": "memory://unused"}
    with override_settings(CACHES={"default": alias, "other": {**alias, "KEY_PREFIX": "p"}}):
        opened = [engine.settings.prefix for engine in engines._engines.values()]
        engine = next(iter(engines._engines.values()))
        before = engine.stats().invalidations
        Book.objects.create(title="a")
        assert engine.stats().invalidations > before
    assert sorted(map(str, opened)) == ["django", "django:p"]


def test_a_process_opens_them_when_it_starts(tmp_path: Path) -> None:
    program = """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="for tests only",
    INSTALLED_APPS=["zoocache_django"],
    CACHES={
        "default": {"BACKEND": "zoocache_django.cache.ZooCacheBackend"},
        "sessions": {
            "BACKEND": "zoocache_django.cache.ZooCacheBackend",
            "LOCATION": "memory://sessions",
            "OPTIONS": {"INVALIDATE_ON_WRITE": False},
        },
        "nowhere": {"BACKEND": "zoocache_django.cache.ZooCacheBackend", "LOCATION": "x://y"},
    },
)
django.setup()
from zoocache_django import engines
print([engine.settings.storage_url for engine in engines._engines.values()])
from django.core.management import call_command
from django.core.management.base import SystemCheckError
try:
    call_command("check")
except SystemCheckError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    first, _, rest = done.stdout.partition("\n")
    assert first == "[None]"
    assert "settings.CACHES['nowhere']: (zoocache.E010)" in rest
    assert "x://" in rest
