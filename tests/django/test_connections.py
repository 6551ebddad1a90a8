"""Connections that are opened late, lost, closed, shared, pooled, or switched by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.handlers.base import BaseHandler
from django.db import (
    DatabaseError,
    IntegrityError,
    close_old_connections,
    connections,
    transaction,
)
from django.http import HttpRequest

from tests.django.library.models import Book
from zoocache_core import MISSING, Engine, cacheable, default_engine
from zoocache_core import stats as engine_stats
from zoocache_django import invalidate_model, row_tag, transactions
from zoocache_django.database.publishing import follow, unfollow

SQLITE = pytest.mark.django_db(transaction=True, databases=["default", "other"])
POSTGRES = pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"])


@pytest.fixture(
    params=[pytest.param("default", marks=SQLITE), pytest.param("postgres", marks=POSTGRES)]
)
def using(request: Any) -> str:
    found: str = request.param
    return found


@pytest.fixture
def book(using: str) -> Book:
    return Book.objects.using(using).create(title="old")


@cacheable(
    key=lambda using, pk: f"title:{using}:{pk}",
    deps=lambda using, pk: [row_tag(Book, pk, using=using)],
)
def title(using: str, pk: int) -> str | None:
    book = Book.objects.using(using).filter(pk=pk).first()
    return None if book is None else book.title


def rewrite(using: str, pk: int, text: str) -> None:
    Book.objects.using(using).filter(pk=pk).update(title=text)


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """What another thread gets, with connections of its own."""

    def run() -> Any:
        try:
            return function(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(30)


def is_cached(book: Book) -> bool:
    return title.cached_value(book._state.db, book.pk) is not MISSING


def invalidations() -> int:
    return engine_stats().invalidations


def break_off(using: str) -> None:
    """Take the connection away from below, as a server does that goes down."""
    connections[using].connection.close()


class TestDeclaredWrites:
    """What ``invalidate_model`` declares is never lost, whatever became of the connection."""

    def lost(self, using: str) -> None:
        with transaction.atomic(using):
            Book.objects.using(using).count()
            connections[using].close()

    def by_hand(self, using: str) -> None:
        transaction.set_autocommit(False, using)
        Book.objects.using(using).count()
        connections[using].close()

    def closed(self, using: str) -> None:
        Book.objects.using(using).count()
        connections[using].close()

    def old(self, using: str) -> None:
        Book.objects.using(using).count()
        connections[using].close_at = 0
        close_old_connections()

    def unopened(self, using: str) -> None:
        assert connections[using].connection is None

    def copied(self, using: str) -> None:
        # A connection that somebody made a copy of, as the runner of parallel tests does.
        connections[using] = connections[using].copy()

    def broken(self, using: str) -> None:
        with suppress(DatabaseError), transaction.atomic(using):
            Book.objects.using(using).count()
            break_off(using)

    @pytest.mark.parametrize(
        "before", ["unopened", "lost", "by_hand", "closed", "old", "copied", "broken"]
    )
    def test_they_count_at_once(self, using: str, book: Book, before: str) -> None:
        def declare() -> None:
            getattr(self, before)(using)
            invalidate_model(Book, book.pk, using=using)

        assert title(using, book.pk) == "old"
        elsewhere(declare)
        assert not is_cached(book)
        assert default_engine.guards == ()

    def test_inside_a_block_whose_connection_was_lost(self, using: str, book: Book) -> None:
        def declare() -> None:
            with transaction.atomic(using):
                connections[using].close()
                invalidate_model(Book, book.pk, using=using)

        assert title(using, book.pk) == "old"
        elsewhere(declare)
        assert not is_cached(book)

    def test_before_the_first_statement_of_a_transaction(self, using: str, book: Book) -> None:
        """The connection is open and in a transaction: they wait for its end."""
        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            invalidate_model(Book, book.pk, using=using)
            assert elsewhere(is_cached, book)
        assert not is_cached(book)

    def test_in_asynchronous_code_that_a_transaction_calls(self, using: str, book: Book) -> None:
        """It runs in another thread, whose connection is none, and belongs to the transaction."""

        async def declare() -> None:
            invalidate_model(Book, book.pk, using=using)

        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            rewrite(using, book.pk + 1, "not to be seen")
            async_to_sync(declare)()
            # Still to come, what was declared: what others compute now is outdated by it.
            assert elsewhere(title, using, book.pk) == "old"
        assert not is_cached(book)


class TestLostConnections:
    def test_what_was_written_in_a_lost_transaction_never_happened(
        self, using: str, book: Book
    ) -> None:
        def write() -> None:
            with suppress(DatabaseError), transaction.atomic(using):
                rewrite(using, book.pk, "never")
                break_off(using)
                Book.objects.using(using).count()

        assert title(using, book.pk) == "old"
        before = invalidations()
        elsewhere(write)
        assert title.cached_value(using, book.pk) == "old"
        assert default_engine.guards == ()
        assert invalidations() == before

    def test_a_thread_that_must_not_close_it_changes_nothing(self, using: str, book: Book) -> None:
        mine = connections[using]

        def close() -> None:
            with pytest.raises(DatabaseError):
                mine.close()

        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            rewrite(using, book.pk, "new")
            elsewhere(close)
            assert title(using, book.pk) == "new"
        assert title(using, book.pk) == "new"

    def test_autocommit_switched_off_and_closed(self, using: str, book: Book) -> None:
        def write() -> None:
            transaction.set_autocommit(False, using)
            rewrite(using, book.pk, "never")
            connections[using].close()
            # Opened again, it commits by itself.
            rewrite(using, book.pk, "new")

        assert title(using, book.pk) == "old"
        before = invalidations()
        elsewhere(write)
        assert invalidations() == before + 1
        assert title(using, book.pk) == "new"

    def test_a_connection_that_is_made_anew_in_a_transaction(self, using: str, book: Book) -> None:
        def write() -> None:
            transaction.set_autocommit(False, using)
            rewrite(using, book.pk, "never")
            lost = connections[using].connection
            connections[using].connect()
            lost.close()
            rewrite(using, book.pk, "new")

        assert title(using, book.pk) == "old"
        before = invalidations()
        elsewhere(write)
        assert invalidations() == before + 1
        assert title(using, book.pk) == "new"

    def test_a_connection_that_is_kept_between_requests(self, using: str, book: Book) -> None:
        def serve() -> list[Any]:
            connections[using].ensure_connection()
            connections[using].close_at = None
            seen = []
            for text in ("first", "second"):
                with transaction.atomic(using):
                    rewrite(using, book.pk, text)
                seen.append(title(using, book.pk))
                close_old_connections()
                assert connections[using].connection is not None
            return seen

        assert title(using, book.pk) == "old"
        assert elsewhere(serve) == ["first", "second"]
        assert title.cached_value(using, book.pk) == "second"


class TestSharedConnections:
    def test_a_thread_that_uses_it_is_in_its_transaction(self, using: str, book: Book) -> None:
        mine = connections[using]

        def look() -> list[Any]:
            connections[using] = mine
            try:
                seen = [Book.objects.using(using).get(pk=book.pk).title]
                seen.append(title(using, book.pk))
                seen.append(default_engine.set("of mine", 1))
            finally:
                del connections[using]
            return seen

        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            rewrite(using, book.pk, "new")
            mine.inc_thread_sharing()
            try:
                assert elsewhere(look) == ["new", "new", False]
            finally:
                mine.dec_thread_sharing()
            assert elsewhere(title, using, book.pk) == "old"
            transaction.set_rollback(True, using)
        assert title.cached_value(using, book.pk) == "old"

    def test_another_thread_may_end_it(self, using: str, book: Book) -> None:
        mine = connections[using]
        mine.inc_thread_sharing()
        try:
            transaction.set_autocommit(False, using)
            rewrite(using, book.pk, "new")
            # Its owner is in the transaction, and this one is about to be.
            assert elsewhere(mine.commit) is None
            assert title(using, book.pk) == "new"
        finally:
            mine.dec_thread_sharing()
            transaction.rollback(using)
            transaction.set_autocommit(True, using)

    def test_synchronous_parts_of_asynchronous_code(self, using: str, book: Book) -> None:
        """They run in one thread, with a transaction that lies open between them."""

        def begin() -> None:
            transaction.set_autocommit(False, using)
            rewrite(using, book.pk, "new")

        def finish() -> None:
            transaction.rollback(using)
            transaction.set_autocommit(True, using)
            connections.close_all()

        async def serve() -> list[Any]:
            await sync_to_async(begin)()
            try:
                seen = [await sync_to_async(title)(using, book.pk)]
                # In the event loop's own thread, no statement shows that the transaction is used.
                seen.append(default_engine.set("of mine", 1))
                seen.append(default_engine.get(title.key(using, book.pk)))
            finally:
                await sync_to_async(finish)()
            seen.append(default_engine.set("everybody's", 1))
            return seen

        assert title(using, book.pk) == "old"
        assert async_to_sync(serve)() == ["new", False, None, True]
        assert title.cached_value(using, book.pk) == "old"

    def test_a_thread_with_a_copy_of_the_context(self, using: str, book: Book) -> None:
        """Its own connection commits by itself, whatever is open where the context is from."""
        assert title(using, book.pk) == "old"
        with ThreadPoolExecutor(1) as pool, transaction.atomic("other"):
            Book.objects.using("other").create(title="elsewhere")
            context = copy_context()
            pool.submit(context.run, rewrite, using, book.pk, "new").result(30)
            assert title(using, book.pk) == "new"
            assert elsewhere(title, using, book.pk) == "new"
            pool.submit(connections.close_all).result(30)


class TestAtomicBlocks:
    def test_marked_for_rollback(self, using: str, book: Book) -> None:
        assert title(using, book.pk) == "old"
        before = invalidations()
        with pytest.raises(IntegrityError), transaction.atomic(using):
            rewrite(using, book.pk, "never")
            with transaction.mark_for_rollback_on_error(using):
                Book.objects.using(using).create(pk=book.pk, title="twice")
        assert invalidations() == before
        assert title.cached_value(using, book.pk) == "old"

    def test_durable(self, using: str, book: Book) -> None:
        assert title(using, book.pk) == "old"
        with transaction.atomic(using, durable=True):
            rewrite(using, book.pk, "new")
            assert elsewhere(title.cached_value, using, book.pk) == "old"
        assert title(using, book.pk) == "new"

    def test_nested_without_savepoints(self, using: str, book: Book) -> None:
        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            with transaction.atomic(using, savepoint=False):
                rewrite(using, book.pk, "new")
            assert elsewhere(title.cached_value, using, book.pk) == "old"
        assert title(using, book.pk) == "new"

    def test_blocks_while_autocommit_is_off(self, using: str, book: Book) -> None:
        """Then the outermost block commits nothing: it is a savepoint of what goes on."""
        assert title(using, book.pk) == "old"
        transaction.set_autocommit(False, using)
        try:
            # Or else a savepoint would be SQLite's transaction, and releasing it a commit.
            Book.objects.using(using).create(title="another")
            with transaction.atomic(using):
                rewrite(using, book.pk, "new")
            assert elsewhere(title.cached_value, using, book.pk) == "old"
            with suppress(LookupError), transaction.atomic(using):
                rewrite(using, book.pk, "never")
                raise LookupError
            assert title(using, book.pk) == "new"
            transaction.commit(using)
            assert elsewhere(title, using, book.pk) == "new"
        finally:
            transaction.set_autocommit(True, using)

    def test_callbacks_see_what_is_public(self, using: str, book: Book) -> None:
        seen = []

        def look() -> None:
            seen.append((title(using, book.pk), elsewhere(title, using, book.pk)))

        assert title(using, book.pk) == "old"
        with transaction.atomic(using):
            transaction.on_commit(look, using)
            rewrite(using, book.pk, "new")
        assert seen == [("new", "new")]


class TestRequests:
    """``ATOMIC_REQUESTS``: a view is a transaction, which an error undoes."""

    @pytest.fixture
    def serve(self, using: str, book: Book, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        def view(request: HttpRequest, text: str, fails: bool = False) -> Any:
            before = title(using, book.pk)
            rewrite(using, book.pk, text)
            seen = [before, title(using, book.pk), elsewhere(title, using, book.pk)]
            if fails:
                raise LookupError
            return seen

        monkeypatch.setitem(connections.settings[using], "ATOMIC_REQUESTS", True)
        atomic_view = BaseHandler().make_view_atomic(view)
        assert atomic_view is not view
        return partial(atomic_view, HttpRequest())

    def test_a_view_that_succeeds(self, using: str, book: Book, serve: Callable[..., Any]) -> None:
        assert title(using, book.pk) == "old"
        assert serve("new") == ["old", "new", "old"]
        assert title(using, book.pk) == "new"
        assert default_engine.guards == ()

    def test_a_view_that_fails(self, using: str, book: Book, serve: Callable[..., Any]) -> None:
        assert title(using, book.pk) == "old"
        with pytest.raises(LookupError):
            serve("never", fails=True)
        assert title.cached_value(using, book.pk) == "old"
        assert default_engine.guards == ()


class TestInexactDatabases:
    """A rollback does not undo everything in all of them: in MySQL, tables of other engines keep
    what was written, and what defines tables commits."""

    @pytest.fixture(autouse=True)
    def _like_mysql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transactions, "_EXACT", ())

    @SQLITE
    def test_what_was_rolled_back_is_invalidated_all_the_same(self) -> None:
        book = Book.objects.create(title="old")
        assert title("default", book.pk) == "old"
        with transaction.atomic():
            rewrite("default", book.pk, "never")
            transaction.set_rollback(True)
        assert not is_cached(book)

    @SQLITE
    def test_a_savepoint_too(self) -> None:
        book = Book.objects.create(title="old")
        assert title("default", book.pk) == "old"
        with transaction.atomic():
            with transaction.atomic():
                rewrite("default", book.pk, "never")
                transaction.set_rollback(True)
            assert elsewhere(is_cached, book)
        assert not is_cached(book)


class TestEngines:
    def test_one_that_is_opened_in_the_middle(self, using: str, book: Book) -> None:
        engine = Engine()
        with transaction.atomic(using):
            rewrite(using, book.pk, "never")
            follow(engine)
            try:
                assert engine.guards
                assert engine.set("of mine", "never") is False
                assert elsewhere(engine.set, "everybody's", 1)
            finally:
                unfollow(engine)
            assert not engine.guards
            transaction.set_rollback(True, using)
        engine.reset()

    def test_one_that_has_moved_since_the_beginning(self, using: str, book: Book) -> None:
        engine = Engine()
        follow(engine)
        try:
            with transaction.atomic(using):
                Book.objects.using(using).count()
                assert not engine.guards
                elsewhere(engine.invalidate, "something")
                assert engine.guards
            assert not engine.guards
        finally:
            unfollow(engine)
            engine.reset()


@pytest.fixture
def pooled() -> Iterator[str]:
    """PostgreSQL by connections that are taken from a pool and given back to it."""
    connections["postgres"].close()
    settings = connections["postgres"].settings_dict
    before = dict(settings["OPTIONS"])
    settings["OPTIONS"] = {**before, "pool": {"min_size": 1, "max_size": 2}}
    yield "postgres"
    connections["postgres"].close()
    connections["postgres"].close_pool()
    settings["OPTIONS"] = before


@POSTGRES
class TestPool:
    @pytest.fixture(autouse=True)
    def _since_django_51(self) -> None:
        import django

        if django.VERSION < (5, 1):
            pytest.skip("Django has no pool before 5.1.")

    def test_a_transaction_ends_with_the_use_of_its_connection(self, pooled: str) -> None:
        book = Book.objects.using(pooled).create(title="old")
        assert title(pooled, book.pk) == "old"
        before = invalidations()
        with suppress(DatabaseError), transaction.atomic(pooled):
            rewrite(pooled, book.pk, "never")
            connections[pooled].close()
        assert invalidations() == before
        assert title.cached_value(pooled, book.pk) == "old"
        with transaction.atomic(pooled):
            rewrite(pooled, book.pk, "new")
            assert title(pooled, book.pk) == "new"
            assert elsewhere(title, pooled, book.pk) == "old"
        connections[pooled].close()
        assert title(pooled, book.pk) == "new"
        invalidate_model(Book, book.pk, using=pooled)
        assert not is_cached(book)

    def test_threads_that_take_turns_with_one_connection(self, pooled: str) -> None:
        book = Book.objects.using(pooled).create(title="0")
        connections[pooled].close()
        lock = threading.Lock()

        def serve(number: int) -> None:
            with lock:
                with transaction.atomic(pooled):
                    rewrite(pooled, book.pk, str(number))
                    assert title(pooled, book.pk) == str(number)
                connections[pooled].close()
                assert title(pooled, book.pk) == str(number)
                connections[pooled].close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(serve, range(1, 21)))
        assert default_engine.guards == ()
