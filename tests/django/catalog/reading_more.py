"""Ways of reading, continued: other forms of results, other managers, newer releases of Django."""

from __future__ import annotations

from typing import Any

import django
from asgiref.sync import async_to_sync
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Prefetch, Q, Sum
from django.db.models.functions import ExtractYear, TruncDay

from tests.django.catalog import recent
from tests.django.catalog.models import (
    Category,
    Label,
    Maker,
    Note,
    Product,
    Review,
    Sheet,
    Supply,
)
from tests.django.catalog.reading import products, reading, row, rows


@reading
def intersection(using: str, n: int) -> Any:
    reviewed = Review.objects.using(using).filter(stars__gt=n).values_list("product_id")
    return sorted(Product.objects.using(using).values_list("pk").intersection(reviewed))


@reading
def named_values(using: str, n: int) -> Any:
    found = products(using).filter(maker__code=f"m{n}").values_list("pk", "maker__name", named=True)
    return [(one._fields, tuple(one)) for one in found]


@reading
def values_over_many_to_many(using: str, n: int) -> Any:
    return list(products(using).order_by("pk", "labels").values("pk", "labels__name"))


@reading
def newest_and_oldest(using: str, n: int) -> Any:
    found = Product.objects.using(using)
    if not found.exists():
        return None
    return row(found.latest("price", "pk")), row(found.earliest("price", "pk")), row(found.last())


@reading
def contains(using: str, n: int) -> Any:
    return Product.objects.using(using).filter(price__gt=10).contains(Product(pk=n))


@reading
def first_of_each(using: str, n: int) -> Any:
    if connections[using].vendor != "postgresql":
        return None
    found = Product.objects.using(using).order_by("category_id", "-price", "pk")
    return rows(found.distinct("category_id"))


@reading
def dates(using: str, n: int) -> Any:
    sheets = Sheet.objects.using(using)
    return list(sheets.dates("made", "day")), list(sheets.datetimes("made", "hour"))


@reading
def parts_of_dates(using: str, n: int) -> Any:
    found = Sheet.objects.using(using).annotate(day=TruncDay("made"), year=ExtractYear("made"))
    return list(found.order_by("pk").values_list("day", "year"))


@reading
def inside_json(using: str, n: int) -> Any:
    found = Sheet.objects.using(using).filter(Q(data__n=n) | Q(data__tags__0="b")).order_by("pk")
    return list(found.values_list("pk", "data", "data__tags"))


@reading
def json_has_key(using: str, n: int) -> Any:
    return list(Sheet.objects.using(using).filter(data__has_key="new").values_list("pk"))


@reading
def default_manager_leaves_out(using: str, n: int) -> Any:
    found = Product.objects.using(using).filter(pk=n).prefetch_related("sheets").first()
    everything = Sheet.everything.using(using).count()
    return found and sorted(sheet.pk for sheet in found.sheets.all()), everything


@reading
def joined_past_the_default_manager(using: str, n: int) -> Any:
    return rows(products(using).filter(sheets__hidden=True).distinct())


@reading
def reverse_of_one_to_one(using: str, n: int) -> Any:
    product = Product.objects.using(using).filter(pk=n).first()
    return product and hasattr(product, "detail") and product.detail.text


@reading
def having_in_a_subquery(using: str, n: int) -> Any:
    busy = Supply.objects.using(using).values("supplier").annotate(c=Count("pk")).filter(c__gte=1)
    return rows(products(using).filter(suppliers__in=busy.values("supplier")).distinct())


@reading
def exists_over_many_to_many(using: str, n: int) -> Any:
    labelled = Product.labels.through.objects.using(using).filter(product=OuterRef("pk"), label=n)
    return rows(products(using).filter(~Exists(labelled)))


@reading
def aggregate_over_many_to_many(using: str, n: int) -> Any:
    found = Label.objects.using(using).aggregate(most=Max("products__price"), n=Count("products"))
    return found["most"], found["n"]


@reading
def grouped_and_filtered(using: str, n: int) -> Any:
    found = Maker.objects.using(using).annotate(total=Sum("products__price")).filter(total__gt=n)
    return list(found.order_by("pk").values_list("pk", "total"))


