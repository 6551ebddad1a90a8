"""What is noticed of reads and writes, and how precisely; what it costs in queries."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, models, transaction
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps

from tests.django.catalog import recent
from tests.django.catalog.models import (
    Category,
    Label,
    Maker,
    Product,
    Review,
    Special,
    Supplier,
    Supply,
)
from tests.django.catalog.population import SUPPLIERS, populate
from zoocache_core import default_engine
from zoocache_core import stats as engine_stats
from zoocache_core.deps import current_scope
from zoocache_django import depends_on, invalidate_model, patches, row_tag
from zoocache_django.database import relations
from zoocache_django.database.rows import forget_models, identifies
from zoocache_django.database.tables import MAX_ROWS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def catalog() -> None:
    populate("default")


def deps_of(read: Callable[[], object]) -> set[str]:
    """What a cached computation that reads this depends on."""
    found: set[str] = set()

    def compute() -> None:
        read()
        scope = current_scope()
        assert scope is not None
        found.update(scope.deps)

    default_engine.fetch("deps", compute, refresh=True)
    return found


def outdated(write: Callable[[], object], *deps: str) -> set[str]:
    """Which of the deps a write outdates."""
    for dep in deps:
        default_engine.set(dep, 1, deps=[dep])
    write()
    return {dep for dep in deps if default_engine.get(dep) is None}


class TestReads:
    @pytest.mark.parametrize(
        "read",
        [
            lambda: Product.objects.get(pk=1),
            lambda: Product.objects.filter(pk="1", price__gt=0).first(),
            lambda: Product.objects.filter(pk=1).exists(),
            lambda: Product.objects.filter(pk=1).count(),
            lambda: Product(pk=1).refresh_from_db(),
            lambda: Product.objects.only("name").get(pk=1),
            lambda: Review(product_id=1).product,
        ],
    )
    def test_a_lookup_by_key_depends_on_the_row(self, read: Callable[[], object]) -> None:
        assert deps_of(read) == {"catalog.product:1"}

    def test_so_does_one_that_finds_nothing(self) -> None:
        assert deps_of(lambda: Product.objects.filter(pk=99).first()) == {"catalog.product:99"}

    def test_several_keys_are_several_rows(self) -> None:
        read = Product.objects.filter(pk__in=[1, 2])
        assert deps_of(lambda: list(read)) == {"catalog.product:1", "catalog.product:2"}

    def test_too_many_are_the_table(self) -> None:
        read = Product.objects.filter(pk__in=range(MAX_ROWS + 1))
        assert deps_of(lambda: list(read)) == {"catalog.product:*"}

    @pytest.mark.parametrize(
        ("queryset", "labels"),
        [
            (lambda: Product.objects.all(), "product"),
            (lambda: Product.objects.filter(category=1), "product"),
            (lambda: Product.objects.exclude(pk=1), "product"),
            (lambda: Product.objects.filter(models.Q(pk=1) | models.Q(price=1)), "product"),
            (lambda: Product.objects.filter(pk=F("price")), "product"),
            (lambda: Product.objects.filter(category__name="x"), "product category"),
            (lambda: Product.objects.filter(labels__name="x"), "product product_labels label"),
            (lambda: Category.objects.filter(products__reviews=1), "category product review"),
            (lambda: Product.objects.filter(pk__in=Review.objects.values("product")), None),
        ],
    )
    def test_any_other_query_depends_on_its_tables(
        self, queryset: Callable[[], Any], labels: str | None
    ) -> None:
        expected = {f"catalog.{label}:*" for label in (labels or "product review").split()}
        assert deps_of(lambda: list(queryset())) == expected

    def test_what_is_joined_to_a_row_is_a_table(self) -> None:
        read = Product.objects.select_related("category").filter(pk=1)
        assert deps_of(lambda: list(read)) == {"catalog.product:1", "catalog.category:*"}

    def test_a_table_read_twice_is_not_read_by_key_alone(self) -> None:
        dearer = Product.objects.filter(price__gt=models.OuterRef("price"))
        read = Product.objects.filter(pk=1).annotate(top=models.Exists(dearer))
        assert deps_of(lambda: list(read)) == {"catalog.product:*"}

    def test_a_childs_row_lies_in_its_parents_table_too(self) -> None:
        assert deps_of(lambda: Special.objects.get(pk=5)) == {
            "catalog.special:5",
            "catalog.product:5",
        }

    def test_a_text_in_a_collation_of_its_own_names_no_row(self) -> None:
        field = Maker._meta.pk
        assert deps_of(lambda: Maker.objects.get(pk="m1")) == {"catalog.maker:m1"}
        field.db_collation = "NOCASE"
        forget_models()
        try:
            assert deps_of(lambda: Maker.objects.get(pk="m1")) == {"catalog.maker:*"}
        finally:
            field.db_collation = None
            forget_models()

    def test_raw_sql_depends_on_its_tables(self) -> None:
        def read() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM catalog_product p JOIN catalog_label USING (id)")

        assert deps_of(read) == {"catalog.product:*", "catalog.label:*"}

    def test_a_table_of_no_model_may_be_a_view_of_any(self) -> None:
        def read() -> None:
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT name FROM sqlite_master")

        assert deps_of(read) == {"*"}
        with override_settings(ZOOCACHE={"TRIGGERS": {"catalog.product": ["sqlite_master"]}}):
            assert deps_of(read) == {"db:default:sqlite_master"}
            writing = Product.objects.filter(pk=1)
            dep = "db:default:sqlite_master"
            assert outdated(lambda: writing.update(price=1), dep) == {dep}

    def test_each_database_is_read_on_its_own(self) -> None:
        read = Product.objects.using("other")
        assert deps_of(lambda: read.filter(pk=1).first()) == {"db:other:catalog.product:1"}
        assert deps_of(lambda: list(read.all())) == {"db:other:catalog.product:*"}

    def test_reading_in_another_thread_of_an_asynchronous_view_counts(self) -> None:
        async def read() -> None:
            await Product.objects.aget(pk=1)

        assert deps_of(lambda: async_to_sync(read)()) == {"catalog.product:1"}

    def test_data_from_elsewhere_can_be_declared(self) -> None:
        product = Product.objects.get(pk=1)
        expected = {"catalog.product:1", "catalog.label:*", "library.book:*", "weather"}
        assert deps_of(lambda: depends_on(product, Label, "library.book", "weather")) == expected


class TestWrites:
    ROWS = ("catalog.product:1", "catalog.product:2", "catalog.product:*", "catalog.category:*")

    @pytest.mark.parametrize(
        "write",
        [
            lambda: Product.objects.get(pk=1).save(),
            lambda: Product.objects.get(pk=1).save(update_fields=["name"]),
            lambda: async_to_sync(Product.objects.get(pk=1).asave)(),
            lambda: Product.objects.filter(pk=1).update(price=F("price") + 1),
            lambda: Product.objects.filter(pk__in=[1, 99]).update(price=1),
            lambda: Product.objects.bulk_update([Product(pk=1, price=5)], ["price"]),
            lambda: Product.objects.filter(pk=1).delete(),
            lambda: Product.objects.get(pk=1).delete(),
        ],
    )
    def test_one_row_leaves_the_others(self, write: Callable[[], object]) -> None:
        assert outdated(write, *self.ROWS) == {"catalog.product:1", "catalog.product:*"}

    @pytest.mark.parametrize(
        "write",
        [
            lambda: Product.objects.create(pk=9, name="p", maker_id="m1"),
            lambda: Product.objects.create(name="p", maker_id="m1"),
            lambda: Product.objects.bulk_create([Product(name="p", maker_id="m1")]),
        ],
    )
    def test_a_new_row_leaves_the_old_ones(self, write: Callable[[], object]) -> None:
        deps = (*self.ROWS, "catalog.product:9")
        found = outdated(write, *deps)
        assert "catalog.product:*" in found
        assert not found & {"catalog.product:1", "catalog.product:2", "catalog.category:*"}

    @pytest.mark.parametrize(
        "write",
        [
            lambda: Product.objects.update(price=1),
            lambda: Product.objects.filter(price__gt=1).update(price=1),
            lambda: connection.cursor().execute("UPDATE catalog_product SET price = 1"),
            lambda: invalidate_model(Product),
        ],
    )
    def test_many_rows_are_the_table(self, write: Callable[[], object]) -> None:
        assert outdated(write, *self.ROWS) == set(self.ROWS[:3])

    def test_a_row_that_gets_another_key_is_two_rows(self) -> None:
        deps = ("catalog.review:1", "catalog.review:77")
        write = Review.objects.filter(pk=1)
        assert outdated(lambda: write.update(id=77), *deps) == set(deps)

    def test_an_upsert_may_change_a_row_of_another_key(self) -> None:
        supply = Supply(pk=99, product_id=1, supplier_id=SUPPLIERS[1], days=9)

        def write() -> None:
            Supply.objects.bulk_create(
                [supply],
                update_conflicts=True,
                update_fields=["days"],
                unique_fields=["product", "supplier"],
            )

        key = Supply.objects.get(product=1).pk
        assert outdated(write, f"catalog.supply:{key}") == {f"catalog.supply:{key}"}
        assert Supply.objects.get(pk=key).days == 9

    def test_every_spelling_of_a_key_is_the_same_row(self) -> None:
        dep = row_tag(Supplier, uuid.UUID(int=7))
        assert deps_of(lambda: Supplier.objects.filter(pk=uuid.UUID(int=7)).first()) == {dep}
        write = Supplier(pk=7, name="s")
        assert outdated(lambda: write.save(force_insert=True), dep) == {dep}

    @pytest.mark.parametrize("using", ["default", "other"])
    def test_a_key_below_zero(self, using: str) -> None:
        Label.objects.using(using).create(pk=-5, name="l")
        read = Label.objects.using(using).filter(pk=-5)
        (dep,) = deps_of(lambda: read.get())
        assert outdated(lambda: read.update(name="m"), dep) == {dep}
        assert outdated(lambda: read.get().save(), dep) == {dep}
        assert outdated(lambda: read.delete(), dep) == {dep}

    def test_nothing_written_nothing_outdated(self) -> None:
        before = engine_stats().invalidations
        Product.objects.filter(pk=999).update(price=1)
        Product.objects.filter(price__gt=10**6).update(price=1)
        Product.objects.filter(price__gt=10**6)._raw_delete("default")
        Product.objects.none().delete()
        Product.objects.bulk_create([])
        Maker.objects.bulk_create([Maker(code="m1")], ignore_conflicts=True)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE catalog_product SET price = 1 WHERE id = 999")
            cursor.execute("DELETE FROM catalog_review WHERE stars > 99")
        assert engine_stats().invalidations == before

    def test_another_database_is_another_database(self) -> None:
        def write() -> None:
            Maker.objects.using("other").create(code="m1")
            Product.objects.using("other").create(pk=1, name="p", maker_id="m1")
            Product.objects.using("other").update(price=1)
            Product.objects.using("other").all().delete()

        assert outdated(write, *self.ROWS) == set()

    def test_both_ends_of_a_relation_and_no_other_rows(self) -> None:
        deps = ("catalog.product:1", "catalog.product:2", "catalog.label:3", "catalog.label:1")
        product, label = Product.objects.get(pk=1), Label.objects.get(pk=3)
        ends = {"catalog.product:1", "catalog.label:3"}
        assert outdated(lambda: product.labels.add(label), *deps) == ends
        assert outdated(lambda: product.labels.remove(label), *deps) == ends

    def test_a_parents_row_is_a_part_of_its_childs(self) -> None:
        deps = ("catalog.special:5", "catalog.special:6", "catalog.product:5")
        write = Product.objects.filter(pk=5)
        assert outdated(lambda: write.update(price=1), *deps) == {deps[0], deps[2]}

    def test_what_a_trigger_writes_can_be_declared(self) -> None:
        triggers = {"catalog.review": ["catalog.detail"], "catalog_detail": ["catalog.label"]}
        deps = ("catalog.detail:*", "catalog.label:*", "catalog.product:*")
        with override_settings(ZOOCACHE={"TRIGGERS": triggers}):
            write = Review.objects.filter(pk=1)
            assert outdated(lambda: write.update(stars=1), *deps) == set(deps[:2])
        assert outdated(lambda: Review.objects.filter(pk=1).update(stars=2), *deps) == set()

    def test_a_procedure_may_write_anything_and_leaves_what_is_no_table(self) -> None:
        def write() -> None:
            with pytest.raises(Exception, match="syntax error"):
                connection.cursor().execute("CALL everything()")

        assert outdated(write, "catalog.product:1", "weather") == {"catalog.product:1"}


class TestCost:
    @pytest.mark.parametrize(
        "work",
        [
            lambda: Product.objects.get(pk=1).labels.add(3),
            lambda: Product.objects.get(pk=1).labels.set([1, 2]),
            lambda: Product.objects.get(pk=1).labels.clear(),
            lambda: Review.objects.filter(stars__gt=1).delete(),
            lambda: Product.objects.filter(pk=1).delete(),
            lambda: Category.objects.get(pk=1).delete(),
            lambda: Product.objects.get(pk=1).save(),
            lambda: Special.objects.get(pk=5).save(),
            lambda: Product.objects.bulk_create([Product(name="p", maker_id="m1")]),
            lambda: default_engine.fetch("k", lambda: Product.objects.count(), refresh=True),
        ],
    )
    def test_not_one_query_more(self, work: Callable[[], object]) -> None:
        with override_settings(ZOOCACHE={"WATCH_DATABASE": False}):
            with CaptureQueriesContext(connection) as plain:
                work()
            populate("default")
        with CaptureQueriesContext(connection) as watched:
            work()
        assert [query["sql"] for query in watched] == [query["sql"] for query in plain]

    def test_models_signals_have_no_receiver_of_ours(self) -> None:
        for signal in (models.signals.post_save, models.signals.post_delete):
            receivers = [receiver for receiver in signal.receivers if "zoocache" in str(receiver)]
            assert receivers == []


class TestSwitch:
    def test_everything_can_be_taken_back(self) -> None:
        originals = [owner.__dict__.get(name) for owner, name, _ in patches.PATCHES]
        with override_settings(ZOOCACHE={"WATCH_DATABASE": False}):
            assert not patches.installed()
            for owner, name, _ in patches.PATCHES:
                assert not hasattr(owner.__dict__.get(name), "__zoocache__")
            assert deps_of(lambda: Product.objects.get(pk=1)) == set()
            assert outdated(lambda: Product.objects.update(price=1), "catalog.product:*") == set()
        assert [owner.__dict__.get(name) for owner, name, _ in patches.PATCHES] != originals
        assert deps_of(lambda: Product.objects.get(pk=1)) == {"catalog.product:1"}


class TestKeysOfOtherTypes:
    @pytest.mark.parametrize("module", ["django.contrib.postgres.fields.citext", "shop.fields"])
    def test_a_text_that_is_compared_in_another_way_names_no_row(self, module: str) -> None:
        text = type("CICharField", (models.CharField,), {"__module__": module})
        with isolate_apps("tests.django.catalog"):
            options = {"__module__": "tests.django.catalog.models", "Meta": type("Meta", (), {})}
            key = text(primary_key=True, max_length=9)
            other = type("Other", (models.Model,), {**options, "code": key})
            assert not identifies(other, "postgresql")
        assert identifies(Maker, "postgresql")


class TestStatementsOfSeveralKinds:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT 1; UPDATE catalog_label SET name = 'x'",
            "select 1 ;\n-- then\nDELETE FROM catalog_label;",
        ],
    )
    @pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"])
    def test_a_write_behind_a_query(self, sql: str) -> None:
        deps = ("db:postgres:catalog.label:*", "db:postgres:catalog.maker:*")

        def write() -> None:
            with connections["postgres"].cursor() as cursor:
                cursor.execute(sql)

        assert outdated(write, *deps) == {"db:postgres:catalog.label:*"}

    @pytest.mark.skipif(not recent.ON_DELETE, reason="Django 6.1 came with DB_CASCADE")
    def test_what_the_database_deletes_along(self) -> None:
        deps = ("catalog.branch:*", "catalog.leaf:*", "catalog.nest:*", "catalog.label:*")
        tree = recent.Tree.objects.create()
        assert outdated(tree.save, *deps) == set()
        assert outdated(tree.delete, *deps) == set(deps[:3])


class TestAsynchronousCallers:
    def test_a_transaction_follows_its_context_into_an_event_loop(self) -> None:
        """A view in a transaction calls asynchronous code, which asks the cache in another
        thread: what the transaction wrote is hidden from it and what it reads is not stored."""

        async def name() -> str:
            product = await Product.objects.aget(pk=1)
            return product.name

        async def cached() -> str:
            found: str = await default_engine.fetch_async("name", name)
            return found

        assert async_to_sync(cached)() == "p1"
        with transaction.atomic():
            Product.objects.filter(pk=1).update(name="new")
            assert async_to_sync(cached)() == "new"
            transaction.set_rollback(True)
        assert async_to_sync(cached)() == "p1"

    def test_a_write_from_asynchronous_code(self) -> None:
        deps = ("catalog.product:1", "catalog.product:2")

        async def write() -> None:
            await Product.objects.filter(pk=1).aupdate(price=3)
            await sync_to_async(Product.objects.filter(pk=999).update)(price=3)

        assert outdated(lambda: async_to_sync(write)(), *deps) == {"catalog.product:1"}


class TestRelations:
    def test_they_are_looked_for_once_also_where_there_are_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = []

        def get_models(**kwargs: Any) -> list[Any]:
            looks.append(kwargs)
            return []

        relations.forget_models()
        monkeypatch.setattr(relations.apps, "get_models", get_models)
        for _ in range(3):
            Label.objects.create(name="l")
        assert len(looks) == 1
        relations.forget_models()
