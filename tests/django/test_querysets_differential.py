"""A cached queryset gives what Django's gives: the same values, types, instances and errors.

Random chains of the queryset's methods are made from a cached and from a plain manager, and what
they give is compared in everything that can be seen: twice, so that the second comes from the
cache, and again after each of some random writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import connections, models, transaction
from django.db.models import Avg, Count, F, Max, Min, Prefetch, Q, Sum, Value
from django.db.models.functions import Lower, TruncDay
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.django.instances import outcome, spoil
from tests.django.store.models import Badge, Gadget, Item, Kind, Part
from tests.servers import RedisServer
from zoocache_core import default_engine

pytestmark = pytest.mark.django_db(databases=["default", "postgres"])

NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)

Step = Callable[[Any, int], Any]

CHAIN: dict[str, Step] = {
    "filter": lambda q, n: q.filter(stock__gte=n),
    "filter pk": lambda q, n: q.filter(pk=n),
    "filter in": lambda q, n: q.filter(pk__in=[n, n + 1, 77]),
    "filter none": lambda q, n: q.filter(pk__in=[]),
    "filter null": lambda q, n: q.filter(kind=None),
    "filter text": lambda q, n: q.filter(name__startswith=f"i{n}"),
    "filter join": lambda q, n: q.filter(kind__name=f"k{n}"),
    "filter badge": lambda q, n: q.filter(badges__name="b1"),
    "filter date": lambda q, n: q.filter(made__date=date(2024, 2, 29)),
    "filter moment": lambda q, n: q.filter(made__gte=NOON + timedelta(hours=n)),
    "filter instance": lambda q, n: q.filter(kind=Kind(pk=n)),
    "filter huge": lambda q, n: q.filter(stock=2**40 + n),
    "filter bad": lambda q, n: q.filter(nothing=n),
    "Q": lambda q, n: q.filter(Q(stock=n) | Q(sold=True)),
    "exclude": lambda q, n: q.exclude(stock=n),
    "exclude badge": lambda q, n: q.exclude(badges__name="b1"),
    "order": lambda q, n: q.order_by("-price", "pk"),
    "order join": lambda q, n: q.order_by("kind__name", "pk"),
    "order F": lambda q, n: q.order_by(F("stock").desc(nulls_last=True), "pk"),
    "order list": lambda q, n: q.order_by(["pk"]),
    "order random names": lambda q, n: q.order_by("nothing"),
    "filter in F": lambda q, n: q.filter(stock__in=[F("stock"), n]),
    "filter in moments": lambda q, n: q.filter(made__in=[NOON + timedelta(hours=n), None]),
    "filter in rows": lambda q, n: q.filter(kind__in=Kind.cached.filter(pk=n)),
    "reverse": lambda q, n: q.reverse(),
    "only": lambda q, n: q.only("name", "price"),
    "defer": lambda q, n: q.defer("data", "made"),
    "slice": lambda q, n: q[n : n + 2],
    "slice from": lambda q, n: q[n:],
    "select_related": lambda q, n: q.select_related("kind"),
    "prefetch": lambda q, n: q.prefetch_related("badges", "kind__items"),
    "Prefetch": lambda q, n: q.prefetch_related(
        Prefetch("badges", Badge.objects.filter(pk__gte=n).prefetch_related("items"), "good")
    ),
    "Prefetch deep": lambda q, n: q.prefetch_related(
        Prefetch("kind__items", Item.objects.filter(pk__gte=n).order_by("pk"), "others"),
        Prefetch("badges__items", Item.objects.filter(pk__lte=n).order_by("pk")),
    ),
    "annotate": lambda q, n: q.annotate(number=Count("badges"), lower=Lower("name")),
    "annotate value": lambda q, n: q.annotate(
        number=Value(n, output_field=models.CharField() if n % 2 else models.IntegerField())
    ),
    "annotate day": lambda q, n: q.annotate(start=TruncDay("made")),
    "alias": lambda q, n: q.alias(double=F("stock") * 2).filter(double__gt=n),
    "distinct": lambda q, n: q.distinct(),
    "values": lambda q, n: q.values("pk", "price", "made"),
    "values all": lambda q, n: q.values(),
    "values join": lambda q, n: q.values("kind__name").annotate(Sum("stock")),
    "values_list": lambda q, n: q.values_list("pk", "lasts", "code"),
    "flat": lambda q, n: q.values_list("price", flat=True),
    "named": lambda q, n: q.values_list("pk", "hour", named=True),
    "union": lambda q, n: q.union(q.filter(stock=n)),
    "dates": lambda q, n: q.dates("day", "month"),
    "datetimes": lambda q, n: q.datetimes("made", "hour"),
    "none": lambda q, n: q.none(),
    "using": lambda q, n: q.using("default"),
    "all": lambda q, n: q.all(),
    "extra": lambda q, n: q.extra(select={"twice": "stock * 2"}),
    "taken out": lambda q, n: (q.query.add_q(Q(stock__lte=n)), q)[1],
}
END: dict[str, Step] = {
    "list": lambda q, n: list(q),
    "get": lambda q, n: q.get(pk=n),
    "get text": lambda q, n: q.get(name=f"i{n}"),
    "get any": lambda q, n: q.get(),
    "get Q": lambda q, n: q.get(Q(pk=n)),
    "count": lambda q, n: q.count(),
    "exists": lambda q, n: q.exists(),
    "first": lambda q, n: q.first(),
    "last": lambda q, n: q.last(),
    "index": lambda q, n: q[n],
    "aggregate": lambda q, n: q.aggregate(Sum("price"), most=Max("made"), least=Min("lasts")),
    "aggregate more": lambda q, n: q.aggregate(a=Avg("weight"), b=F("a") * 2),
    "aggregate Q": lambda q, n: q.aggregate(a=Count("pk", filter=Q(stock__gt=n))),
    "in_bulk": lambda q, n: q.in_bulk([n, n + 1]),
    "earliest": lambda q, n: q.earliest("made", "pk"),
    "latest": lambda q, n: q.latest("stock", "pk"),
    "iterator": lambda q, n: list(q.iterator(chunk_size=2)),
    "contains": lambda q, n: q.contains(Item(pk=n)),
    "len": lambda q, n: (len(q), bool(q), q.count(), q.exists()),
    "sum of two": lambda q, n: list(q | q.filter(stock=n)),
    "subquery": lambda q, n: list(
        Badge.objects.using(q.db).filter(items__in=q.values("pk")).order_by("pk")
    ),
}
WRITES: dict[str, Callable[[Any, int], Any]] = {
    "save": lambda items, n: items.get(pk=n % 4 + 1).save(),
    "update": lambda items, n: items.filter(pk__gt=n).update(stock=F("stock") + 1, sold=n % 2 == 1),
    "create": lambda items, n: items.create(name=f"i{n}", stock=n, kind_id=1),
    "delete": lambda items, n: items.filter(pk__gt=4).delete(),
    "rename": lambda items, n: Kind.cached.using(items.db).filter(pk=n).update(name=f"k{n + 1}"),
    "badge": lambda items, n: items.get(pk=n % 4 + 1).badges.set([n % 3 + 1]),
    "badge name": lambda items, n: Badge.objects.using(items.db).update(name=f"b{n}"),
}

numbers = st.integers(0, 5)
chains = st.tuples(
    st.lists(st.tuples(st.sampled_from(sorted(CHAIN)), numbers), max_size=4),
    st.tuples(st.sampled_from(sorted(END)), numbers),
    st.sampled_from([Item, Part, Gadget]),
)
programs = st.tuples(
    st.lists(chains, min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(sorted(WRITES)), numbers), max_size=3),
)


@pytest.fixture
def using() -> str:
    """The alias of the database."""
    return "default"


@pytest.fixture(autouse=True)
def population(db: None, using: str) -> None:
    kinds = [Kind.cached.using(using).create(pk=n, name=f"k{n}") for n in (1, 2)]
    badges = [Badge.objects.using(using).create(pk=n, name=f"b{n}") for n in (1, 2, 3)]
    for n in range(1, 5):
        model: Any = Item if n < 4 else Part
        item = model.objects.using(using).create(
            pk=n,
            name=f"i{n}",
            kind=kinds[n % 2] if n < 4 else None,
            stock=n % 3,
            price=Decimal(n) / 4,
            weight=n / 3,
            sold=n == 2,
            made=NOON + timedelta(hours=n) if n > 1 else None,
            day=date(2024, n, 1),
            hour=time(n, 30, 0, n),
            lasts=timedelta(days=n, microseconds=1),
            code=uuid.UUID(int=n) if n > 2 else None,
            data={"n": [n, {"deep": None}]},
            raw=bytes([0, n]),
            picture=f"pictures/{n}.png",
        )
        item.badges.set(badges[: n % 4])

    with connections[using].cursor() as cursor:
        # Keys were given, which a sequence knows nothing of.
        for sql in connections[using].ops.sequence_reset_sql(no_style(), [Item]):
            cursor.execute(sql)


def read(items: Any, chain: Any) -> Any:
    steps, (end, number), _ = chain
    # A query that the database refuses must not end the transaction of the test.
    with transaction.atomic(items.db):
        queryset = items.all()
        for name, n in steps:
            queryset = CHAIN[name](queryset, n)
        return END[end](queryset, number)


def compare(using: str, chain: Any) -> None:
    model = chain[2]
    plain = outcome(lambda: read(model.objects.using(using), chain))
    for _ in range(2):
        # What a caller does to what he was given is his own business.
        assert outcome(lambda: read(model.cached.using(using), chain), spoil) == plain


def run_programs(using: str, amount: int) -> None:
    @given(programs)
    @settings(deadline=None, max_examples=amount, suppress_health_check=list(HealthCheck))
    def check(program: Any) -> None:
        reads, writes = program
        for name, n in [("", 0), *writes]:
            if name:
                WRITES[name](Item.objects.using(using), n)
            for chain in reads:
                compare(using, chain)

    check()
    assert default_engine.stats().hits > amount


def test_cached_querysets_give_what_plain_ones_give(using: str) -> None:
    run_programs(using, 150)


@pytest.mark.parametrize("using", ["postgres"])
def test_cached_querysets_on_postgresql(using: str) -> None:
    run_programs(using, 60)


@pytest.mark.parametrize("storage", ["lmdb", "redis"])
def test_cached_querysets_with_shared_storage(
    storage: str, using: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    url = f"lmdb://{tmp_path}" if storage == "lmdb" else redis_server.url
    with override_settings(ZOOCACHE={"STORAGE_URL": url, "PREFIX": "querysets"}):
        run_programs(using, 50)


@pytest.mark.parametrize("step", sorted(CHAIN))
def test_each_method_with_each_ending(step: str, using: str) -> None:
    for end in END:
        for n in (1, 3):
            compare(using, ([(step, n)], (end, n), Item))


@pytest.mark.parametrize("using", ["postgres"])
def test_each_method_on_postgresql(using: str) -> None:
    for step in CHAIN:
        for end in ("list", "aggregate", "get"):
            compare(using, ([(step, 1)], (end, 1), Item))
