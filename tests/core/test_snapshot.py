from __future__ import annotations

import asyncio
import collections
import copy
import datetime as dt
import decimal
import functools
import io
import marshal
import math
import pickle
import re
import sqlite3
import threading
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.values import (
    Access,
    Basket,
    Color,
    Item,
    Level,
    Money,
    Name,
    Number,
    Pair,
    Point,
    Safe,
    Slotted,
    Tagged,
    essence,
    plain_values,
    values,
)
from zoocache_core.errors import UnsupportedValue
from zoocache_core.fidelity import is_same
from zoocache_core.snapshot import snapshot


def copies(value: Any, count: int = 3) -> list[Any]:
    """What that many hits would return."""
    held, thaw = snapshot(value)
    return [held if thaw is None else thaw(held) for _ in range(count)]


def mutable_parts(value: Any) -> Iterator[Any]:
    """All objects inside a value that can be changed."""
    if isinstance(value, (list, dict, set, bytearray, deque, Item, Slotted)):
        yield value
    if isinstance(value, dict):
        parts: Any = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        parts = list(value)
    elif isinstance(value, (Item, Money, Slotted)):
        parts = [getattr(value, name) for name in value.__dataclass_fields__]
    else:
        parts = []
    for part in parts:
        yield from mutable_parts(part)


@settings(max_examples=400)
@given(values | plain_values)
def test_a_hit_is_the_same_in_value_and_type(value: Any) -> None:
    before = essence(value)
    for fresh in copies(value):
        assert essence(fresh) == before
    assert essence(value) == before


@settings(max_examples=400)
@given(values | plain_values)
def test_no_two_hits_share_anything_that_can_be_changed(value: Any) -> None:
    held, thaw = snapshot(value)
    alive = [value, held, *(thaw(held) for _ in range(3))] if thaw is not None else [value]
    parts = [{id(part) for part in mutable_parts(one)} for one in alive]
    assert len(set().union(*parts)) == sum(map(len, parts))


@given(st.lists(st.integers()), st.dictionaries(st.text(), st.lists(st.integers())))
def test_changing_what_was_stored_or_returned_does_not_change_the_cache(
    numbers: list[int], table: dict[str, list[int]]
) -> None:
    for value in (numbers, table, [table], {"table": table}, [numbers, numbers], (numbers,)):
        original = copy.deepcopy(value)
        held, thaw = snapshot(value)
        assert thaw is not None
        first = thaw(held)
        numbers.append(1)
        table["new"] = [1]
        for part in mutable_parts(first):
            part.clear()
        assert thaw(held) == original
        numbers.pop()
        del table["new"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1, 1.5, 1j, "text", b"bytes", ..., decimal.Decimal("1.0"), Path("a")),
        *(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.date.min),
        *(Color.RED, Level.LOW, Access.READ | Access.WRITE, int, len, math, range(3)),
        *((), (1, ("a", None)), frozenset({1, (2,)}), Point(1, "a"), Money(1), Money((1, "a"))),
        *(re.compile("a"), Safe("<b>"), (Safe("<b>"), 1)),
    ],
)
def test_what_cannot_change_is_handed_out_as_it_is(value: Any) -> None:
    held, thaw = snapshot(value)
    assert held is value
    assert thaw is None


@dataclass(frozen=True)
class Measured:
    sides: tuple[int, ...]

    @functools.cached_property
    def facts(self) -> list[int]:
        return [sum(self.sides)]


@dataclass(frozen=True)
class Extended(Money):
    pass


@dataclass(frozen=True)
class FrozenDict(dict):  # type: ignore[type-arg]
    pass


def test_a_frozen_dataclass_may_still_change() -> None:
    extended = Extended(1)
    extended.__dict__["notes"] = []
    frozen_dict = FrozenDict()
    frozen_dict["a"] = 1
    for value in (Money([1]), Measured((1, 2)), extended, frozen_dict):
        assert snapshot(value)[1] is not None
    one, two, *_ = copies(Measured((1, 2)))
    one.facts.append(5)
    assert two.facts == [3]
    assert copies(extended)[0].__dict__ == extended.__dict__


