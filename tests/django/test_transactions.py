"""Writes are invalidated when they are committed, and only then; until then they are private."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test import override_settings

from tests.django.library.models import (
    Author,
    Book,
    Manual,
    Novel,
    Paperback,
    Tag,
    saved_listeners,
)
from zoocache_core import MISSING, cacheable, default_engine
from zoocache_core import stats as engine_stats
from zoocache_django import add_deps, invalidate_model, model_tag, patches, row_tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@cacheable(key=lambda pk: f"title:{pk}", deps=lambda pk: [row_tag(Book, pk)])
def title(pk: int) -> str | None:
    book = Book.objects.filter(pk=pk).first()
    return None if book is None else book.title


@cacheable(key=lambda: "count", deps=[model_tag(Book)])
def count() -> int:
    return Book.objects.count()


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """What another thread gets, with a connection of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function(*args))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return results[0]


def invalidations() -> int:
    return engine_stats().invalidations


@pytest.fixture
def book() -> Book:
    return Book.objects.create(title="old")


@pytest.fixture
def other_book() -> Book:
    return Book.objects.create(title="untouched")


class TestAutocommit:
    def test_a_save_is_seen_at_once(self, book: Book, other_book: Book) -> None:
        assert title(book.pk) == "old"
        assert title(other_book.pk) == "untouched"
        book.title = "new"
        book.save()
        assert title(book.pk) == "new"
        assert title.cached_value(other_book.pk) == "untouched"

    def test_a_row_that_appears_or_goes_is_seen(self, book: Book) -> None:
        assert count() == 1
        second = Book.objects.create(title="second")
        assert count() == 2
        second.delete()
        assert count() == 1
        key = book.pk
        assert title(key) == "old"
        book.delete()
        assert title(key) is None

    def test_deleting_many_and_what_depends_on_them(self, book: Book) -> None:
        author = Author.objects.create(name="a")
        Book.objects.update(author=author)
        assert title(book.pk) == "old"
        author.delete()
        assert title(book.pk) is None

    def test_deleting_a_queryset(self, book: Book) -> None:
        assert title(book.pk) == "old"
        Book.objects.all().delete()
        assert title(book.pk) is None

    def test_a_proxy_writes_the_row(self, book: Book) -> None:
        assert title(book.pk) == "old"
        Paperback.objects.filter(pk=book.pk).get().delete()
        assert title(book.pk) is None

    @pytest.mark.parametrize("child", [Novel, Manual])
    def test_a_child_writes_its_parents_row(self, child: type[Book]) -> None:
        row = child.objects.create(title="old")
        assert title(row.pk) == "old"
        row.title = "new"
        row.save()
        assert title(row.pk) == "new"

    def test_a_raw_save_of_a_fixture_counts(self, book: Book) -> None:
        from django.core import serializers

        text = serializers.serialize("json", [book]).replace("old", "loaded")
        assert title(book.pk) == "old"
        for loaded in serializers.deserialize("json", text):
            loaded.save()
        assert title(book.pk) == "loaded"


class TestRelations:
    @pytest.fixture
    def tag(self) -> Tag:
        return Tag.objects.create(name="t")

    def watch(self, *deps: str) -> Callable[[], bool]:
        default_engine.set("watched", 1, deps=deps)
        return lambda: default_engine.get("watched") is None

    @pytest.mark.parametrize("side", ["book", "tag"])
    def test_adding_and_removing_touches_both_ends(self, book: Book, tag: Tag, side: str) -> None:
        row = book if side == "book" else tag
        gone = self.watch(row_tag(row))
        book.tags.add(tag)
        assert gone()
        gone = self.watch(row_tag(row))
        book.tags.remove(tag)
        assert gone()
        gone = self.watch(row_tag(row))
        tag.books.add(book)
        assert gone()
        # Which rows were at the other end, Django does not say.
        gone = self.watch(row_tag(row))
        relation = book.tags if side == "book" else tag.books
        relation.clear()
        assert gone()

    def test_the_table_in_between_is_touched(self, book: Book, tag: Tag) -> None:
        gone = self.watch(model_tag(Book.tags.through))
        book.tags.set([tag])
        assert gone()

    def test_adding_what_is_there_invalidates_nothing(self, book: Book, tag: Tag) -> None:
        book.tags.add(tag)
        before = invalidations()
        book.tags.add(tag)
        assert invalidations() == before

    def test_rows_that_took_no_part_are_left_alone(
        self, book: Book, other_book: Book, tag: Tag
    ) -> None:
        gone = self.watch(row_tag(other_book))
        book.tags.add(tag)
        assert not gone()


