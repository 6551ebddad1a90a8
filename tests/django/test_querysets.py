"""Cached querysets: what comes from the cache, what never does, and when it is forgotten."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, models, transaction
from django.db.models import Count, F, Func, Max, Prefetch, Q, Sum, Value, signals
from django.db.models.functions import Now, Random
from django.test import override_settings
from django.utils import timezone as zones

from tests.django.catalog import recent
from tests.django.catalog.models import Note, Product
from tests.django.catalog.population import populate
from tests.django.instances import outcome, seen
from tests.django.store.models import (
    Badge,
    Described,
    Door,
    Fresh,
    Gadget,
    Initial,
    Item,
    Kind,
    Left,
    Loud,
    Offer,
    Right,
    Room,
    Setting,
    Shelf,
    Shouting,
    Watched,
)
from zoocache_core import default_engine, invalidate
from zoocache_core.testing import ManualClock
from zoocache_django import ZooCacheManager, cacheable
from zoocache_django.querysets import CachedQuerySet

pytestmark = pytest.mark.django_db

Queries = Callable[..., Any]


@pytest.fixture(autouse=True)
def items(db: None) -> None:
    for n in (1, 2, 3):
        kind = Kind.objects.create(pk=n, name=f"k{n}")
        Item.objects.create(pk=n, name=f"i{n}", stock=n, kind=kind, data={"n": n})


READS: dict[str, Callable[[], Any]] = {
    "get": lambda: Item.cached.get(pk=2),
    "get by text": lambda: Item.cached.get(name="i2"),
    "list": lambda: list(Item.cached.filter(stock__gt=1)),
    "Q": lambda: list(Item.cached.filter(Q(stock=1) | Q(stock=2))),
    "sliced": lambda: list(Item.cached.order_by("pk")[1:]),
    "count": lambda: Item.cached.count(),
    "exists": lambda: Item.cached.filter(stock=9).exists(),
    "aggregate": lambda: Item.cached.aggregate(Sum("stock")),
    "first": lambda: Item.cached.first(),
    "last": lambda: Item.cached.filter(stock=1).last(),
    "earliest": lambda: Item.cached.earliest("pk"),
    "in_bulk": lambda: Item.cached.in_bulk([1, 3]),
    "values": lambda: list(Item.cached.values("name")),
    "flat": lambda: list(Item.cached.values_list("name", flat=True)),
    "values of others": lambda: list(Kind.cached.order_by("pk").values("items__stock")),
    "annotate": lambda: list(Item.cached.annotate(number=Count("badges"))),
    "select_related": lambda: [item.kind for item in Item.cached.select_related("kind")],
    "prefetch": lambda: [
        [[item.pk for item in kind.items.all()] for kind in Kind.cached.prefetch_related("items")]
    ],
    "prefetch deep": lambda: [
        [badge.items.all() for badge in item.badges.all()]
        for item in Item.cached.prefetch_related("badges__items", "kind")
    ],
    "prefetch nested": lambda: [
        [len(item.badges.all()) for item in kind.items.all()]
        for kind in Kind.cached.prefetch_related(
            Prefetch("items", Item.objects.prefetch_related("badges"))
        )
    ],
    "iterator": lambda: list(Item.cached.iterator()),
    "union": lambda: list(Item.cached.filter(pk=1).union(Item.cached.filter(pk=2))),
    "dates": lambda: list(Item.cached.datetimes("made", "day")),
    "proxy": lambda: list(Gadget.cached.all()),
    "nothing": lambda: list(Item.cached.filter(pk__in=[])),
    "contains": lambda: Item.cached.all().contains(Item(pk=1)),
}


@pytest.mark.parametrize("name", READS)
def test_the_second_read_asks_no_database(name: str, django_assert_num_queries: Queries) -> None:
    first = seen(READS[name]())
    with django_assert_num_queries(0):
        assert seen(READS[name]()) == first


@pytest.mark.parametrize("name", READS)
def test_a_write_is_seen_at_once(name: str) -> None:
    READS[name]()
    Item.objects.filter(pk__lt=3).update(stock=9, name="new")
    Kind.objects.filter(pk=1).delete()
    seen_now = outcome(READS[name])
    default_engine.clear()
    assert seen_now == outcome(READS[name])


def test_a_row_that_was_got_is_forgotten_alone(django_assert_num_queries: Queries) -> None:
    Item.cached.get(pk=1)
    Item.cached.get(pk=2)
    Item.objects.get(pk=1).save()
    with django_assert_num_queries(0):
        Item.cached.get(pk=2)
    with django_assert_num_queries(1):
        Item.cached.get(pk=1)


def test_an_outdated_row_is_read_again_and_not_another() -> None:
    assert Item.cached.get(pk=2).pk == 2
    Item.objects.exclude(pk=1).delete()
    with pytest.raises(Item.DoesNotExist):
        Item.cached.get(pk=2)


def test_that_a_row_is_missing_is_cached(django_assert_num_queries: Queries) -> None:
    for expected in (1, 0):
        with django_assert_num_queries(expected), pytest.raises(Item.DoesNotExist) as error:
            Item.cached.get(pk=77)
        assert str(error.value) == "Item matching query does not exist."
    Item.objects.create(pk=77)
    assert Item.cached.get(pk=77).pk == 77


VOLATILE: dict[str, Callable[[], Any]] = {
    "random order": lambda: list(Item.cached.order_by("?")),
    "Random": lambda: list(Item.cached.annotate(chance=Random())),
    "Now": lambda: list(Item.cached.filter(made__lt=Now())),
    "raw now": lambda: list(Item.cached.extra(where=["made < datetime('now')"])),
    "a function": lambda: list(
        Item.cached.annotate(at=Func(Value("now"), function="datetime")).values("at")
    ),
    "an aggregate of Now": lambda: Item.cached.annotate(at=Now()).aggregate(Sum("stock")),
    "an aggregate of Random": lambda: Item.cached.aggregate(any=Sum(Random() * F("stock"))),
    "what no key can name": lambda: list(Item.cached.filter(picture=Value(Unnamed()))),
    "uncached": lambda: list(Item.cached.uncached()),
    "get_or_create": lambda: Item.cached.get_or_create(pk=1),
    "raw": lambda: list(Item.cached.raw("SELECT * FROM store_item")),
    "explain": lambda: Item.cached.all().explain(),
}


class Unnamed:
    def __conform__(self, protocol: Any) -> str:
        return "x"


@pytest.mark.parametrize("name", VOLATILE)
def test_what_may_differ_each_time_is_never_cached(
    name: str, django_assert_num_queries: Queries
) -> None:
    VOLATILE[name]()
    stored = default_engine.stats().sets
    with django_assert_num_queries(1):
        VOLATILE[name]()
    assert default_engine.stats().sets == stored


def test_rows_to_be_locked_are_read() -> None:
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with transaction.atomic(), connection.execute_wrapper(note):
        for _ in range(2):
            list(Item.cached.select_for_update().filter(pk=1))
    assert len(asked) == 2


def test_a_column_named_like_a_function_is_no_such_thing() -> None:
    from zoocache_django.queries.plans import is_volatile

    assert not is_volatile('SELECT "t"."now", "random" FROM "t"', ())
    assert is_volatile('SELECT "t"."a" FROM "t" WHERE "t"."a" < CURRENT_TIMESTAMP', ())
    assert is_volatile("SELECT RAND()", ())


def test_every_caller_has_instances_of_its_own() -> None:
    first = Item.cached.get(pk=1)
    first.name = "changed"
    first.data["n"] = "changed"
    second = Item.cached.get(pk=1)
    assert (second.name, second.data) == ("i1", {"n": 1})
    assert second is not first


def test_sql_that_is_the_same_is_not_confused_where_python_types_differ() -> None:
    from django.db.models import CharField, IntegerField

    texts = Item.cached.annotate(x=Value(1, output_field=CharField())).values_list("x", flat=True)
    numbers = Item.cached.annotate(x=Value(1, output_field=IntegerField()))
    assert list(texts) == list(
        Item.objects.annotate(x=Value(1, output_field=CharField())).values_list("x", flat=True)
    )
    assert list(numbers.values_list("x", flat=True)) == [1, 1, 1]


def test_taking_the_query_out_voids_what_was_known_of_it() -> None:
    list(Item.cached.filter(stock__gte=1))
    changed = Item.cached.filter(stock__gte=1)
    changed.query.add_q(Q(stock=2))
    assert [item.pk for item in changed] == [2]
    kept = Item.cached.filter(stock__gte=1)
    query = kept.query
    query.add_q(Q(stock=3))
    assert [item.pk for item in kept.order_by("pk")] == [3]


def test_time_zones_are_told_apart() -> None:
    Item.objects.filter(pk=1).update(made=datetime(2024, 1, 1, 23, 30, tzinfo=timezone.utc))

    def days() -> list[Any]:
        return [
            list(Item.cached.filter(made__date="2024-01-02").values_list("pk", flat=True)),
            list(Item.cached.datetimes("made", "day")),
        ]

    with zones.override(timezone.utc):
        assert days()[0] == []
    with zones.override(timezone(timedelta(hours=2))):
        found = days()
        assert found[0] == [1]
        assert found[1][0].utcoffset() == timedelta(hours=2)


def test_the_ttl_is_kept() -> None:
    clock = ManualClock()
    with override_settings(ZOOCACHE={"CLOCK": clock}):
        cached = Item.cached.cached(ttl=10).order_by("pk")
        list(cached)
        clock.advance(9)
        list(cached.all())
        assert default_engine.stats().misses == 1
        clock.advance(11)
        list(cached.all())
        assert default_engine.stats().misses == 2


@pytest.mark.parametrize("ttl", [0, -1, "long", float("nan")])
def test_a_bad_ttl_is_refused(ttl: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="ttl"):
        ZooCacheManager(ttl=ttl)


def test_a_bad_prefix_is_refused() -> None:
    with pytest.raises(TypeError, match="prefix=7"):
        ZooCacheManager(prefix=7)  # type: ignore[arg-type]


def test_in_a_transaction_the_writer_sees_its_writes_and_keeps_them_private() -> None:
    with transaction.atomic():
        Item.cached.get(pk=1)
        Item.objects.filter(pk=1).update(name="mine")
        assert Item.cached.get(pk=1).name == "mine"
        assert Item.cached.filter(name="mine").count() == 1
        transaction.set_rollback(True)
    assert Item.cached.get(pk=1).name == "i1"
    assert Item.cached.filter(name="mine").count() == 0


def test_what_uses_a_cached_queryset_depends_on_its_rows() -> None:
    @cacheable
    def names() -> list[str]:
        return [item.name for item in Item.cached.order_by("pk")]

    list(Item.cached.order_by("pk"))
    assert names() == ["i1", "i2", "i3"]
    Item.objects.filter(pk=1).update(name="new")
    assert names() == ["new", "i2", "i3"]
    invalidate("store.item")
    assert names() == ["new", "i2", "i3"]


@pytest.mark.parametrize("shared", [False, True])
def test_a_queryset_that_a_cached_function_returns_depends_on_its_rows(
    shared: bool, tmp_path: Path
) -> None:
    wanted = {"STORAGE_URL": f"lmdb://{tmp_path}", "SECRET_KEY": "k" * 32} if shared else {}

    @cacheable
    def everything() -> dict[str, Any]:
        return {"items": [Item.objects.order_by("pk")]}

    def names() -> list[str]:
        return [item.name for item in everything()["items"][0]]

    with override_settings(ZOOCACHE=wanted):
        with transaction.atomic():
            Item.objects.filter(pk=1).update(name="mine")
            assert names() == ["mine", "i2", "i3"]
            transaction.set_rollback(True)
        for _ in range(2):
            assert names() == ["i1", "i2", "i3"]
        assert default_engine.stats().hits == 1
        Item.objects.filter(pk=1).update(name="new")
        assert names() == ["new", "i2", "i3"]


def test_writes_go_through() -> None:
    assert Item.cached.filter(pk=1).update(stock=5) == 1
    assert Item.cached.get(pk=1).stock == 5
    assert Item.cached.create(name="made").pk
    made, is_new = Item.cached.update_or_create(pk=1, defaults={"stock": 6})
    assert (made.stock, is_new) == (6, False)
    assert Item.cached.bulk_update([Item(pk=1, stock=7)], ["stock"]) == 1
    assert Item.cached.get(pk=1).stock == 7
    assert Item.cached.filter(pk__gt=1).delete()[0] >= 3
    assert [item.pk for item in Item.cached.all()] == [1]


def test_a_manager_named_cached_is_not_the_default_one() -> None:
    assert type(Kind.objects).__name__ == "Manager"
    assert Kind._default_manager is Kind.objects
    assert type(Item._default_manager).__name__ == "Manager"
    with pytest.raises(AttributeError, match="instances"):
        Kind().cached  # noqa: B018


def test_managers_are_inherited() -> None:
    Left.objects.create(name="left")
    assert [row.name for row in Left.cached.all()] == ["left"]
    assert list(Right.cached.all()) == []
    assert Gadget.cached.model is Gadget
    assert type(Gadget.cached.get(pk=1)) is Gadget
    with pytest.raises(AttributeError, match="abstract"):
        Left.__bases__[0].cached  # type: ignore[attr-defined]  # noqa: B018


def test_a_queryset_class_of_the_application(django_assert_num_queries: Queries) -> None:
    Offer.objects.create(price=5)
    Offer.objects.create(price=15)
    for expected in (1, 0):
        with django_assert_num_queries(expected):
            assert [offer.price for offer in Offer.objects.all().cached().cheap()] == [5]
    with django_assert_num_queries(1):
        list(Offer.objects.cheap())


def test_conversions_of_the_application_run_for_every_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Loud.objects.create(word="hello")
    assert [Loud.cached.get(pk=1).word for _ in range(2)] == ["HELLO", "HELLO"]
    list(Loud.cached.values_list("word"))
    Loud.cached.aggregate(Max("word"))
    field: Any = Shouting
    monkeypatch.setattr(field, "from_db_value", lambda self, value, *rest: value.title())
    assert Loud.cached.get(pk=1).word == "Hello"
    assert list(Loud.cached.values_list("word")) == [("Hello",)]
    assert Loud.cached.aggregate(most=Max("word")) == {"most": "Hello"}


def test_a_model_that_overrides_from_db_is_given_the_rows() -> None:
    Watched.objects.create(name="w")
    assert [Watched.cached.get(name="w").loaded for _ in range(2)] == ["w", "w"]


@pytest.mark.parametrize("model", [Initial, Fresh, Setting, Described, Gadget])
def test_models_take_a_part_in_how_instances_are_made(model: Any) -> None:
    plain = seen(list(model.objects.order_by("pk")))
    for _ in range(2):
        assert seen(list(model.cached.order_by("pk"))) == plain
        assert seen(model.cached.get(pk=1)) == seen(model.objects.get(pk=1))


@pytest.mark.skipif(not recent.KEYS_OF_SEVERAL, reason="Django 5.2 came with such keys")
def test_instances_with_keys_of_several_columns() -> None:
    populate("default")
    plain: Any = models.QuerySet(recent.Seat).order_by("pk")
    cached = ZooCacheManager()
    cached.model = recent.Seat
    for _ in range(2):
        assert seen(list(cached.order_by("pk"))) == seen(list(plain))
        assert seen(cached.get(pk=(1, 2))) == seen(plain.get(pk=(1, 2)))
        assert cached.get(hall=1, number=3).pk == (1, 3)
    recent.Seat.objects.filter(pk=(1, 3)).update(guest="new")
    assert cached.get(hall=1, number=3).guest == cached.get(pk=(1, 3)).guest == "new"


@pytest.mark.skipif(not recent.GENERATED, reason="Django 5.0 came with such columns")
def test_instances_with_columns_that_the_database_computes() -> None:
    populate("default")
    cached = ZooCacheManager()
    cached.model = recent.Box
    for _ in range(2):
        assert seen(cached.get(pk=2)) == seen(recent.Box.objects.get(pk=2))
    recent.Box.objects.filter(pk=2).update(width=5)
    assert cached.get(pk=2).area == 25


def test_what_is_prefetched_on_the_way_comes_from_the_cache(
    django_assert_num_queries: Queries,
) -> None:
    Item.objects.get(pk=1).badges.add(Badge.objects.create(name="b"))
    badges = Prefetch("badges", Badge.objects.prefetch_related("items__kind"))

    def read() -> Any:
        items = Item.cached.order_by("pk").prefetch_related(badges)
        return seen([[list(badge.items.all()) for badge in item.badges.all()] for item in items])

    plain = Item.objects.order_by("pk").prefetch_related(badges)
    expected = seen([[list(one.items.all()) for one in item.badges.all()] for item in plain])
    assert read() == expected
    with django_assert_num_queries(0):
        assert read() == expected


def test_prefetching_goes_through_the_managers_that_django_takes() -> None:
    shelf = Shelf.objects.create()
    for hidden in (True, False):
        Door.objects.create(room=Room.objects.create(shelf=shelf, hidden=hidden))
    for model, name in ((Door, "room"), (Shelf, "rooms"), (Shelf, "rooms__doors")):
        plain: Any = models.QuerySet(model).order_by("pk").prefetch_related(name)
        cached: Any = CachedQuerySet(model).order_by("pk").prefetch_related(name).cached()
        for _ in range(2):
            assert seen(list(cached)) == seen(list(plain))


def test_receivers_of_instances_are_told() -> None:
    Item.cached.get(pk=1)
    told = []

    def receiver(instance: Item, **kwargs: Any) -> None:
        told.append(instance.pk)

    signals.post_init.connect(receiver, sender=Item)
    try:
        Item.cached.get(pk=1)
    finally:
        signals.post_init.disconnect(receiver, sender=Item)
    assert told == [1]


def test_related_managers_know_their_instance(django_assert_num_queries: Queries) -> None:
    kind = Kind.objects.get(pk=1)
    list(kind.items.all())
    cached = Kind.cached.prefetch_related("items").get(pk=1)
    with django_assert_num_queries(0):
        assert cached.items.all()[0].kind is cached


def test_related_managers_of_a_cached_one(django_assert_num_queries: Queries) -> None:
    clock = ManualClock()
    with override_settings(ZOOCACHE={"CLOCK": clock}):
        shelf = Shelf.objects.create(name="one")
        shelf.books.create().readers.set([shelf])
        for expected in (2, 0):
            with django_assert_num_queries(expected):
                assert shelf.books.all()[0].shelf is shelf
                assert shelf.read.count() == 1
        clock.advance(11)
        with django_assert_num_queries(2):
            assert shelf.books.all()[0].shelf is shelf
            assert shelf.read.count() == 1
        # Those of a manager that is named are cached as that one is.
        kind = Kind.objects.get(pk=1)
        for expected in (1, 0):
            with django_assert_num_queries(expected):
                assert [item.kind is kind for item in kind.items(manager="cached").all()] == [True]


def test_generic_relations() -> None:
    populate("default")
    for model in (Note, Product):
        name = "subject" if model is Note else "notes"
        plain: Any = models.QuerySet(model).order_by("pk").prefetch_related(name)
        cached: Any = CachedQuerySet(model).order_by("pk").prefetch_related(name).cached()
        for _ in range(2):
            assert seen(list(cached)) == seen(list(plain))
        Product.objects.filter(pk=1).update(name="new")
        Note.objects.filter(pk=1).update(text="new")
        assert seen(list(cached)) == seen(list(plain))


HARMLESS: dict[str, Callable[[], Any]] = {
    "another row": lambda: Item.objects.get(pk=3).save(),
    "another row's update": lambda: Item.objects.filter(pk=3).update(stock=9),
    "a new row": lambda: Item.objects.create(),
    "another row's end": lambda: Item.objects.get(pk=3).delete(),
    "many of them": lambda: Item.objects.bulk_update([Item(pk=3, stock=5)], ["stock"]),
    "no row": lambda: Item.objects.filter(name="nobody").update(stock=9),
    "no row deleted": lambda: Item.objects.filter(name="nobody").delete(),
    "no row by hand": lambda: execute("UPDATE store_item SET stock = 1 WHERE id = 77"),
    "another database": lambda: Item.objects.using("other").create(pk=1, name="other"),
    "another database by hand": lambda: execute("DELETE FROM store_item", "other"),
    "another table": lambda: Badge.objects.create(),
    "what was rolled back": lambda: rolled_back(Item.objects.all().delete),
    "what is there already": lambda: Item.objects.get_or_create(pk=1),
    "labels of another": lambda: Item.objects.get(pk=3).badges.set([]),
}


def execute(sql: str, using: str = "default") -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


def rolled_back(write: Callable[[], Any]) -> None:
    with transaction.atomic():
        write()
        transaction.set_rollback(True)


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_change_them_leaves_rows_in_the_cache(
    name: str, django_assert_num_queries: Queries
) -> None:
    reads = [
        lambda: Item.cached.get(pk=1),
        lambda: list(Item.cached.filter(pk__in=[1, 2])),
        lambda: Item.cached.filter(pk=2, stock__gt=0).exists(),
        lambda: list(Item.cached.filter(pk=1).values_list("name")),
        lambda: list(Kind.cached.all()),
    ]
    first = [seen(read()) for read in reads]
    HARMLESS[name]()
    with django_assert_num_queries(0):
        assert [seen(read()) for read in reads] == first


def test_results_can_be_pickled() -> None:
    list(Item.cached.all())
    assert [item.pk for item in pickle.loads(pickle.dumps(Item.cached.order_by("pk")))] == [1, 2, 3]


def test_without_watching_nothing_is_cached(django_assert_num_queries: Queries) -> None:
    with override_settings(ZOOCACHE={"WATCH_DATABASE": False}), django_assert_num_queries(4):
        for _ in range(2):
            list(Item.cached.all())
            Item.cached.count()


def test_a_shared_storage_needs_no_key_to_sign_pickles(
    tmp_path: Path, django_assert_num_queries: Queries
) -> None:
    made = datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=timezone.utc)
    Item.objects.update(made=made, lasts=timedelta(microseconds=3))
    Item.objects.get(pk=1).badges.add(Badge.objects.create(name="b"))
    reads = [
        lambda: list(Item.cached.order_by("pk")),
        lambda: Item.cached.get(pk=1),
        lambda: list(Item.cached.prefetch_related("badges").select_related("kind")),
        lambda: list(Item.cached.annotate(n=Count("badges")).values_list()),
        lambda: Item.cached.aggregate(Sum("price"), Sum("lasts")),
    ]
    with override_settings(ZOOCACHE={"STORAGE_URL": f"lmdb://{tmp_path}"}):
        assert not default_engine.settings.secret_key
        first = [seen(read()) for read in reads]
        with django_assert_num_queries(0):
            assert [seen(read()) for read in reads] == first


async def _read() -> Any:
    return [
        [item.pk async for item in Item.cached.order_by("pk")],
        (await Item.cached.aget(pk=1)).name,
        await Item.cached.acount(),
        await Item.cached.filter(stock=1).aexists(),
        (await Item.cached.order_by("pk").afirst()).pk,
        await Item.cached.aaggregate(Sum("stock")),
        sorted(await Item.cached.ain_bulk()),
        [item.pk async for item in Item.cached.order_by("pk").aiterator()],
        [
            len(kind.items.all())
            async for kind in Kind.cached.prefetch_related("items").aiterator(chunk_size=2)
        ],
    ]


def test_asynchronous_reads(django_assert_num_queries: Queries) -> None:
    from asgiref.sync import async_to_sync

    expected = [[1, 2, 3], "i1", 3, True, 1, {"stock__sum": 6}, [1, 2, 3], [1, 2, 3], [1, 1, 1]]
    assert async_to_sync(_read)() == expected
    with django_assert_num_queries(0):
        assert async_to_sync(_read)() == expected
