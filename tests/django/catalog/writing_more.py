"""Ways of writing, continued: raw statements of every kind, management commands, migrations, and
newer releases of Django."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import connections, migrations, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Upper

from tests.django.catalog import recent
from tests.django.catalog.models import Category, Label, Maker, Product, Review, Sheet, Supply
from tests.django.catalog.writing import execute, some, writing


@writing
def save_sheet(using: str, a: int, b: int, c: int) -> object:
    sheet = Sheet.everything.using(using).order_by("pk").first()
    if sheet:
        sheet.data, sheet.hidden = {"n": a, "tags": ["b"]}, b % 2 == 0
        sheet.save()
    return sheet


@writing
def update_json(using: str, a: int, b: int, c: int) -> object:
    return Sheet.objects.using(using).filter(data__n__lt=a).update(data={"new": b}, made=None)


@writing
def update_by_subquery(using: str, a: int, b: int, c: int) -> object:
    stars = Review.objects.using(using).filter(product=OuterRef("pk")).order_by("-pk")
    found = Product.objects.using(using).filter(reviews__stars__gte=a % 3)
    return found.update(price=Subquery(stars.values("stars")[:1]))


@writing
def update_by_function(using: str, a: int, b: int, c: int) -> object:
    named = Case(When(pk__lt=a, then=Upper("name")), default=Value(f"c{b}"))
    return Category.objects.using(using).update(name=named)


@writing
def update_ordered(using: str, a: int, b: int, c: int) -> object:
    return Label.objects.using(using).filter(products__price__lte=a * 10).update(name=f"l{b}")


@writing
def create_or_get(using: str, a: int, b: int, c: int) -> object:
    maker, _ = Maker.objects.using(using).get_or_create(code=f"m{a}", defaults={"name": f"m{b}"})
    return maker.products.create(name=f"p{b}", price=c)


@writing
def asynchronously_written(using: str, a: int, b: int, c: int) -> object:
    async def write() -> None:
        found = Category.objects.using(using)
        await found.filter(pk=a).aupdate(name=f"c{b}")
        await found.acreate(name=f"c{c}")
        if await found.filter(name=f"c{a}", parent_id=None).acount() < 2:
            await found.aupdate_or_create(name=f"c{a}", parent_id=None, defaults={"name": f"c{b}"})
        await found.abulk_create([Category(name=f"c{a}")])
        async for label in Label.objects.using(using).filter(pk__gt=a):
            await label.adelete()

    return async_to_sync(write)()


@writing
def set_through(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.suppliers.set([], clear=b % 2 == 0)


@writing
def delete_through(using: str, a: int, b: int, c: int) -> object:
    return Supply.objects.using(using).filter(product__category__name=f"c{a}").delete()


@writing
def upsert_makers(using: str, a: int, b: int, c: int) -> object:
    return Maker.objects.using(using).bulk_create(
        [Maker(code=f"m{a}", name=f"m{b}"), Maker(code="new", name="new")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["code"],
    )


@writing
def save_twice_in_a_transaction(using: str, a: int, b: int, c: int) -> object:
    with transaction.atomic(using):
        Product.objects.using(using).filter(pk=a).update(price=b)
        with transaction.atomic(using):
            Product.objects.using(using).filter(pk=b).update(price=F("price") + c)
    return None


@writing
def raw_shouting(using: str, a: int, b: int, c: int) -> object:
    return execute(
        using, "-- why\n/* update */ UPDATE Catalog_Product SET PRICE = PRICE + %s WHERE 1 = 1", a
    )


@writing
def raw_quoted(using: str, a: int, b: int, c: int) -> object:
    return execute(
        using, 'UPDATE "catalog_label" AS "l" SET "name" = %s WHERE "id" = %s', "it's", a
    )


@writing
def raw_with(using: str, a: int, b: int, c: int) -> object:
    return execute(
        using,
        "WITH cheap AS (SELECT id FROM catalog_product WHERE price < %s)"
        " DELETE FROM catalog_review WHERE product_id IN (SELECT id FROM cheap)",
        a * 10,
    )


@writing
def raw_writing_with(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    return execute(
        using,
        "WITH gone AS (DELETE FROM catalog_review WHERE stars = %s RETURNING product_id)"
        " SELECT count(*) FROM gone",
        a,
    )


@writing
def raw_merge(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    return execute(
        using,
        "MERGE INTO catalog_maker m USING (SELECT %s AS code, %s AS name) n ON n.code = m.code"
        " WHEN MATCHED THEN UPDATE SET name = n.name"
        " WHEN NOT MATCHED THEN INSERT (code, name) VALUES (n.code, n.name)",
        f"m{a}",
        f"m{b}",
    )


@writing
def raw_copy(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    return execute(using, f"COPY catalog_label (name) FROM PROGRAM 'echo l{b}'")


@writing
def raw_several(using: str, a: int, b: int, c: int) -> object:
    # Without parameters, PostgreSQL takes more than one.
    second = f"UPDATE catalog_category SET name = 'c{b}' WHERE id > {a}"
    if connections[using].vendor == "postgresql":
        return execute_plain(using, f"SELECT 1; {second}")
    return execute_plain(using, second)


def execute_plain(using: str, sql: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


@writing
def raw_replace(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "sqlite":
        return None
    return execute(using, "REPLACE INTO catalog_label (id, name) VALUES (%s, %s)", 60 + a, f"l{b}")


@writing
def raw_procedure(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    return execute(using, "CALL raise_prices(%s)", a)


@writing
def called_function(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    with connections[using].cursor() as cursor:
        cursor.callproc("lower_prices", [a])
    return None


@writing
def raw_block(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor != "postgresql":
        return None
    return execute_plain(using, f"DO $$ BEGIN UPDATE catalog_product SET price = {a}; END $$")


@writing
def raw_queryset(using: str, a: int, b: int, c: int) -> object:
    sql = "UPDATE catalog_category SET name = %s WHERE id = %s RETURNING id, name"
    return list(Category.objects.using(using).raw(sql, [f"c{b}", a]))


@writing
def truncate_with_others(using: str, a: int, b: int, c: int) -> object:
    if connections[using].vendor == "postgresql":
        return execute_plain(using, "TRUNCATE catalog_label CASCADE")
    execute_plain(using, "DELETE FROM catalog_product_labels")
    return execute_plain(using, "DELETE FROM catalog_label")


@writing
def load_data(using: str, a: int, b: int, c: int) -> object:
    maker = {"model": "catalog.maker", "pk": f"m{a}", "fields": {"name": f"m{b}"}}
    with TemporaryDirectory() as directory:
        path = Path(directory, "makers.json")
        path.write_text(json.dumps([maker]))
        return call_command("loaddata", str(path), database=using, verbosity=0)


@writing
def migrate(using: str, a: int, b: int, c: int) -> object:
    def raise_prices(apps: Any, editor: Any) -> None:
        products = Product.objects.using(editor.connection.alias)
        products.filter(pk__lte=a).update(price=F("price") + b)

    if not connections[using].get_autocommit():
        # SQLite cannot do it in a transaction.
        return None
    state = ProjectState.from_apps(Product._meta.apps)
    operations = [
        migrations.RunSQL(f"UPDATE catalog_maker SET name = 'm{b}' WHERE code = 'm{a}'"),
        migrations.RunPython(raise_prices),
    ]
    with connections[using].schema_editor() as editor:
        for operation in operations:
            operation.database_forwards("catalog", editor, state, state)
    return None


@writing
def change_schema(using: str, a: int, b: int, c: int) -> object:
    if not connections[using].get_autocommit():
        return None
    extra = models.IntegerField(null=True)
    extra.set_attributes_from_name("extra")
    extra.model = Review
    with connections[using].schema_editor(atomic=False) as editor:
        editor.add_field(Review, extra)
    with connections[using].schema_editor(atomic=False) as editor:
        editor.remove_field(Review, extra)
    return None


if recent.GENERATED:

    @writing
    def save_box(using: str, a: int, b: int, c: int) -> object:
        if box := some(recent.Box, using, a):
            box.width = b
            box.save()
        return recent.Box.objects.using(using).create(width=c)

    @writing
    def update_boxes(using: str, a: int, b: int, c: int) -> object:
        return recent.Box.objects.using(using).filter(area__lt=a).update(width=b, weight=c)


if recent.KEYS_OF_SEVERAL:

    @writing
    def save_seat(using: str, a: int, b: int, c: int) -> object:
        return recent.Seat(hall=1, number=a, guest=f"g{b}").save(using=using)

    @writing
    def update_seat(using: str, a: int, b: int, c: int) -> object:
        return recent.Seat.objects.using(using).filter(pk=(1, a)).update(guest=f"g{b}")

    @writing
    def update_seats(using: str, a: int, b: int, c: int) -> object:
        return recent.Seat.objects.using(using).filter(number=a).update(guest=f"g{b}")

    @writing
    def delete_seats(using: str, a: int, b: int, c: int) -> object:
        return recent.Seat.objects.using(using).filter(pk__in=[(1, a), (2, b)]).delete()

    @writing
    def upsert_seats(using: str, a: int, b: int, c: int) -> object:
        return recent.Seat.objects.using(using).bulk_create(
            [recent.Seat(hall=2, number=a, guest=f"g{c}")],
            update_conflicts=True,
            update_fields=["guest"],
            unique_fields=["hall", "number"],
        )


if recent.ON_DELETE:

    @writing
    def delete_tree(using: str, a: int, b: int, c: int) -> object:
        tree = some(recent.Tree, using, a)
        return tree and tree.delete()

    @writing
    def delete_trees(using: str, a: int, b: int, c: int) -> object:
        return recent.Tree.objects.using(using).filter(name=f"t{a}").delete()

    @writing
    def delete_branch(using: str, a: int, b: int, c: int) -> object:
        return recent.Branch.objects.using(using).filter(pk=a)._raw_delete(using)

    @writing
    def delete_trees_by_hand(using: str, a: int, b: int, c: int) -> object:
        return execute(using, "DELETE FROM catalog_tree WHERE id = %s", a)
