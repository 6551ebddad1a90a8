"""Two querysets that ask for different things never share what is cached."""

from __future__ import annotations

import copy
import pickle
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from json import JSONDecoder
from typing import Any

import pytest
from django.db import models
from django.db.models import CharField, Count, DecimalField, F, IntegerField, Max, Q, Sum, Value
from django.db.models.lookups import Exact
from django.test import override_settings
from django.test.utils import register_lookup
from django.utils import translation
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.django.instances import outcome
from tests.django.store.models import Badge, Book, Item, Kind, Loud, Offer, Shelf
from zoocache_core import default_engine
from zoocache_django import ZooCacheManager
from zoocache_django.queries import columns, plans
from zoocache_django.queries.columns import field_text, is_plain
from zoocache_django.queries.recipes import EMPTY, followed_by
from zoocache_django.querysets import CachedQuerySet

pytestmark = pytest.mark.django_db

Queries = Callable[..., Any]


@pytest.fixture(autouse=True)
def items(db: None) -> None:
    kind = Kind.objects.create(pk=1, name="k1")
    for n in (1, 2, 3):
        Item.objects.create(
            pk=n, name=f"i{n % 2}", stock=3 - n, kind=kind if n < 3 else None, sold=n == 2
        )


# Lookups that make the same SQL in several ways, and values that are equal or look alike.
LOOKUPS = (
    *("pk", "id", "stock", "stock__exact", "stock__gte", "stock__in", "pk__in", "kind", "kind_id"),
    *("kind__isnull", "kind__pk", "kind__name", "name", "name__isnull", "name__in", "sold"),
    *("sold__isnull", "name__startswith", "name__istartswith", "price", "price__lt"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, "1", "i1", "", "True", "None", 1.0, Decimal("1.0"), Decimal(1)),
    *([], [1], (1,), [1, 2], (2, 1), [True], ["1"], [None], [1, None], [[1]], {1}, range(2)),
    [F("stock"), 1],
)
conditions = st.lists(
    st.tuples(st.sampled_from(LOOKUPS), st.sampled_from(VALUES)), min_size=1, max_size=3
).map(dict)
calls = st.one_of(
    st.tuples(st.sampled_from(["filter", "exclude"]), conditions),
    st.tuples(st.just("order_by"), st.sampled_from([("pk",), ("-pk",), ("stock", "pk"), ()])),
    st.tuples(st.just("only"), st.sampled_from([("name",), ("stock", "name"), ("name", "stock")])),
    st.tuples(st.just("values_list"), st.sampled_from([("pk",), ("stock",), ("pk", "name")])),
    st.tuples(
        st.just("slice"), st.tuples(*[st.sampled_from([None, 0, 1, 2, True])] * 2).map(lambda p: p)
    ),
)
ends: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "list": lambda q, given: list(q),
    "count": lambda q, given: q.count(),
    "exists": lambda q, given: q.exists(),
    "get": lambda q, given: q.get(**given),
    "first": lambda q, given: q.first(),
    "aggregate": lambda q, given: q.aggregate(Sum("stock"), top=Max("pk")),
    "as a condition": lambda q, given: list(Badge.objects.filter(items__in=q)),
}


def asked(manager: Any, made: Any, end: str, given: dict[str, Any]) -> Any:
    queryset = manager.all()
    for name, written in made:
        if name == "slice":
            queryset = queryset[slice(*written)]
        elif isinstance(written, dict):
            queryset = getattr(queryset, name)(**written)
        else:
            queryset = getattr(queryset, name)(*written)
    return ends[end](queryset, given)