@pytest.mark.parametrize(
    ("value", "thaw"),
    [
        ([1, "a", decimal.Decimal(1)], list.copy),
        ({"a": 1, (1, 2): dt.date.min}, dict.copy),
        ({1, "a", Color.RED}, set.copy),
        (bytearray(b"a"), bytearray.copy),
        (deque([1], 3), deque.copy),
        (defaultdict(int, a=1), defaultdict.copy),
        ([[[1]]], marshal.loads),
        (([1],), marshal.loads),
        ({"a": [{"b": 1}, [{}]]}, marshal.loads),
        (Item("a"), pickle.loads),
        ([[Item("a")]], pickle.loads),
        ([[[decimal.Decimal(1)]]], pickle.loads),
    ],
)
def test_the_quickest_way_that_is_right_is_chosen(value: Any, thaw: Any) -> None:
    assert snapshot(value)[1] is thaw


class Bytes(bytes):
    pass


def test_a_text_with_attributes_can_change() -> None:
    named, tagged = Name("a"), Tagged("a")
    named.notes = tagged.tag = [1]  # type: ignore[attr-defined]
    assert copies(named)[0].notes == copies(tagged)[0].tag == [1]
    assert copies(named)[0].notes is not named.notes  # type: ignore[attr-defined]
    assert copies(tagged)[0].tag is not tagged.tag


def test_marshal_is_kept_from_what_it_would_change() -> None:
    # It writes anything with a buffer as bytes, without a word.
    for inner in (bytearray(b"a"), Bytes(b"a"), Name("a"), Basket([1])):
        for value in ([[inner]], {"a": [[inner]]}, ([inner],), [{"a": [inner]}]):
            assert essence(copies(value)[0]) == essence(value)


def test_one_object_in_two_places_stays_one_object() -> None:
    for row in ([1], {"a": 1}, {1}, [[1]], Item("a")):
        for fresh in copies([row, row]):
            assert fresh[0] is fresh[1]
            assert fresh[0] is not row
        for fresh in copies({"a": row, "b": row, "c": (row,)}):
            assert fresh["a"] is fresh["b"] is fresh["c"][0]


def test_a_value_that_contains_itself() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    looped: dict[str, Any] = {"me": endless}
    looped["self"] = looped
    (fresh,) = copies(endless, 1)
    assert fresh[0] == 1
    assert fresh[1] is fresh
    (table,) = copies(looped, 1)
    assert table["self"] is table
    assert table["me"][1] is table["me"]


def local_classes() -> Any:
    @dataclass
    class Point:
        x: Any

    class Money(collections.namedtuple("Money", "amount")):  # noqa: PYI024
        __slots__ = ()

    class Plain:
        def __init__(self, x: Any) -> None:
            self.x = x

    return Point, Money, Plain


def test_instances_of_classes_made_in_functions() -> None:
    point, money, plain = local_classes()
    fresh = copies(point([1]))[0]
    assert type(fresh) is point
    assert fresh.x == [1]
    assert copies(money([1]))[0] == money([1])
    assert copies([plain([1])])[0][0].x == [1]


def test_collections_keep_what_makes_them_special() -> None:
    for value in (
        OrderedDict([("b", [1]), ("a", 2)]),
        Counter("abca"),
        deque([[1]], maxlen=1),
        defaultdict(list, {"a": [1]}),
        defaultdict(lambda: 5, {"a": 1}),
        collections.ChainMap({"a": [1]}, {"b": [2]}),
        types.SimpleNamespace(a=[1]),
        io.BytesIO(b"abc"),
    ):
        fresh = copies(value)[0]
        assert type(fresh) is type(value)
        assert fresh is not value
    assert list(copies(OrderedDict([("b", [1]), ("a", 2)]))[0]) == ["b", "a"]
    assert list(copies({"b": [1], "a": 2, "c": []})[0]) == ["b", "a", "c"]
    assert copies(deque([[1]], maxlen=1))[0].maxlen == 1
    assert copies(defaultdict(list, {"a": [1]}))[0]["new"] == []
    assert copies(defaultdict(lambda: 5, {"a": 1}))[0]["new"] == 5
    assert copies(io.BytesIO(b"abc"))[0].read() == b"abc"


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def async_generator() -> Any:
    yield 1


class Source:
    def __iter__(self) -> Source:
        return self

    def __next__(self) -> int:
        return 1


