"""What is declared of writes that Django does not see: by settings, and by the application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.db import models as django_models
from django.test import override_settings
from django.utils.connection import ConnectionDoesNotExist

from tests.django.library.models import Author, Book, Manual, Novel, Paperback, Tag, Trilogy
from zoocache_core import MISSING, cacheable, default_engine
from zoocache_django import conf, invalidate_model, model_tag, row_tag

DATABASES = [
    pytest.param(
        "default", marks=pytest.mark.django_db(transaction=True, databases=["default", "other"])
    ),
    pytest.param(
        "other", marks=pytest.mark.django_db(transaction=True, databases=["default", "other"])
    ),
    pytest.param(
        "postgres",
        marks=pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"]),
    ),
]
on_each = pytest.mark.parametrize("using", DATABASES)
SQLITE = pytest.mark.django_db(transaction=True, databases=["default", "other"])

ALIAS = {"default": "", "other": "db:other:", "postgres": "db:postgres:"}


def outdated(declare: Callable[[], object], *deps: str) -> set[str]:
    """Which of the deps it outdates."""
    for dep in deps:
        default_engine.set(dep, 1, deps=[dep])
    declare()
    return {dep for dep in deps if default_engine.get(dep) is None}


class TestTriggers:
    """Real ones, which write when Django does."""

    @pytest.fixture
    def trigger(self, using: str) -> Iterator[str]:
        """Whatever is done to authors renames the tag, once for each statement or row."""
        connection = connections[using]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "CREATE FUNCTION rename_tags() RETURNS trigger LANGUAGE plpgsql AS"
                    " $$ BEGIN UPDATE library_tag SET name = 'renamed'; RETURN NULL; END $$"
                )
                cursor.execute(
                    "CREATE TRIGGER renaming AFTER INSERT OR UPDATE OR DELETE ON library_author"
                    " FOR EACH STATEMENT EXECUTE FUNCTION rename_tags()"
                )
            else:
                for event in ("INSERT", "UPDATE", "DELETE"):
                    cursor.execute(
                        f"CREATE TRIGGER renaming_{event} AFTER {event} ON library_author"
                        " BEGIN UPDATE library_tag SET name = 'renamed'; END"
                    )
        yield using
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("DROP TRIGGER renaming ON library_author")
                cursor.execute("DROP FUNCTION rename_tags")
            else:
                for event in ("INSERT", "UPDATE", "DELETE"):
                    cursor.execute(f"DROP TRIGGER renaming_{event}")

    WRITES: tuple[Callable[[str], object], ...] = (
        lambda using: Author.objects.using(using).create(name="a"),
        lambda using: Author.objects.using(using).bulk_create([Author(name="a")]),
        lambda using: Author.objects.using(using).filter(pk__gt=0).update(name="b"),
        lambda using: Author.objects.using(using).get(name="c").save(),
        lambda using: Author.objects.using(using).filter(name="c").delete(),
        lambda using: connections[using].cursor().execute("UPDATE library_author SET name = 'd'"),
    )

    @on_each
    @pytest.mark.parametrize("named", ["library.Tag", "library_tag"])
    def test_what_they_write_is_forgotten_where_they_are_declared(
        self, trigger: str, using: str, named: str
    ) -> None:
        @cacheable(key=lambda: "tag")
        def tag() -> str:
            return Tag.objects.using(using).get().name

        with override_settings(ZOOCACHE={"TRIGGERS": {"library.author": [named]}}):
            for write in self.WRITES:
                Tag.objects.using(using).all().delete()
                Author.objects.using(using).create(name="c")
                Tag.objects.using(using).create(name="first")
                assert tag() == "first"
                write(using)
                assert tag() == "renamed"

    @on_each
    def test_one_for_statements_may_write_although_no_row_was(self, using: str) -> None:
        dep = f"{ALIAS[using]}library.tag:*"
        with override_settings(ZOOCACHE={"TRIGGERS": {"library.author": ["library.tag"]}}):
            nobody = Author.objects.using(using).filter(pk=-1)
            assert outdated(lambda: nobody.update(name="x"), dep) == {dep}

    @on_each
    def test_a_write_in_another_database_fires_none_here(self, using: str) -> None:
        other = "other" if using != "other" else "default"
        dep = f"{ALIAS[other]}library.tag:*"
        with override_settings(ZOOCACHE={"TRIGGERS": {"library.author": ["library.tag"]}}):
            assert not outdated(lambda: Author.objects.using(using).create(name="a"), dep)

    @pytest.mark.parametrize(
        ("value", "named"),
        [
            (5, "triggers=5"),
            (["library.book"], "triggers=['library.book']"),
            ({"library.nope": ["library.tag"]}, "'library.nope'"),
            ({"library.book": ["library.nope"]}, "'library.nope'"),
            ({"library.book": 5}, "has 5 for 'library.book'"),
            ({"library.book": None}, "has None for 'library.book'"),
            ({"library.book": {"library.tag": 1}}, "has {'library.tag': 1} for 'library.book'"),
            ({"library.book": b"library.tag"}, "has b'library.tag' for 'library.book'"),
            ({"library.book": [5]}, "names 5"),
            ({"library.book": [""]}, "names ''"),
            ({5: ["library.tag"]}, "names 5"),
            ({"public.library_book": ["library.tag"]}, "without their schema"),
        ],
    )
    def test_mistakes_are_named_with_what_is_allowed(self, value: Any, named: str) -> None:
        (problem,) = conf.read({"TRIGGERS": value}).problems
        assert problem.check_id == "zoocache.E005"
        assert named in problem.message
        assert "expected" in problem.message or "no such model" in problem.message

    def test_every_spelling_of_a_name(self) -> None:
        written = {"Library.Book": "LIBRARY_TAG", "library_author": ("library.Tag", "a_view")}
        assert conf.read({"triggers": written}).options.triggers == {
            "library.book": ("library_tag",),
            "library_author": ("library.tag", "a_view"),
        }


class TestInvalidateModel:
    @on_each
    def test_rows_and_tables(self, using: str) -> None:
        deps = [f"{ALIAS[using]}library.book:{row}" for row in (1, 2, 3, "*")]
        declare = invalidate_model
        assert outdated(lambda: declare(Book, 1, 2, using=using), *deps) == {*deps} - {deps[2]}
        assert outdated(lambda: declare(Book, using=using), *deps) == {*deps}
        assert outdated(lambda: declare("library.Book", 3, using=using), *deps) == {*deps[2:]}
        elsewhere = "other" if using != "other" else "default"
        assert not outdated(lambda: declare(Book, using=elsewhere), *deps)

    @SQLITE
    def test_a_row_that_is_spread_over_tables(self) -> None:
        rows = [
            "library.trilogy:1",
            "library.novel:1",
            "library.book:1",
            "library.manual:1",
        ]
        kin = rows[:3]
        assert outdated(lambda: invalidate_model(Trilogy, 1), *rows) >= {*kin}
        assert outdated(lambda: invalidate_model(Book, 1), *rows) == {*rows}
        others = ["library.trilogy:2", "library.novel:2", "library.book:2", "library.author:1"]
        assert not outdated(lambda: invalidate_model(Novel, 1), *others)
        assert outdated(lambda: invalidate_model(Paperback, 2), *others) == {*others[:3]}
        assert outdated(lambda: invalidate_model(Manual), *others) >= {"library.book:2"}

    @SQLITE
    def test_it_fires_triggers(self) -> None:
        dep = "library.tag:*"
        with override_settings(ZOOCACHE={"TRIGGERS": {"library.author": ["library.tag"]}}):
            assert outdated(lambda: invalidate_model(Author, 1), dep) == {dep}

    @SQLITE
    @pytest.mark.parametrize(
        "setting",
        [
            {"IGNORE_MODELS": ["library.book"]},
            {"IGNORE_MODELS": ["library"]},
            {"INVALIDATE_ON_WRITE": False},
        ],
    )
    def test_it_counts_also_where_writes_are_ignored(self, setting: dict[str, Any]) -> None:
        deps = ("library.book:1", "library.book:*")
        with override_settings(ZOOCACHE=setting):
            book = Book.objects.create(pk=1, title="t")
            assert not outdated(book.save, *deps)
            assert outdated(lambda: invalidate_model(Book, 1), *deps) == {*deps}

    class Abstract(django_models.Model):
        class Meta:
            abstract = True
            app_label = "library"

    @SQLITE
    @pytest.mark.parametrize(
        ("model", "keys", "using", "error", "named"),
        [
            (5, (), "default", TypeError, "not int: 5"),
            (Book(pk=7), (), "default", TypeError, "not Book"),
            ("library.nope", (), "default", ValueError, "'library.nope'"),
            ("nope", (), "default", ValueError, "'shop.product'"),
            (Abstract, (), "default", ValueError, "Abstract is abstract"),
            (Book, (None,), "default", ValueError, "no primary key"),
            (Book, (1, "x"), "default", ValidationError, "x"),
            (Book, (1,), "nowhere", ConnectionDoesNotExist, "nowhere"),
        ],
    )
    def test_mistakes_are_named_and_nothing_is_forgotten(
        self, model: Any, keys: Any, using: str, error: type[Exception], named: str
    ) -> None:
        def declare() -> None:
            with pytest.raises(error) as raised:
                invalidate_model(model, *keys, using=using)
            assert named in str(raised.value)

        assert not outdated(declare, "library.book:1", "library.book:*")

    def test_tags_are_as_strict(self) -> None:
        assert model_tag("library.Book") == model_tag(Book) == "library.book:*"
        assert row_tag("library.Book", 7, using="other") == "db:other:library.book:7"
        for make in (model_tag, lambda model: row_tag(model, 7)):
            with pytest.raises(TypeError, match="not float"):
                make(1.5)
            with pytest.raises(ValueError, match=r"library\.nope"):
                make("library.nope")
            with pytest.raises(ValueError, match="abstract"):
                make(self.Abstract)


@on_each
class TestUnwatched:
    """Transactions are not noticed, so it is Django that tells of their ends."""

    @pytest.fixture(autouse=True)
    def _without_watching(self) -> Iterator[None]:
        with override_settings(ZOOCACHE={"WATCH_DATABASE": False}):
            yield
            assert default_engine.guards == ()

    @pytest.fixture
    def kept(self, using: str) -> Callable[[], bool]:
        default_engine.set("k", 1, deps=row_tag(Book, 1, using=using))
        return lambda: default_engine.get("k", MISSING) is not MISSING

    def test_at_once(self, using: str, kept: Callable[[], bool]) -> None:
        connections[using].close()
        invalidate_model(Book, 1, using=using)
        assert not kept()

    def test_at_the_commit(self, using: str, kept: Callable[[], bool]) -> None:
        with transaction.atomic(using):
            with transaction.atomic(using):
                invalidate_model(Book, 1, using=using)
            assert kept()
        assert not kept()

    def test_not_after_a_rollback(self, using: str, kept: Callable[[], bool]) -> None:
        with transaction.atomic(using), transaction.atomic(using):
            invalidate_model(Book, 1, using=using)
            transaction.set_rollback(True, using)
        assert kept()

    def test_at_once_in_a_transaction_by_hand(self, using: str, kept: Callable[[], bool]) -> None:
        transaction.set_autocommit(False, using)
        try:
            invalidate_model(Book, 1, using=using)
            assert not kept()
        finally:
            transaction.rollback(using)
            transaction.set_autocommit(True, using)