@reading
def compared_columns(using: str, n: int) -> Any:
    return rows(products(using).filter(reviews__stars__lt=F("price") / 10).distinct())


@reading
def generic_prefetch(using: str, n: int) -> Any:
    notes = Note.objects.using(using).order_by("pk")
    if django.VERSION >= (5, 0):
        from django.contrib.contenttypes.prefetch import GenericPrefetch

        notes = notes.prefetch_related(
            GenericPrefetch(
                "subject", [Product.objects.using(using).filter(price__gt=n * 10).order_by("pk")]
            )
        )
    return [(note.text, getattr(note.subject, "name", None)) for note in notes]


@reading
def generic_relation_prefetched(using: str, n: int) -> Any:
    found = products(using).prefetch_related("notes")
    return [(one.pk, sorted(note.text for note in one.notes.all())) for one in found]


@reading
def nested_prefetch_to_attributes(using: str, n: int) -> Any:
    inner = Prefetch("reviews", Review.objects.using(using).order_by("pk"), to_attr="judged")
    outer = Prefetch("products", products(using).prefetch_related(inner), to_attr="offered")
    found = Category.objects.using(using).order_by("pk").prefetch_related(outer)
    return [
        (one.pk, [(item.pk, [review.stars for review in item.judged]) for item in one.offered])
        for one in found
    ]


@reading
def raw_with_names(using: str, n: int) -> Any:
    sql = (
        "/* by hand */ SELECT id AS pk, name AS id, code AS name FROM catalog_label l"
        ' LEFT JOIN "catalog_maker" USING (name) WHERE l.id = %(key)s'
    )
    with connections[using].cursor() as cursor:
        cursor.execute(sql, {"key": n})
        return cursor.fetchall()


@reading
def locked_rows(using: str, n: int) -> Any:
    with transaction.atomic(using):
        # Its locks end with the savepoint, so that others can go on.
        before = transaction.savepoint(using)
        found = rows(products(using).select_for_update().filter(pk=n))
        transaction.savepoint_rollback(before, using)
    return found


@reading
def content_types(using: str, n: int) -> Any:
    kind = ContentType.objects.db_manager(using).get_for_model(Product)
    return Note.objects.using(using).filter(content_type=kind, object_id=n).count()


async def _asynchronously(using: str, n: int) -> Any:
    found = products(using).filter(price__gte=n)
    return [
        [row(one) async for one in found.select_related("category")],
        [row(one) async for one in found.aiterator(chunk_size=2)],
        row(await found.filter(pk=n).afirst()),
        await found.acount(),
        await found.filter(labels=n).aexists(),
        (await found.aaggregate(total=Sum("price")))["total"],
        sorted(await found.ain_bulk([n])),
    ]


@reading
def asynchronously(using: str, n: int) -> Any:
    return async_to_sync(_asynchronously)(using, n)


if recent.GENERATED:

    @reading
    def generated_column(using: str, n: int) -> Any:
        found = recent.Box.objects.using(using).filter(area__gt=n).order_by("pk")
        return [(box.pk, box.area, box.weight) for box in found]

    @reading
    def row_with_generated_column(using: str, n: int) -> Any:
        box = recent.Box.objects.using(using).filter(pk=n).first()
        return box and (box.area, box.weight)


if recent.KEYS_OF_SEVERAL:

    @reading
    def key_of_two_columns(using: str, n: int) -> Any:
        return list(recent.Seat.objects.using(using).filter(pk=(1, n)).values_list())

    @reading
    def part_of_a_key(using: str, n: int) -> Any:
        return list(recent.Seat.objects.using(using).filter(hall=n).order_by("pk").values_list())

    @reading
    def keys_of_two_columns(using: str, n: int) -> Any:
        found = recent.Seat.objects.using(using).filter(pk__in=[(1, n), (2, n)]).order_by("pk")
        return [(seat.pk, seat.guest) for seat in found]


if recent.ON_DELETE:

    @reading
    def deleted_by_the_database(using: str, n: int) -> Any:
        return (
            list(recent.Leaf.objects.using(using).order_by("pk").values_list("pk")),
            recent.Leaf.objects.using(using).filter(pk=n).exists(),
            list(recent.Nest.objects.using(using).order_by("pk").values_list("pk", "branch")),
        )