def counter_closure() -> Callable[[], int]:
    total: list[int] = []

    def count() -> int:
        total.append(1)
        return len(total)

    return count


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (generator, "builtins.generator", "use it up"),
        (lambda: iter([1]), "builtins.list_iterator", "use it up"),
        (lambda: map(str, [1]), "builtins.map", "use it up"),
        (Source, "tests.core.test_snapshot.Source", "use it up"),
        (async_generator, "builtins.async_generator", "awaited once"),
        (threading.Lock, r"_thread\.lock", "cannot pickle"),
        (lambda: [threading.Lock()], "builtins.list", "cannot pickle"),
        (lambda: sqlite3.connect(":memory:"), "sqlite3.Connection", "cannot pickle"),
        (lambda: {}.keys(), "builtins.dict_keys", "cannot pickle"),
        (lambda: memoryview(b"a"), "builtins.memoryview", "cannot pickle"),
        (counter_closure, "builtins.function", "not the same"),
        (lambda: [counter_closure()], "builtins.list", "not the same"),
        (lambda: defaultdict(counter_closure(), a=1), "collections.defaultdict", "not the same"),
    ],
)
def test_what_cannot_be_copied_is_refused_by_name(
    make: Callable[[], Any], name: str, reason: str
) -> None:
    value = make()
    with pytest.raises(UnsupportedValue, match=f"a value of type {name} cannot be .*{reason}"):
        snapshot(value)
    if hasattr(value, "close"):
        value.close()


async def test_what_is_awaited_is_refused() -> None:
    pending = coroutine()
    with pytest.raises(UnsupportedValue, match=r"builtins\.coroutine .* it can be aw"):
        snapshot(pending)
    task = asyncio.ensure_future(pending)
    with pytest.raises(UnsupportedValue, match="Task cannot be cached: "):
        snapshot(task)
    await task


def test_an_open_file_is_refused() -> None:
    with Path(__file__).open() as file, pytest.raises(UnsupportedValue, match="TextIOWrapper"):
        snapshot(file)


def test_nesting_too_deep_to_copy_is_refused() -> None:
    for deep in (Item(None), 1):
        for _ in range(100_000):
            deep = [deep]  # type: ignore[assignment]
        with pytest.raises(UnsupportedValue, match="nested too deeply"):
            snapshot(deep)


class Uncomparable:
    def __getstate__(self) -> Any:
        return {"other": 1}

    def __eq__(self, other: object) -> bool:
        raise KeyError("no")


def test_a_comparison_that_fails_is_a_refusal() -> None:
    with pytest.raises(UnsupportedValue, match="KeyError"):
        snapshot(Uncomparable())


def test_numbers_too_long_to_be_written_in_decimal() -> None:
    huge = 10**5000
    for value in ([Item(huge)], [Item(Fraction(huge, 7))], [Item(Number(huge))], Item(range(huge))):
        (fresh,) = copies([value], 1)
        assert is_same(fresh, [value])


class Forgetful:
    """Loses part of its state when it is copied, and does not notice."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Forgetful) and self.state == other.state

    def __getstate__(self) -> Any:
        return {"state": None}


class Turning(dict):  # type: ignore[type-arg]
    """Comes back as something else."""

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: Any) -> Any:
        return dict(self)


class Failing:
    def __reduce__(self) -> Any:
        raise KeyError("no")


def test_a_copy_that_is_not_the_same_is_refused() -> None:
    for value in (Forgetful(1), Turning(a=1), [Turning()]):
        with pytest.raises(UnsupportedValue, match="a copy of it is not the same"):
            snapshot(value)
    with pytest.raises(UnsupportedValue, match="KeyError"):
        snapshot(Failing())


@settings(max_examples=500)
@given(values, values)
def test_is_same_agrees_with_what_a_value_consists_of(left: Any, right: Any) -> None:
    assert is_same(left, right) == (essence(left) == essence(right))
    assert is_same(copy.deepcopy(left), left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1], [True]),
        ([0.0], [-0.0]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1}, {True}),
        ({"a": [1]}, {"a": [1.0]}),
        (deque([1]), deque([1], 5)),
        (defaultdict(list), defaultdict(set)),
        (Item(1), Item(1.0)),
        (Slotted([1]), Slotted([True])),
        (Point(1, 2), Pair(1, 2)),
        (Name("a"), "a"),
        (re.compile("a" * 300 + "b"), re.compile("a" * 300 + "c")),
        ({math.nan}, {1.0}),
        (Color.RED, Color.BLUE),
        (int, str),
        (generator, counter_closure),
    ],
)
def test_is_same_is_stricter_than_equality(left: Any, right: Any) -> None:
    assert not is_same(left, right)
    assert is_same(copy.deepcopy(left), left)
