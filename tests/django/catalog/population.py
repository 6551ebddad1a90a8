"""What is in the catalog at the beginning, and how it is brought back to that."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Final

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from tests.django.catalog import recent
from tests.django.catalog.models import (
    Category,
    Detail,
    Label,
    Maker,
    Note,
    Product,
    Review,
    Sheet,
    Special,
    Supplier,
    Supply,
)

SUPPLIERS: Final = [uuid.UUID(int=n) for n in range(1, 4)]
NOON: Final = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)
FRESH: Final = 50
"""From this key on there is nothing at the beginning."""


def define_view(using: str) -> None:
    """A view, which shows other tables and of which no model knows."""
    with connections[using].cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS catalog_sums")
        cursor.execute(
            "CREATE VIEW catalog_sums AS SELECT c.name AS name, sum(p.price) AS total"
            " FROM catalog_category c JOIN catalog_product p ON p.category_id = c.id GROUP BY 1"
        )
        if connections[using].vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE PROCEDURE raise_prices(n integer) LANGUAGE sql AS"
                " $$ UPDATE catalog_product SET price = price + n $$"
            )
            cursor.execute(
                "CREATE OR REPLACE FUNCTION lower_prices(n integer) RETURNS integer LANGUAGE sql AS"
                " $$ UPDATE catalog_product SET price = price - n; SELECT n $$"
            )


def empty(using: str) -> None:
    connection = connections[using]
    models = apps.get_app_config("catalog").get_models(include_auto_created=True)
    tables = [model._meta.db_table for model in models if not model._meta.proxy]
    connection.ops.execute_sql_flush(
        connection.ops.sql_flush(_NO_STYLE, tables, reset_sequences=True, allow_cascade=False)
    )


def populate(using: str) -> None:
    """A few rows of everything, with keys from 1."""
    empty(using)
    Maker.objects.using(using).bulk_create(
        [Maker(code="none", name="none"), *(Maker(code=f"m{n}", name=f"m{n}") for n in range(3))]
    )
    Category.objects.using(using).bulk_create(
        Category(pk=n, name=f"c{n}", parent_id=1 if n > 1 else None) for n in range(1, 4)
    )
    Label.objects.using(using).bulk_create(Label(pk=n, name=f"l{n}") for n in range(1, 4))
    Supplier.objects.using(using).bulk_create(
        Supplier(pk=key, name=f"s{n}") for n, key in enumerate(SUPPLIERS)
    )
    Product.objects.using(using).bulk_create(
        Product(pk=n, name=f"p{n}", price=n * 10, category_id=n % 3 or None, maker_id=f"m{n % 3}")
        for n in range(1, 5)
    )
    Special(pk=5, name="p5", price=50, category_id=1, maker_id="m1", discount=5).save(using=using)
    through = Product.labels.through
    through.objects.using(using).bulk_create(
        through(product_id=n, label_id=n % 3 + 1) for n in range(1, 5)
    )
    Supply.objects.using(using).bulk_create(
        Supply(product_id=n, supplier_id=SUPPLIERS[n % 3], days=n) for n in range(1, 4)
    )
    Review.objects.using(using).bulk_create(
        Review(product_id=n % 4 + 1, stars=n % 5) for n in range(6)
    )
    Detail.objects.using(using).bulk_create(Detail(product_id=n, text=f"d{n}") for n in (1, 2))
    kind = ContentType.objects.db_manager(using).get_for_model(Product)
    Note.objects.using(using).bulk_create(
        Note(text=f"n{n}", content_type=kind, object_id=n) for n in range(1, 4)
    )
    Sheet.everything.using(using).bulk_create(
        Sheet(product_id=n, hidden=n == 2, data={"n": n, "tags": ["a"] * n}, made=NOON)
        for n in range(1, 4)
    )
    recent.populate(using)
    models = list(apps.get_app_config("catalog").get_models())
    with connections[using].cursor() as cursor:
        for sql in connections[using].ops.sequence_reset_sql(_NO_STYLE, models):
            cursor.execute(sql)


class _NoStyle:
    """SQL without the colours of the command line."""

    def __getattr__(self, name: str) -> object:
        return str


_NO_STYLE: Final = _NoStyle()
