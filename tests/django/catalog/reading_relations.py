"""Ways of reading, continued: following relations, inheritance, raw SQL, several databases."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import Prefetch

from tests.django.catalog.models import Category, Cheap, Note, Product, Review, Special
from tests.django.catalog.reading import products, reading, row, rows


@reading
def select_related(using: str, n: int) -> Any:
    found = Product.objects.using(using).select_related("category__parent", "maker").filter(pk=n)
    return [
        (row(one), one.maker.name, one.category and (one.category.name, one.category.parent_id))
        for one in found
    ]


@reading
def select_related_backwards(using: str, n: int) -> Any:
    found = products(using).select_related("detail", "special")
    return [(one.pk, hasattr(one, "detail") and one.detail.text) for one in found]


@reading
def prefetch_related(using: str, n: int) -> Any:
    found = products(using).prefetch_related("reviews", "labels", "suppliers", "category")
    return [
        (
            one.pk,
            sorted(review.stars for review in one.reviews.all()),
            sorted(label.name for label in one.labels.all()),
            sorted(supplier.name for supplier in one.suppliers.all()),
            one.category and one.category.name,
        )
        for one in found
    ]


@reading
def prefetch_some(using: str, n: int) -> Any:
    good = Prefetch("reviews", Review.objects.using(using).filter(stars__gt=n), "good")
    found = Category.objects.using(using).order_by("pk").prefetch_related("products")
    nested = Product.objects.using(using).filter(pk=n).prefetch_related(good)
    return [(one.pk, sorted(p.pk for p in one.products.all())) for one in found], [
        sorted(review.stars for review in one.good) for one in nested
    ]


@reading
def follow_relations(using: str, n: int) -> Any:
    product = Product.objects.using(using).filter(pk=n).first()
    if product is None:
        return None
    return (
        product.category and product.category.name,
        product.maker.name,
        sorted(product.labels.values_list("name", flat=True)),
        sorted(product.reviews.values_list("stars", flat=True)),
        sorted(product.suppliers.values_list("name", flat=True)),
    )


@reading
def follow_backwards(using: str, n: int) -> Any:
    category = Category.objects.using(using).filter(pk=n).first()
    if category is None:
        return None
    return sorted(category.products.values_list("name")), category.children.count()


@reading
def deferred_fields(using: str, n: int) -> Any:
    product = Product.objects.using(using).only("name").filter(pk=n).first()
    return product and (product.name, product.price)


@reading
def generic_relation(using: str, n: int) -> Any:
    product = Product.objects.using(using).filter(pk=n).first()
    return product and sorted(product.notes.values_list("text", flat=True))


@reading
def filter_over_generic_relation(using: str, n: int) -> Any:
    return rows(products(using).filter(notes__text=f"n{n}").distinct())


@reading
def generic_foreign_key(using: str, n: int) -> Any:
    notes = Note.objects.using(using).order_by("pk").prefetch_related("subject")
    return [(note.text, getattr(note.subject, "name", None)) for note in notes]


@reading
def child(using: str, n: int) -> Any:
    found = Special.objects.using(using).filter(pk=n).first()
    return found and (row(found), found.discount)


@reading
def children(using: str, n: int) -> Any:
    found = Special.objects.using(using).filter(price__gt=n).order_by("pk")
    return [(row(one), one.discount) for one in found]


@reading
def child_of_parent(using: str, n: int) -> Any:
    product = Product.objects.using(using).filter(pk=n).first()
    return product and hasattr(product, "special") and product.special.discount


@reading
def filter_over_child(using: str, n: int) -> Any:
    return rows(products(using).filter(special__discount__gt=n))


@reading
def proxy(using: str, n: int) -> Any:
    return row(Cheap.objects.using(using).filter(pk=n).first())


@reading
def raw_models(using: str, n: int) -> Any:
    sql = "SELECT * FROM catalog_product WHERE price > %s ORDER BY id"
    return rows(Product.objects.using(using).raw(sql, [n]))


@reading
def raw_cursor(using: str, n: int) -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "WITH judged AS (SELECT product_id, max(stars) AS stars FROM catalog_review GROUP BY 1)"
            " SELECT p.name, j.stars FROM catalog_product p LEFT JOIN judged j"
            " ON j.product_id = p.id WHERE p.price >= %s ORDER BY p.id",
            [n],
        )
        return [tuple(found) for found in cursor.fetchall()]


@reading
def view(using: str, n: int) -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name, total FROM catalog_sums ORDER BY name")
        return [tuple(found) for found in cursor.fetchall()]


@reading
def extra_tables(using: str, n: int) -> Any:
    queryset = products(using).extra(
        tables=["catalog_maker"], where=["catalog_maker.code = catalog_product.maker_id"]
    )
    return list(
        queryset.extra(select={"made_by": "catalog_maker.name"}).values_list("pk", "made_by")
    )


@reading
def iterator(using: str, n: int) -> Any:
    return rows(products(using).filter(price__gte=n).iterator(chunk_size=2))


@reading
def other_database(using: str, n: int) -> Any:
    return list(Product.objects.using("other").filter(pk=n).values_list("name"))