@given(st.lists(calls, max_size=3), st.sampled_from(sorted(ends)), conditions)
@settings(
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_queryset_gives_what_it_asks_for_whatever_was_asked_before(
    made: Any, end: str, given: dict[str, Any]
) -> None:
    # One cache for all examples, so that each of them meets what the others have left.
    plain = outcome(lambda: asked(Item.objects, made, end, given))
    for _ in range(2):
        assert outcome(lambda: asked(Item.cached, made, end, given)) == plain


def keys(queryset: Any) -> list[Any]:
    return [item.pk for item in queryset]


def test_the_order_in_which_conditions_are_written_is_not_that_of_the_parameters() -> None:
    assert keys(Item.cached.filter(stock=1, pk=2)) == [2]
    assert keys(Item.cached.filter(pk=1, stock=2)) == [1]


def test_what_makes_the_same_sql_with_one_value_may_not_with_another() -> None:
    assert keys(Item.cached.filter(kind=None)) == [3]
    assert keys(Item.cached.filter(kind__isnull=True)) == [3]
    assert keys(Item.cached.filter(kind=True).order_by("pk")) == [1, 2]
    assert keys(Item.cached.filter(kind=None)) == [3]


def test_calls_of_all_change_nothing(django_assert_num_queries: Queries) -> None:
    keys(Item.cached.filter(stock=1))
    with django_assert_num_queries(0):
        keys(Item.cached.all().filter(stock=1).all())


def test_conditions_in_two_calls_are_not_those_in_one() -> None:
    item = Item.objects.get(pk=1)
    item.badges.set([Badge.objects.create(pk=1, name="b1"), Badge.objects.create(pk=2, name="b2")])
    assert keys(Item.cached.filter(badges__pk=1).filter(badges__name="b2")) == [1]
    assert keys(Item.cached.filter(badges__pk=1, badges__name="b2")) == []
    # So does what related managers do, of which the calls show nothing.
    sticky: Any = Item.cached.all()._next_is_sticky()
    assert keys(sticky.filter(badges__pk=1).filter(badges__name="b2")) == []


@contextmanager
def replaced(lookup: Any) -> Iterator[None]:
    field: Any = models.UUIDField
    field.register_lookup(lookup, "exact")
    try:
        yield
    finally:
        field._unregister_lookup(lookup, "exact")


def test_a_lookup_of_the_application_is_compiled_each_time() -> None:
    operator = "="

    class Compared(Exact):  # type: ignore[type-arg]
        def as_sql(self, compiler: Any, connection: Any) -> Any:
            left, params = self.process_lhs(compiler, connection)
            right, more = self.process_rhs(compiler, connection)
            return f"{left} {operator} {right}", [*params, *more]

    code = uuid.UUID(int=7)
    Item.objects.filter(pk=2).update(code=code)
    with replaced(Compared):
        # With this value Django asks for something else, in which the lookup has no part.
        assert keys(Item.cached.filter(code=None).order_by("pk")) == [1, 3]
        assert keys(Item.cached.filter(code=code).order_by("pk")) == [2]
        operator = "<>"
        assert keys(Item.cached.filter(code=code).order_by("pk")) == []


def test_fields_that_convert_in_ways_of_their_own_are_not_taken_for_others() -> None:
    assert field_text(Loud._meta.get_field("word")) is None
    assert field_text(models.JSONField(decoder=JSONDecoder)) is None
    assert field_text(models.JSONField()) == "JSONField"


class Doubled(models.Transform):
    lookup_name = "doubled"
    bilateral = True
    template = "(%(expressions)s * 2)"


NOT_PLAIN: dict[str, Callable[[], Any]] = {
    "an annotation": lambda: Item.objects.annotate(x=F("stock")),
    "a union": lambda: Item.objects.filter(pk=1).union(Item.objects.filter(pk=2)),
    "another order each time": lambda: Item.objects.order_by("?"),
    "an expression to order by": lambda: Item.objects.order_by(F("stock")),
    "the order of another model": lambda: Item.objects.order_by("kind"),
    "a part of a date": lambda: Item.objects.filter(made__year=2024),
    "a moment": lambda: Item.objects.filter(made="2024-01-01 00:00Z"),
    "a column": lambda: Item.objects.filter(stock=F("pk")),
    "a subquery": lambda: Item.objects.filter(kind__in=Kind.cached.all()),
    "a transform": lambda: Item.objects.filter(stock__doubled=2),
    "part of a document": lambda: Item.objects.filter(data__n=1),
    "an exists": lambda: Item.objects.filter(models.Exists(Kind.cached.all())),
    "raw conditions": lambda: Item.objects.extra(where=["1 = 1"]),
    "an inner condition": lambda: Item.objects.filter(Q(pk=1) | Q(made="2024-01-01 00:00Z")),
    "another column's conversion": lambda: Loud.cached.filter(word="x"),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_says_more_than_its_values(name: str) -> None:
    with register_lookup(IntegerField, Doubled):
        assert not is_plain(NOT_PLAIN[name]().query)
    assert is_plain(Item.objects.filter(pk=1, name__in=["a"]).order_by("-stock").query)


def test_lists_of_what_is_no_value() -> None:
    assert keys(Item.cached.filter(stock__in=[1, 2]).order_by("pk")) == [1, 2]
    assert keys(Item.cached.filter(stock__in=[F("pk") - 1, 2]).order_by("pk")) == [1, 2]


def test_calls_are_told_apart_where_fields_are_named_like_methods() -> None:
    def recipe(*steps: dict[str, int]) -> Any:
        found: Any = EMPTY
        for step in steps:
            found = followed_by(found, "filter", (), step)
        return found

    assert followed_by(EMPTY, "order_by", (F("a"),), {}) is None
    assert recipe({"a": 1}, {"filter": 2, "b": 3}) != recipe({"a": 1, "filter": 2}, {"b": 3})


def test_lists_are_read_when_the_queryset_is_evaluated() -> None:
    wanted = [1]
    plain, cached = Item.objects.filter(pk__in=wanted), Item.cached.filter(pk__in=wanted)
    wanted[0] = 2
    assert keys(cached) == keys(plain)
    assert keys(Item.cached.filter(pk__in=[1])) == [1]
    assert keys(Item.cached.filter(pk__in=[2])) == [2]


def test_a_copy_goes_its_own_way() -> None:
    original = Item.cached.filter(stock__gte=0)
    assert len(original) == 3
    changed = copy.deepcopy(original.all())
    changed.query.add_q(Q(stock=2))
    assert keys(changed) == [1]
    unpickled = pickle.loads(pickle.dumps(Item.cached.filter(pk=2)))
    assert keys(unpickled.all()) == [2]
    assert len(Item.cached.all()) == 3
    other = Item.cached.all()
    other.query = pickle.loads(pickle.dumps(Item.objects.filter(pk=3).query))
    assert keys(other) == [3]
    assert keys(Item.cached.filter(stock__gte=0).order_by("pk")) == [1, 2, 3]


def test_parameters_that_are_translated_or_that_are_expressions() -> None:
    def day() -> list[Any]:
        named = Value(gettext_lazy("Monday"), output_field=CharField())
        rows = Item.cached.annotate(weekday=named).filter(pk=1)
        return [
            *rows.values_list("weekday", flat=True),
            *rows.aggregate(Max("weekday")).values(),
            *Item.cached.aggregate(day=Max(named)).values(),
        ]

    for language, expected in (("en", "Monday"), ("de", "Montag"), ("en", "Monday")):
        with translation.override(language):
            assert day() == [expected] * 3


EXPRESSIONS: dict[str, Callable[[], Any]] = {
    "text": lambda: Value("stock"),
    "column": lambda: F("stock"),
    "one": lambda: Value(1),
    "yes": lambda: Value(True),
    "one as text": lambda: Value("1"),
    "one as decimal": lambda: Value(Decimal("1.0")),
    "one with other digits": lambda: Value(Decimal("1.00")),
    "nothing": lambda: Value(None, output_field=IntegerField()),
    "a decimal column": lambda: models.ExpressionWrapper(
        F("stock"), output_field=DecimalField(max_digits=5, decimal_places=2)
    ),
    "a text column": lambda: models.ExpressionWrapper(F("name"), output_field=CharField()),
    "a column of dates": lambda: models.ExpressionWrapper(
        F("name"), output_field=models.DateField()
    ),
    "an expression": lambda: F("stock") * 1,
    "a condition": lambda: models.ExpressionWrapper(Q(stock=1), output_field=models.BooleanField()),
    "another condition": lambda: models.ExpressionWrapper(
        Q(stock=True), output_field=models.BooleanField()
    ),
}


def test_expressions_that_look_alike() -> None:
    for _ in range(2):
        for expression in EXPRESSIONS.values():
            for read in (
                lambda manager, one: list(manager.annotate(x=one()).values_list("x", flat=True)),
                lambda manager, one: list(manager.filter(stock=one()).order_by("pk")),
                lambda manager, one: manager.annotate(x=one()).aggregate(Max("x")),
                lambda manager, one: manager.aggregate(x=Max(one())),
            ):
                plain = outcome(lambda: read(Item.objects, expression))  # noqa: B023
                assert outcome(lambda: read(Item.cached, expression)) == plain  # noqa: B023


def changed(aggregate: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(aggregate, name, value)
    return aggregate


AGGREGATES: dict[str, Callable[[], dict[str, Any]]] = {
    "count": lambda: {"x": Count("name")},
    "distinct": lambda: {"x": Count("name", distinct=True)},
    "distinct by another name": lambda: {"z": Count("name", distinct=True)},
    "changed afterwards": lambda: {"x": changed(Count("name"), distinct=True)},
    "filtered": lambda: {"x": Count("name", filter=Q(stock__gt=1))},
    "of rows": lambda: {"x": Count("*")},
    "of an expression": lambda: {"x": Count(F("name"))},
    "of a constant": lambda: {"x": Count(Value("name"))},
    "over a join": lambda: {"x": Count("kind__name")},
    "over another join": lambda: {"x": Count("badges__name")},
    "of each other": lambda: {"y": Sum("stock"), "x": F("y") * 2},
    "sum": lambda: {"x": Sum("stock")},
    "sum or nothing": lambda: {"x": Sum("stock", default=0)},
    "sum as decimal": lambda: {
        "x": Sum("stock", output_field=DecimalField(max_digits=5, decimal_places=2))
    },
    "maximum": lambda: {"x": Max("stock")},
    "another name": lambda: {"z": Max("stock")},
    "no aggregate": lambda: {"x": F("stock")},
    "no field": lambda: {"x": Max("nothing")},
    "no expression": lambda: {"x": "stock"},
    "subquery": lambda: {"x": Max(models.Subquery(Kind.objects.values("name")[:1]))},
    "another subquery": lambda: {"x": Max(models.Subquery(Kind.objects.values("pk")[:1]))},
    "none": dict,
}
AGGREGATED: dict[str, Callable[[Any], Any]] = {
    "all": lambda q: q.all(),
    "some": lambda q: q.filter(stock__gt=0),
    "one": lambda q: q.filter(stock=2),
    "sliced": lambda q: q.order_by("pk")[:2],
    "union": lambda q: q.filter(pk=1).union(q.filter(pk=2)),
    "distinct": lambda q: q.values("name").distinct(),
    "grouped": lambda q: q.values("name").annotate(number=Count("pk")),
    "annotated": lambda q: q.annotate(stock2=F("stock")),
    "nothing": lambda q: q.none(),
}


def test_aggregates_that_look_alike() -> None:
    for _ in range(2):
        for name, rows in AGGREGATED.items():
            for kind, made in AGGREGATES.items():
                plain = outcome(lambda: rows(Item.objects).aggregate(**made()))  # noqa: B023
                found = outcome(lambda: rows(Item.cached).aggregate(**made()))  # noqa: B023
                assert found == plain, (name, kind)


def test_aggregates_over_two_relations_with_one_table() -> None:
    shelves = [Shelf.objects.create(name=name) for name in ("a", "b")]
    Book.objects.create(shelf=shelves[0]).readers.set([shelves[1]])
    for _ in range(2):
        for relation, expected in (("shelf", "a"), ("readers", "b")):
            assert Book.objects.aggregate(name=Max(f"{relation}__name")) == {"name": expected}


def test_rows_that_cannot_be_selected_can_be_counted() -> None:
    wrong = Item.cached.only("name").select_related("kind")
    plain = Item.objects.only("name").select_related("kind")
    assert outcome(lambda: list(wrong)) == outcome(lambda: list(plain))
    for _ in range(2):
        assert (wrong.count(), wrong.exists(), wrong.aggregate(Sum("stock"))) == (
            *(3, True),
            {"stock__sum": 3},
        )


def test_aggregates_come_from_the_cache(django_assert_num_queries: Queries) -> None:
    reads = [
        lambda: Item.cached.filter(stock=1).aggregate(Sum("stock"), n=Count("*")),
        lambda: Item.cached.aggregate(n=Count("name", distinct=True)),
        lambda: Item.cached.aggregate(n=Max("kind__name")),
        lambda: Item.cached.annotate(x=F("stock") + 1).aggregate(Max("x")),
    ]
    first = [read() for read in reads]
    with django_assert_num_queries(0):
        assert [read() for read in reads] == first


@contextmanager
def field_of_class(model: Any, name: str, kind: type) -> Iterator[None]:
    """As after a change of the application, with the same store."""
    field = model._meta.get_field(name)
    before = type(field)
    try:
        field.__class__ = kind
        start_again()
        yield
    finally:
        field.__class__ = before
        start_again()


def start_again() -> None:
    plans.forget()
    for known in (plans._fields_of, columns._column_text):
        known.cache_clear()


def test_what_was_converted_by_another_field_is_not_used() -> None:
    def read() -> Any:
        most = Item.cached.aggregate(m=Max("price"))["m"]
        return type(most), type(Item.cached.get(pk=1).price), type(Item.cached.all()[0].data)

    assert read() == (Decimal, Decimal, dict)
    with field_of_class(Item, "price", models.FloatField):
        assert read() == (float, int, dict)
    with field_of_class(Item, "data", models.TextField):
        assert read() == (Decimal, Decimal, str)


def test_what_was_converted_by_another_field_of_another_model_is_not_used() -> None:
    Kind.cached.update(name="2024-02-29")

    def read() -> Any:
        rows = Item.cached.filter(pk=1)
        return rows.values_list("kind__name").get(), rows.select_related("kind").get().kind.name

    assert read() == (("2024-02-29",), "2024-02-29")
    with field_of_class(Kind, "name", models.DateField):
        assert read() == ((date(2024, 2, 29),), date(2024, 2, 29))


def test_another_release_of_django_converts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = default_engine.stats().misses
    for version in ("5.2.1", "5.2.2"):
        monkeypatch.setattr("django.get_version", lambda: version)  # noqa: B023
        plans.forget()
        keys(Item.cached.all())
    assert default_engine.stats().misses == misses + 2


@pytest.mark.django_db(databases=["default", "other"])
def test_databases_are_told_apart() -> None:
    Item.objects.using("other").create(pk=1, name="other")
    for using, expected in (("default", "i1"), ("other", "other"), ("default", "i1")):
        found = Item.cached.using(using)
        assert found.get(pk=1).name == expected
        assert found.annotate(x=F("name")).get(pk=1).x == expected
        assert found.count() == (3 if using == "default" else 1)
        assert Item.cached.db_manager(using).get(pk=1).name == expected


def test_settings_of_time_zones_are_told_apart() -> None:
    Item.objects.filter(pk=1).update(made=datetime(2024, 1, 1, tzinfo=timezone.utc))
    read = lambda: (Item.cached.get(pk=1).made, Item.cached.aggregate(m=Max("made"))["m"])  # noqa: E731
    assert all(moment.tzinfo for moment in read())
    with override_settings(USE_TZ=False):
        assert not any(moment.tzinfo for moment in read())


# Querysets and managers of the application

tenant = 0


def _filter(self: Any, *args: Any, **kwargs: Any) -> Any:
    return models.QuerySet.filter(self, *args, stock=tenant, **kwargs)


def _filter_or_exclude(self: Any, negate: bool, args: Any, kwargs: Any) -> Any:
    narrowed = {**kwargs, "stock": tenant}
    original: Any = models.QuerySet
    return original._filter_or_exclude(self, negate, args, narrowed)


def _fetch_all(self: Any) -> None:
    if self._result_cache is None:
        self.query.add_q(Q(stock=tenant))
    super(self.tenants, self)._fetch_all()


def _count(self: Any) -> int:
    return models.QuerySet.count(models.QuerySet.filter(self, stock=tenant))


METHODS = {
    "filter": _filter,
    "_filter_or_exclude": _filter_or_exclude,
    "_fetch_all": _fetch_all,
    "count": _count,
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("above", [False, True])
def test_what_a_queryset_of_the_application_does_is_done(name: str, above: bool) -> None:
    global tenant
    mixin = type("Mixin", (models.QuerySet,), {name: METHODS[name]})
    kind = type("Kind", (mixin, CachedQuerySet) if above else (CachedQuerySet, mixin), {})
    kind.tenants = mixin  # type: ignore[attr-defined]
    Item.objects.create(pk=4, stock=0)
    manager = ZooCacheManager.from_queryset(kind)()
    manager.model = Item
    for _ in range(2):
        for current, expected in ((0, [3, 4]), (1, [2])):
            tenant = current
            found = manager.filter(pk__gt=0)
            if name == "count":
                assert found.count() == len(expected)
            else:
                assert sorted(keys(found)) == expected


def test_a_manager_beside_it_leaves_rows_out() -> None:
    global tenant

    class OfTenant(models.Manager[Any]):
        def get_queryset(self) -> Any:
            return super().get_queryset().filter(stock=tenant)

    class Both(ZooCacheManager, OfTenant):
        pass

    manager = Both()
    manager.model = Item
    for tenant in (1, 2):
        assert keys(manager.all()) == [3 - tenant]


def test_a_manager_from_a_plain_queryset(django_assert_num_queries: Queries) -> None:
    class Cheap(models.QuerySet[Any, Any]):
        def cheap(self) -> Any:
            return self.filter(stock__lt=2)

    manager = ZooCacheManager.from_queryset(Cheap)(ttl=60)
    manager.model = Item
    for expected in (1, 0):
        with django_assert_num_queries(expected):
            assert sorted(keys(manager.cheap())) == [2, 3]


def test_a_queryset_of_a_class_made_on_the_way_can_be_pickled() -> None:
    manager = ZooCacheManager.from_queryset(Plain)()
    manager.model = Item
    assert sorted(keys(pickle.loads(pickle.dumps(manager.filter(stock__lt=2))))) == [2, 3]


class Plain(models.QuerySet[Any, Any]):
    pass


def test_prefixes_and_managers_are_kept_apart() -> None:
    Offer.objects.create(price=5)
    one = Offer.objects.all().cached(prefix="one")
    list(one)
    misses = default_engine.stats().misses
    list(Offer.objects.all().cached(prefix="two"))
    list(Offer.objects.all().cached(ttl=60, prefix="one"))
    assert default_engine.stats().misses == misses + 2
    list(one.all())
    assert default_engine.stats().misses == misses + 2
    for prefix in ("one", "two"):
        manager = ZooCacheManager(prefix=prefix)
        manager.model = Item
        list(manager.filter(pk=1))
    assert default_engine.stats().misses == misses + 4