class TestCommit:
    def test_others_see_nothing_before_and_everything_after(self, book: Book) -> None:
        assert title(book.pk) == "old"
        with transaction.atomic():
            book.title = "new"
            book.save()
            assert title(book.pk) == "new"
            assert elsewhere(title, book.pk) == "old"
            assert elsewhere(title.cached_value, book.pk) == "old"
        assert title.cached_value(book.pk) is MISSING
        assert elsewhere(title, book.pk) == "new"
        assert title(book.pk) == "new"

    def test_one_invalidation_for_the_whole_transaction(self, book: Book, other_book: Book) -> None:
        before = invalidations()
        with transaction.atomic():
            for _ in range(3):
                book.save()
                other_book.save()
            with transaction.atomic():
                book.save()
        assert invalidations() == before + 1

    def test_reading_alone_invalidates_nothing(self, book: Book) -> None:
        before = invalidations()
        with transaction.atomic():
            assert title(book.pk) == "old"
        assert invalidations() == before

    def test_on_commit_callbacks_see_the_new_value(self, book: Book) -> None:
        assert title(book.pk) == "old"
        seen = []
        with transaction.atomic():
            transaction.on_commit(lambda: seen.append(title(book.pk)))
            book.title = "new"
            book.save()
        assert seen == ["new"]

    def test_receivers_of_the_application_see_the_new_value(self, book: Book) -> None:
        # Theirs is connected before that of zoocache_django, whose application comes later.
        assert title(book.pk) == "old"
        seen = []

        def look(saved: Book) -> None:
            seen.append(title(saved.pk))

        saved_listeners.append(look)
        try:
            book.title = "new"
            book.save()
        finally:
            saved_listeners.remove(look)
        assert seen == ["new"]

    def test_what_on_commit_callbacks_write_is_committed_at_once(
        self, book: Book, other_book: Book
    ) -> None:
        assert title(other_book.pk) == "untouched"
        seen = []

        def write() -> None:
            other_book.title = "touched"
            other_book.save()
            seen.append(elsewhere(title, other_book.pk))

        with transaction.atomic():
            transaction.on_commit(write)
            book.save()
        assert seen == ["touched"]

    def test_a_commit_whose_answer_is_lost_counts_as_one(
        self, book: Book, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert title(book.pk) == "old"
        commit = connection._commit

        def commit_and_lose_the_answer() -> None:
            commit()
            raise DatabaseError("connection lost")

        monkeypatch.setattr(connection, "_commit", commit_and_lose_the_answer)
        with pytest.raises(DatabaseError), transaction.atomic():
            book.title = "new"
            book.save()
        assert title(book.pk) == "new"


class TestRollback:
    def test_it_leaves_no_trace(self, book: Book) -> None:
        assert title(book.pk) == "old"
        before = invalidations()
        with pytest.raises(RuntimeError), transaction.atomic():
            book.title = "never"
            book.save()
            assert title(book.pk) == "never"
            raise RuntimeError
        assert invalidations() == before
        assert title.cached_value(book.pk) == "old"

    def test_a_value_read_before_the_rollback_is_not_kept(self, book: Book) -> None:
        @cacheable(key=lambda: "tried", deps=[row_tag(book)])
        def tried() -> str | None:
            with transaction.atomic():
                Book.objects.filter(pk=book.pk).get()
                book.title = "never"
                book.save()
                seen = title.uncached(book.pk)
                transaction.set_rollback(True)
            return seen

        assert tried() == "never"
        assert tried.cached_value() is MISSING

    def test_nothing_computed_in_a_dirty_transaction_is_kept(self, book: Book) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            book.title = "never"
            book.save()
            assert title(book.pk) == "never"
            raise RuntimeError
        assert title(book.pk) == "old"

    def test_a_clean_transaction_keeps_what_it_computes(self, book: Book) -> None:
        with transaction.atomic():
            assert title(book.pk) == "old"
        assert title.cached_value(book.pk) == "old"

    def test_what_it_did_not_touch_is_served_to_a_dirty_one(
        self, book: Book, other_book: Book
    ) -> None:
        assert title(other_book.pk) == "untouched"
        with transaction.atomic():
            book.save()
            hits = engine_stats().hits
            assert title(other_book.pk) == "untouched"
            assert engine_stats().hits == hits + 1

    def test_an_error_of_the_database_rolls_back(self, book: Book) -> None:
        before = invalidations()
        with pytest.raises(IntegrityError), transaction.atomic():
            book.save()
            Book.objects.create(pk=book.pk, title="twice")
        assert invalidations() == before

    def test_a_closed_connection_rolls_back(self, book: Book) -> None:
        before = invalidations()
        with transaction.atomic():
            book.title = "never"
            book.save()
            connection.close()
        assert invalidations() == before
        assert title(book.pk) == "old"
        assert title.cached_value(book.pk) == "old"


class TestSavepoints:
    def test_what_they_undo_is_not_invalidated(self, book: Book, other_book: Book) -> None:
        assert title(book.pk) == "old"
        assert title(other_book.pk) == "untouched"
        with transaction.atomic():
            book.title = "new"
            book.save()
            with pytest.raises(RuntimeError), transaction.atomic():
                other_book.title = "never"
                other_book.save()
                assert title(other_book.pk) == "never"
                raise RuntimeError
            assert title(other_book.pk) == "untouched"
        assert title(book.pk) == "new"
        assert title.cached_value(other_book.pk) == "untouched"

    def test_what_they_release_is(self, book: Book) -> None:
        assert title(book.pk) == "old"
        with transaction.atomic(), transaction.atomic():
            book.title = "new"
            book.save()
        assert title(book.pk) == "new"

    def test_a_release_inside_an_undone_one_is_undone(self, book: Book) -> None:
        assert title(book.pk) == "old"
        before = invalidations()
        with transaction.atomic():
            with pytest.raises(RuntimeError), transaction.atomic():
                with transaction.atomic():
                    book.title = "never"
                    book.save()
                raise RuntimeError
            assert title(book.pk) == "old"
        assert invalidations() == before

    def test_by_hand(self, book: Book) -> None:
        assert title(book.pk) == "old"
        with transaction.atomic():
            # Django 6.1 has another name for it, and warns of this one.
            create = getattr(transaction, "savepoint_create", None) or transaction.savepoint
            savepoint = create()
            for name in ("one", "two"):
                book.title = name
                book.save()
                assert title(book.pk) == name
                transaction.savepoint_rollback(savepoint)
            assert title(book.pk) == "old"
            transaction.savepoint_commit(savepoint)
        assert title.cached_value(book.pk) == "old"

    def test_a_block_without_one_undoes_everything(self, book: Book) -> None:
        before = invalidations()
        with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
            book.save()
            try:
                with transaction.atomic(savepoint=False):
                    raise RuntimeError
            except RuntimeError:
                Book.objects.count()
        assert invalidations() == before


class TestManualTransactions:
    @pytest.fixture(autouse=True)
    def without_autocommit(self, book: Book) -> Iterator[None]:
        transaction.set_autocommit(False)
        yield
        transaction.rollback()
        transaction.set_autocommit(True)

    def test_commit_and_rollback(self, book: Book) -> None:
        assert title(book.pk) == "old"
        for name in ("first", "second"):
            book.title = name
            book.save()
            before = invalidations()
            assert title(book.pk) == name
            transaction.commit()
            assert invalidations() == before + 1
            assert elsewhere(title, book.pk) == name
            assert title(book.pk) == name
        before = invalidations()
        book.title = "never"
        book.save()
        transaction.rollback()
        assert invalidations() == before
        assert title(book.pk) == "second"

    def test_switching_autocommit_on_commits(self, book: Book) -> None:
        # What sqlite3 does when its isolation_level is set to None.
        assert title(book.pk) == "old"
        book.title = "new"
        book.save()
        transaction.set_autocommit(True)
        assert elsewhere(title.uncached, book.pk) == "new"
        assert elsewhere(title, book.pk) == "new"
        assert title(book.pk) == "new"
        transaction.set_autocommit(False)

    def test_what_the_driver_begins_no_transaction_for(self, book: Book) -> None:
        # sqlite3 looks at the first word of a statement alone.
        sql = "WITH one AS (SELECT 1) UPDATE library_book SET title = 'new' WHERE 1 IN one"
        assert title(book.pk) == "old"
        with connection.cursor() as cursor:
            cursor.execute(sql)
            assert elsewhere(title.uncached, book.pk) == "new"
            assert elsewhere(title, book.pk) == "new"
            # In a transaction it is private, like everything else.
            Book.objects.create(title="second")
            cursor.execute(sql.replace("new", "newer"))
        transaction.rollback()
        before = invalidations()
        assert title(book.pk) == "new"
        assert invalidations() == before


class TestSnapshots:
    def test_an_old_snapshot_never_reaches_others(self, book: Book) -> None:
        """A transaction that began to read before a commit of another still sees the old row."""
        wal = connection.cursor()
        wal.execute("PRAGMA journal_mode = WAL")
        wal.close()

        def rewrite() -> None:
            other = Book.objects.get(pk=book.pk)
            other.title = "new"
            other.save()

        with transaction.atomic():
            assert Book.objects.count() == 1
            elsewhere(rewrite)
            # By what this transaction can see, "old" is right, for itself alone.
            assert title(book.pk) == "old"
            assert elsewhere(title, book.pk) == "new"
            assert title(book.pk) == "old"
        assert title(book.pk) == "new"

    def test_nor_does_it_through_settings_changed_meanwhile(self, book: Book) -> None:
        def rewrite() -> str | None:
            other = Book.objects.get(pk=book.pk)
            other.title = "new"
            other.save()
            return title(book.pk)

        for number in range(9):
            default_engine.invalidate(f"unrelated:{number}")
        with transaction.atomic():
            assert Book.objects.count() == 1
            with override_settings(ZOOCACHE={"PREFIX": "changed"}):
                assert elsewhere(rewrite) == "new"
                assert title(book.pk) == "old"
                assert elsewhere(title, book.pk) == "new"

    def test_uncommitted_rows_do_not_either(self, book: Book) -> None:
        with transaction.atomic():
            book.title = "never"
            book.save()
            with override_settings(ZOOCACHE={"PREFIX": "changed"}):
                assert title(book.pk) == "never"
                assert elsewhere(title, book.pk) == "old"
                assert title(book.pk) == "never"
            transaction.set_rollback(True)

    def test_nor_through_a_thread_that_the_computation_does_not_run_in(self, book: Book) -> None:
        """The computation hands its reading to a thread whose transaction began long before."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")

        @cacheable(key=lambda: "handed over")
        def handed_over() -> str | None:
            found: str | None = reader.submit(copy_context().run, title.uncached, book.pk).result()
            return found

        with ThreadPoolExecutor(1) as reader:
            reader.submit(transaction.set_autocommit, False).result()
            reader.submit(transaction.atomic().__enter__).result()
            assert reader.submit(Book.objects.count).result() == 1
            book.title = "new"
            book.save()
            assert handed_over() == "old"
            assert handed_over.cached_value() is MISSING
            reader.submit(connections.close_all).result()


class TestOtherDatabases:
    def test_a_transaction_there_is_its_own(self, book: Book) -> None:
        assert title(book.pk) == "old"
        with transaction.atomic(using="other"):
            Book.objects.using("other").create(pk=book.pk, title="in the other")
            book.title = "new"
            book.save()
            # This one was committed already.
            assert elsewhere(title, book.pk) == "new"
        before = invalidations()
        with transaction.atomic():
            Book.objects.using("other").create(title="second")
        assert invalidations() == before + 1


class TestDeclaredWrites:
    def test_rows_and_tables(self, book: Book, other_book: Book) -> None:
        assert title(book.pk) == "old"
        assert title(other_book.pk) == "untouched"
        Book.objects.filter(pk=book.pk).update(title="new")
        invalidate_model(Book, book.pk)
        assert title(book.pk) == "new"
        assert title.cached_value(other_book.pk) == "untouched"
        invalidate_model(Book)
        assert title.cached_value(other_book.pk) is MISSING

    def test_they_wait_for_the_commit_too(self, book: Book) -> None:
        assert title(book.pk) == "old"
        before = invalidations()
        with pytest.raises(RuntimeError), transaction.atomic():
            invalidate_model(Book)
            raise RuntimeError
        assert invalidations() == before
        with transaction.atomic():
            invalidate_model(Book)
            assert invalidations() == before
        assert invalidations() == before + 1


class TestBookkeeping:
    def test_a_hit_costs_nothing_extra_unless_a_transaction_needs_it(self, book: Book) -> None:
        with transaction.atomic():
            assert Book.objects.count() == 1
            assert default_engine.guards == ()
            with transaction.atomic(using="other"):
                Book.objects.using("other").create(title="elsewhere")
                assert len(default_engine.guards) == 1
            # What the first one reads may be older than that from now on.
            assert len(default_engine.guards) == 1
        assert default_engine.guards == ()

    def test_installing_twice_changes_nothing(self, book: Book) -> None:
        before = invalidations()
        patches.install()
        with transaction.atomic():
            book.save()
        assert invalidations() == before + 1

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_thread_that_ends_inside_a_transaction_hinders_nobody(self, book: Book) -> None:
        def begin() -> None:
            # Read only, so that the connection, which nobody closes, holds no lock.
            transaction.set_autocommit(False)
            invalidate_model(Book)

        assert title(book.pk) == "old"
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join(30)
        assert title.cached_value(book.pk) == "old"
        del thread
        gc.collect()
        with transaction.atomic():
            assert Book.objects.count() == 1
        assert default_engine.guards == ()

    def test_a_transaction_that_another_thread_ends(self, book: Book) -> None:
        transaction.set_autocommit(False)
        try:
            assert Book.objects.count() == 1
            connection.inc_thread_sharing()
            thread = threading.Thread(target=connection.close)
            thread.start()
            thread.join(30)
            connection.dec_thread_sharing()
            default_engine.invalidate("library.book:*")
            assert elsewhere(title, book.pk) == "old"
            with transaction.atomic(using="other"):
                Book.objects.using("other").count()
                assert title(book.pk) == "old"
                hits = engine_stats().hits
                assert title(book.pk) == "old"
                assert engine_stats().hits == hits + 1
        finally:
            transaction.set_autocommit(True)

    def test_deps_added_inside_are_kept(self, book: Book) -> None:
        @cacheable(key=lambda: "added")
        def added() -> str | None:
            add_deps([row_tag(book)])
            return title.uncached(book.pk)

        assert added() == "old"
        book.title = "new"
        book.save()
        assert added() == "new"
