"""Inside a TestCase, whose transaction never commits, an application sees what it sees outside."""

from __future__ import annotations

import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from tests.django.library.models import Author, Book, Novel
from zoocache_core import MISSING, cacheable
from zoocache_core import stats as engine_stats


@cacheable(key=lambda pk: f"title:{pk}")
def title(pk: int) -> str | None:
    book = Book.objects.filter(pk=pk).first()
    return None if book is None else book.title


@pytest.mark.django_db
class TestInATest:
    """Without ``transaction=True``: each test is a transaction that is rolled back."""

    @pytest.fixture(autouse=True)
    def book(self) -> Book:
        return Book.objects.create(pk=7, title="old")

    @pytest.mark.parametrize("run", [1, 2])
    def test_values_are_cached_and_follow_writes(self, run: int) -> None:
        assert title(7) == "old"
        assert title.cached_value(7) == "old"
        Book.objects.filter(pk=7).update(title=f"new {run}")
        assert title(7) == f"new {run}"
        assert title.cached_value(7) == f"new {run}"

    def test_a_block_commits_at_its_end(self) -> None:
        assert title(7) == "old"
        before = engine_stats().invalidations
        with transaction.atomic():
            Book.objects.filter(pk=7).update(title="new")
            assert title(7) == "new"
            assert title.cached_value(7) is MISSING
            assert engine_stats().invalidations == before
        assert engine_stats().invalidations == before + 1
        assert title(7) == "new"
        assert title.cached_value(7) == "new"
        assert engine_stats().invalidations == before + 1

    def test_a_block_without_a_savepoint_does_too(self) -> None:
        novel = Novel.objects.create(pk=8, title="old", genre="g")
        assert title(8) == "old"
        novel.title = "new"
        novel.save()
        assert title(8) == "new"
        assert title.cached_value(8) == "new"

    def test_a_block_that_is_rolled_back_leaves_no_trace(self) -> None:
        assert title(7) == "old"
        before = engine_stats().invalidations
        with transaction.atomic():
            Book.objects.filter(pk=7).update(title="never")
            transaction.set_rollback(True)
        assert title.cached_value(7) == "old"
        assert engine_stats().invalidations == before

    def test_callbacks_of_the_commit_see_the_new_value(
        self, django_capture_on_commit_callbacks: Any
    ) -> None:
        assert title(7) == "old"
        seen = []
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            transaction.on_commit(lambda: seen.append(title(7)))
            Book.objects.filter(pk=7).update(title="new")
        assert seen == ["new"]

    def test_a_durable_block(self) -> None:
        assert title(7) == "old"
        with transaction.atomic(durable=True):
            Book.objects.filter(pk=7).update(title="new")
        assert title(7) == "new"


@pytest.mark.django_db(transaction=True)
def test_what_a_test_saw_is_forgotten_with_it() -> None:
    from django.test import TestCase

    class Wrapped(TestCase):
        def test(self) -> None:
            Book.objects.create(pk=7, title="of the test")
            assert title(7) == "of the test"

    result = unittest.TestResult()
    unittest.TestSuite([Wrapped("test")]).run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.failures + result.errors
    assert title(7) is None


@pytest.mark.django_db(transaction=True)
def test_what_was_set_up_for_all_tests_of_a_class() -> None:
    """Each test sees it as it was set up, whatever the others wrote and cached."""
    from django.test import TestCase

    class Wrapped(TestCase):
        book: Book

        @classmethod
        def setUpTestData(cls) -> None:
            cls.book = Book.objects.create(pk=7, title="set up")
            assert title(7) == "set up"
            with transaction.atomic():
                Book.objects.filter(pk=7).update(title="for all")

        def change(self) -> None:
            assert title(7) == "for all"
            assert title.cached_value(7) == "for all"
            with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                transaction.on_commit(lambda: seen.append(title(7)))
                Book.objects.filter(pk=7).update(title="changed")
            assert title.cached_value(7) == "changed"

        test_one = test_two = change

    seen: list[str | None] = []
    result = unittest.TestResult()
    unittest.TestSuite([Wrapped("test_one"), Wrapped("test_two")]).run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), result.failures + result.errors
    assert seen == ["changed", "changed"]
    assert title(7) is None


@pytest.mark.django_db(transaction=True)
class TestWindow:
    def test_between_commit_and_invalidation_this_process_trusts_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The database has committed, and the invalidation is still to come: another thread that
        reads then gets the new row, and leaves nothing that is served afterwards."""
        book = Book.objects.create(title="old")
        assert title(book.pk) == "old"
        seen: list[Any] = []

        def elsewhere() -> None:
            try:
                seen.append(title(book.pk))
            finally:
                connections.close_all()

        def commit_and_wait() -> None:
            commit()
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join(30)

        commit = connection._commit
        monkeypatch.setattr(connection, "_commit", commit_and_wait)
        with transaction.atomic():
            Book.objects.filter(pk=book.pk).update(title="new")
        assert seen == ["new"]
        assert title(book.pk) == "new"

    def test_a_row_written_by_itself_is_not_trusted_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        book = Book.objects.create(title="old")
        assert title(book.pk) == "old"
        seen: list[Any] = []

        def execute_and_look(execute: Any, *args: Any) -> Any:
            result = execute(*args)
            if args[0].startswith("UPDATE"):
                with ThreadPoolExecutor(1) as executor:
                    seen.append(executor.submit(title, book.pk).result())
                    executor.submit(connections.close_all).result()
            return result

        with connection.execute_wrapper(execute_and_look):
            book.title = "new"
            book.save()
        assert seen == ["new"]


@pytest.mark.django_db(transaction=True)
class TestRawTransactions:
    def execute(self, sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    @pytest.mark.parametrize(("end", "expected"), [("COMMIT", "new"), ("ROLLBACK", "old")])
    def test_by_statements(self, end: str, expected: str) -> None:
        book = Book.objects.create(title="old")
        assert title(book.pk) == "old"
        before = engine_stats().invalidations
        self.execute("BEGIN")
        Book.objects.filter(pk=book.pk).update(title="new")
        assert title(book.pk) == "new"
        assert engine_stats().invalidations == before
        self.execute(end)
        assert engine_stats().invalidations == before + (end == "COMMIT")
        assert title(book.pk) == expected

    def test_savepoints_by_statements(self) -> None:
        Author.objects.create(name="a")
        before = engine_stats().invalidations
        with transaction.atomic():
            self.execute("SAVEPOINT mine")
            Author.objects.update(name="b")
            self.execute("ROLLBACK TO SAVEPOINT mine")
            self.execute("RELEASE SAVEPOINT mine")
        assert engine_stats().invalidations == before
