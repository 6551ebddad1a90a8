"""Every way of reading that the ORM has: functions of a database alias and a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    When,
    Window,
)
from django.db.models.functions import RowNumber

from tests.django.catalog.models import (
    Category,
    Detail,
    Label,
    Maker,
    Product,
    Review,
    Supplier,
    Supply,
)
from tests.django.catalog.population import SUPPLIERS

Read = Callable[[str, int], Any]

READS: Final[dict[str, Read]] = {}


def reading(read: Read) -> Read:
    READS[read.__name__] = read
    return read


def products(using: str) -> Any:
    return Product.objects.using(using).order_by("pk")


def row(product: Product | None) -> Any:
    if product is None:
        return None
    return product.pk, product.name, product.price, product.category_id, product.maker_id


def rows(queryset: Any) -> list[Any]:
    return [row(product) for product in queryset]


@reading
def get_by_key(using: str, n: int) -> Any:
    try:
        return row(Product.objects.using(using).get(pk=n))
    except Product.DoesNotExist:
        return None


@reading
def first_by_key_and_more(using: str, n: int) -> Any:
    return row(products(using).filter(pk=n, price__gte=10).first())


@reading
def some_by_key(using: str, n: int) -> Any:
    return rows(products(using).filter(pk__in=[n, n + 1, 99]))


@reading
def in_bulk(using: str, n: int) -> Any:
    found = Product.objects.using(using).in_bulk([n, n + 2])
    return sorted((key, product.name) for key, product in found.items())


@reading
def one_key_or_another(using: str, n: int) -> Any:
    return rows(products(using).filter(Q(pk=n) | Q(price=n * 10)))


@reading
def all_but_one_key(using: str, n: int) -> Any:
    return rows(products(using).exclude(pk=n))


@reading
def key_of_a_subquery(using: str, n: int) -> Any:
    newest = Review.objects.using(using).order_by("-pk").values("product")[:1]
    return rows(products(using).filter(pk=Subquery(newest)))


@reading
def one_key_beside_others_of_its_table(using: str, n: int) -> Any:
    dearer = Product.objects.using(using).filter(price__gt=OuterRef("price"))
    return list(products(using).filter(pk=n).annotate(top=~Exists(dearer)).values_list("pk", "top"))


@reading
def text_key(using: str, n: int) -> Any:
    return list(Maker.objects.using(using).filter(pk=f"m{n}").values_list())


@reading
def uuid_key(using: str, n: int) -> Any:
    found = Supplier.objects.using(using).filter(pk=SUPPLIERS[n % len(SUPPLIERS)]).first()
    return found and found.name


@reading
def key_of_another_row(using: str, n: int) -> Any:
    return list(Detail.objects.using(using).filter(pk=n).values_list("pk", "text"))


@reading
def list_all(using: str, n: int) -> Any:
    return rows(products(using))


@reading
def slice_of_it(using: str, n: int) -> Any:
    return rows(products(using).order_by("-price", "pk")[n : n + 2])


@reading
def filter_column(using: str, n: int) -> Any:
    return rows(products(using).filter(price__lt=n * 10))


@reading
def filter_foreign_key(using: str, n: int) -> Any:
    return rows(products(using).filter(category=n))


@reading
def filter_over_join(using: str, n: int) -> Any:
    return rows(products(using).filter(category__name=f"c{n}"))


@reading
def filter_over_two_joins(using: str, n: int) -> Any:
    return rows(products(using).filter(category__parent__name=f"c{n}"))


@reading
def filter_over_many_to_many(using: str, n: int) -> Any:
    return rows(products(using).filter(labels__name=f"l{n}").distinct())


@reading
def exclude_over_many_to_many(using: str, n: int) -> Any:
    return rows(products(using).exclude(labels__name=f"l{n}"))


@reading
def filter_over_explicit_through(using: str, n: int) -> Any:
    return rows(products(using).filter(supply__days__gt=n).distinct())


@reading
def order_over_join(using: str, n: int) -> Any:
    return rows(products(using).order_by("category__name", "pk"))


@reading
def annotate_count(using: str, n: int) -> Any:
    counted = products(using).annotate(number=Count("reviews"))
    return list(counted.values_list("pk", "number"))


@reading
def having(using: str, n: int) -> Any:
    judged = products(using).annotate(stars=Avg("reviews__stars"))
    return rows(judged.filter(stars__gte=n))


@reading
def filtered_relation(using: str, n: int) -> Any:
    bad = FilteredRelation("reviews", condition=Q(reviews__stars__lt=n))
    found = products(using).annotate(bad=bad).filter(bad__isnull=False).distinct()
    return rows(found)


@reading
def aggregate(using: str, n: int) -> Any:
    found = Product.objects.using(using).aggregate(total=Sum("price"), most=Max("reviews__stars"))
    return found["total"], found["most"]


@reading
def aggregate_over_slice(using: str, n: int) -> Any:
    return products(using)[: n + 1].aggregate(total=Sum("price"))["total"]


@reading
def group_by(using: str, n: int) -> Any:
    grouped = Category.objects.using(using).values("name").annotate(total=Sum("products__price"))
    return list(grouped.order_by("name").values_list("name", "total"))


@reading
def count(using: str, n: int) -> Any:
    return Product.objects.using(using).filter(category=n).count()


@reading
def count_by_key(using: str, n: int) -> Any:
    return Product.objects.using(using).filter(pk=n).count()


@reading
def exists(using: str, n: int) -> Any:
    return Review.objects.using(using).filter(product=n, stars__gt=2).exists()


@reading
def values_distinct(using: str, n: int) -> Any:
    return list(Product.objects.using(using).order_by("price").values_list("price").distinct())


@reading
def subquery_in_filter(using: str, n: int) -> Any:
    named = Category.objects.using(using).filter(name__gte=f"c{n}")
    return rows(products(using).filter(category__in=named))


@reading
def exists_in_filter(using: str, n: int) -> Any:
    bad = Review.objects.using(using).filter(product=OuterRef("pk"), stars__lt=n)
    return rows(products(using).filter(Exists(bad)))


@reading
def subquery_in_annotation(using: str, n: int) -> Any:
    best = Review.objects.using(using).filter(product=OuterRef("pk")).order_by("-stars", "pk")
    annotated = products(using).annotate(best=Subquery(best.values("stars")[:1]))
    return list(annotated.values_list("pk", "best"))


@reading
def subquery_in_ordering(using: str, n: int) -> Any:
    text = Detail.objects.using(using).filter(product=OuterRef("pk")).values("text")[:1]
    return rows(Product.objects.using(using).order_by(Subquery(text).asc(nulls_first=True), "pk"))


@reading
def subquery_in_condition(using: str, n: int) -> Any:
    linked = Supply.objects.using(using).filter(product=OuterRef("pk"))
    case = Case(When(Exists(linked), then=F("price")), default=0)
    return list(products(using).annotate(value=case).values_list("pk", "value"))


@reading
def window(using: str, n: int) -> Any:
    ranked = products(using).annotate(place=Window(RowNumber(), order_by=["price", "pk"]))
    return list(ranked.values_list("pk", "place"))


@reading
def union(using: str, n: int) -> Any:
    names = Category.objects.using(using).values_list("name")
    others = Label.objects.using(using).values_list("name")
    return sorted(names.union(others, Maker.objects.using(using).values_list("name")))


@reading
def union_of_keys(using: str, n: int) -> Any:
    one = Product.objects.using(using).filter(pk=n).values_list("name")
    return sorted(one.union(Product.objects.using(using).filter(price=10).values_list("name")))


@reading
def difference(using: str, n: int) -> Any:
    linked = Supply.objects.using(using).values_list("product_id")
    return sorted(Product.objects.using(using).values_list("pk").difference(linked))
