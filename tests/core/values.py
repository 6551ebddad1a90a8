"""Values to test with, and an independent notion of when two of them are the same."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Hashable
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from hypothesis import strategies as st


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    pass


class Safe(str):
    __slots__ = ()


class Tagged(str):
    __slots__ = ("tag",)
    tag: Any


class Number(int):
    pass


class Basket(list):  # type: ignore[type-arg]
    pass


Point = namedtuple("Point", "x y")  # noqa: PYI024
Pair = namedtuple("Pair", "x y")  # noqa: PYI024


@dataclass
class Item:
    name: Any
    price: Any = None


@dataclass(frozen=True)
class Money:
    amount: Any
    currency: Any = "EUR"


@dataclass(slots=True)
class Slotted:
    a: Any
    b: Any = 0


ZONES = [None, dt.timezone.utc, dt.timezone(dt.timedelta(hours=1)), zoneinfo.ZoneInfo("UTC")]

floats = st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
plain_atoms = (
    st.sampled_from([None, True, False, 0, 1, "", "1", "i1;", b"", b"1", 2**63, -(2**63) - 1])
    | st.integers()
    | floats
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
stdlib_atoms = (
    st.decimals(allow_nan=False)  # a signalling NaN cannot be hashed
    | st.sampled_from([Decimal("1"), Decimal("1.0"), Decimal("-0"), Decimal("NaN")])
    | st.fractions()
    | st.complex_numbers()
    | st.uuids()
    | st.dates()
    | st.times(timezones=st.sampled_from(ZONES[:3]))
    | st.timedeltas()
    | st.datetimes(timezones=st.sampled_from(ZONES), allow_imaginary=True)
    | st.builds(
        lambda moment, fold: moment.replace(fold=fold),
        st.datetimes(timezones=st.just(zoneinfo.ZoneInfo("Europe/Paris"))),
        st.sampled_from([0, 1]),
    )
    | st.sampled_from([Color.RED, Color.BLUE, Level.LOW, Access.READ | Access.WRITE])
    | st.sampled_from([Name("1"), Number(1), range(3), range(0, 3, 1), range(1, 1), ...])
    | st.sampled_from([re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a")])
    | st.sampled_from([PurePosixPath("a"), int, Item, dt.timezone.utc])
)
hashables = st.recursive(
    plain_atoms | stdlib_atoms,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Money, inner)
    ),
    max_leaves=4,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=4)
    dicts = st.dictionaries(hashables, inner, max_size=4)
    return (
        lists
        | lists.map(tuple)
        | lists.map(deque)
        | lists.map(Basket)
        | lists.map(lambda items: deque(items, maxlen=5))
        | st.sets(hashables, max_size=4)
        | dicts
        | dicts.map(OrderedDict)
        | dicts.map(lambda items: defaultdict(list, items))
        | st.lists(hashables, max_size=4).map(Counter)
        | st.binary(max_size=4).map(bytearray)
        | st.builds(Pair, inner, inner)
        | st.builds(Item, inner, inner)
        | st.builds(Slotted, inner, inner)
    )


plain_values = st.recursive(
    plain_atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(plain_atoms, inner, max_size=4)
        | st.sets(plain_atoms, max_size=4)
        | st.frozensets(plain_atoms, max_size=4)
    ),
    max_leaves=12,
)
values = st.recursive(plain_atoms | stdlib_atoms, containers, max_leaves=10)


def essence(value: Any, ordered: bool = True) -> Hashable:
    """Everything about a value, written down so that ``==`` of two is identity of type and content.

    With `ordered`, the order of dicts counts.
    """
    kind = type(value)

    def of(item: Any) -> Hashable:
        return essence(item, ordered)

    if isinstance(value, (enum.Enum, type)) or value is None or value is ...:
        return (kind, value)
    if isinstance(value, float):
        return (kind, "nan") if math.isnan(value) else (kind, math.copysign(1, value), float(value))
    if isinstance(value, complex):
        return (kind, of(value.real), of(value.imag))
    if isinstance(value, Decimal):
        return (kind, value.as_tuple())
    if isinstance(value, (dt.datetime, dt.time)):
        zone = value.tzinfo
        return (kind, value.replace(tzinfo=None), value.fold, type(zone), repr(zone))
    if isinstance(value, (range, slice)):
        return (kind, value.start, value.stop, value.step)
    if is_dataclass(kind):
        return (kind, *(of(getattr(value, field.name)) for field in fields(kind)))
    if isinstance(value, dict):
        pairs = [(of(key), of(item)) for key, item in value.items()]
        in_order = ordered or isinstance(value, OrderedDict)
        factory = getattr(value, "default_factory", None)
        return (kind, factory, tuple(pairs) if in_order else frozenset(Counter(pairs).items()))
    if isinstance(value, (list, tuple, deque)):
        return (kind, getattr(value, "maxlen", None), *(of(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return (kind, frozenset(Counter(of(item) for item in value).items()))
    if isinstance(value, (bytes, bytearray)):
        return (kind, bytes(value))
    if isinstance(value, re.Pattern):
        return (kind, value.pattern, value.flags)
    if isinstance(value, (str, int)):
        plain = str.__str__(value) if isinstance(value, str) else int(value)
        return (kind, plain, tuple(sorted(getattr(value, "__dict__", {}).items())))
    assert isinstance(value, (dt.date, dt.timedelta, dt.tzinfo, uuid.UUID, Fraction, PurePosixPath))
    return (kind, value)
