from __future__ import annotations

import datetime as dt
import functools
import os
import socket
import subprocess
import sys
import textwrap
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.values import Access, Color, Item, Point, Tagged, essence, values
from zoocache_core import encoding
from zoocache_core.encoding import (
    encode,
    has_own_key,
    register_adapter_finder,
    register_key_adapter,
)
from zoocache_core.errors import UnsupportedValue

# Two random values are hardly ever the same; from a small stock, they often are, or nearly.
stock: list[Any] = [0, 1, True, 1.0, -0.0, 0.0, "1", "", b"1", None, Decimal("1.0")]
# Texts that look like what is written around texts.
stock += ["i1;", "1s1", "1s1'1", "s1'1", "'1", ")"]
small_values = st.recursive(
    st.sampled_from([*stock, Decimal(1), Color.RED, (), frozenset()]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.sampled_from(stock), max_size=3)
        | st.frozensets(st.sampled_from(stock), max_size=3)
        | st.dictionaries(st.sampled_from(stock), inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(stock), inner), max_size=3).map(OrderedDict)
        | st.builds(Point, inner, inner)
        | st.builds(Item, inner)
    ),
    max_leaves=4,
)


@settings(max_examples=500)
@given(small_values, small_values)
def test_two_values_have_one_text_exactly_if_they_are_the_same(left: Any, right: Any) -> None:
    same = essence(left, ordered=False) == essence(right, ordered=False)
    assert (encode(left) == encode(right)) == same


@given(st.lists(values, max_size=2), st.lists(values, max_size=2))
def test_texts_can_be_joined_without_a_separator(left: list[Any], right: list[Any]) -> None:
    same = essence(left, ordered=False) == essence(right, ordered=False)
    assert ("".join(map(encode, left)) == "".join(map(encode, right))) == same


@given(values)
def test_no_text_is_the_beginning_of_another(value: Any) -> None:
    text = encode(value)
    for other in ([value], (value,), [value, value], value):
        longer = encode(other)
        assert longer == text or not longer.startswith(text)


@given(st.dictionaries(st.text(), st.integers()), st.randoms())
def test_the_order_of_dicts_and_sets_plays_no_part(items: dict[str, int], random: Any) -> None:
    keys = list(items)
    random.shuffle(keys)
    assert encode({key: items[key] for key in keys}) == encode(items)
    assert encode(set(keys)) == encode(set(items))


def test_a_text_cannot_pass_for_two() -> None:
    assert encode(("a", "b")) != encode(("asb",))
    assert encode(("a", "b")) != encode(("as1'b",))
    assert encode(("a", 1)) != encode(("ai1;",))


def test_the_order_of_an_ordered_dict_does() -> None:
    assert encode(OrderedDict(a=1, b=2)) != encode(OrderedDict(b=2, a=1))


@pytest.mark.parametrize(
    "different",
    [
        [1, 1.0, True, "1", b"1", Decimal(1), 1 + 0j],
        [0.0, -0.0],
        [Decimal("1.0"), Decimal("1"), Decimal("1E+0")][:2],
        [(1, 2), [1, 2], {1, 2}, frozenset({1, 2}), {1: 2}, Point(1, 2), range(1, 3)],
        [dt.datetime(2024, 10, 27, 2, 30), dt.datetime(2024, 10, 27, 2, 30, fold=1)],
        [dt.timezone.utc, dt.timezone(dt.timedelta(0), "UTC"), dt.timezone(dt.timedelta(hours=1))],
        [dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)],
        [Color.RED, Color.BLUE, 1, "RED", Access.READ, Access.READ | Access.WRITE],
        [int, float, "int"],
        [2**200, -(2**200), 2**63, 2**63 - 1],
        [b"a", bytearray(b"a"), "a"],
    ],
)
def test_values_that_python_may_call_equal_are_different(different: list[Any]) -> None:
    assert len({encode(value) for value in different}) == len(different)


def test_integers_of_any_size() -> None:
    assert encode(10**5000) != encode(10**5000 + 1)


def test_what_a_subclass_carries_beside_the_base_enters() -> None:
    plain, one, two = Tagged("a"), Tagged("a"), Tagged("a")
    one.tag, two.tag = 1, 2
    assert len({encode(value) for value in (plain, one, two, "a")}) == 4


class Odd(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(())


def test_the_content_of_a_subclass_is_read_with_the_methods_of_the_base() -> None:
    assert encode(Odd([1])) != encode(Odd([2]))


class Account:
    def __init__(self, number: int) -> None:
        self.number = number

    def __zoocache_key__(self) -> int:
        return self.number


class Premium(Account):
    pass


def test_an_object_says_what_identifies_it() -> None:
    assert encode(Account(1)) == encode(Account(1))
    assert len({encode(value) for value in (Account(1), Account(2), Premium(1), 1)}) == 4

    class WithAttribute:
        def __init__(self, key: Any) -> None:
            self.__zoocache_key__ = key

    assert encode(WithAttribute([1])) == encode(WithAttribute([1]))
    assert encode(WithAttribute([1])) != encode(WithAttribute((1,)))


def test_an_adapter_says_what_identifies_the_objects_of_a_class() -> None:
    class Row:
        def __init__(self, pk: int) -> None:
            self.pk = pk

    class Child(Row):
        pass

    class Own(Row):
        __zoocache_key__ = "own"

    with pytest.raises(UnsupportedValue):
        encode(Row(1))
    register_key_adapter(Row, lambda row: ("row", row.pk))
    try:
        assert encode(Row(1)) == encode(Row(1)) != encode(Row(2))
        assert encode(Child(1)) == encode(Child(1)) != encode(Row(1))
        assert encode(Own(1)) == encode(Own(2)), "a key of its own comes first"
    finally:
        del encoding._adapters[Row]
        encoding._forget_resolved()


def test_the_plain_types_need_no_adapter() -> None:
    with pytest.raises(TypeError, match=r"datetime\.date is part of keys as it is"):
        register_key_adapter(dt.date, str)


def make_class(base: type = object) -> type:
    class Local(base):  # type: ignore[misc]
        __zoocache_key__ = 1

    return Local


def test_classes_of_one_name_are_different() -> None:
    one, two = make_class(), make_class()
    assert encode(one()) == encode(one())
    assert encode(one()) != encode(two())
    assert encode(one) != encode(two)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        iter([]),
        (letter for letter in "ab"),
        UserDict(),
        [object()],
        {"a": {"b": object()}},
        Item(iter(())),
    ],
)
def test_what_has_no_identity_is_refused(value: Any) -> None:
    with pytest.raises(UnsupportedValue, match="__zoocache_key__, or pass key= to cacheable"):
        encode(value)


def test_the_error_names_the_type() -> None:
    with socket.socket() as connection, pytest.raises(UnsupportedValue, match=r"socket\.socket"):
        encode([connection])


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    looped: dict[str, Any] = {"list": endless}
    endless.append(looped)
    item = Item(None)
    item.price = item
    for value in (endless, looped, item, (endless,)):
        with pytest.raises(UnsupportedValue, match="contains itself"):
            encode(value)
    deep: Any = ()
    for _ in range(50):
        deep = [deep]
    assert encode(deep)


def test_the_number_of_known_types_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MAX_TYPES", len(encoding._natives) + 10)
    for _ in range(50):
        encode(make_class(str)("a"))
    assert len(encoding._encoders) <= len(encoding._natives) + 10
    assert encode(1) == "i1;"


def in_another_process(code: str, seed: str) -> str:
    program = "from tests.core.values import *\nfrom zoocache_core.encoding import encode\n"
    return subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(code)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


def test_texts_are_the_same_in_every_process() -> None:
    code = """
        import functools, operator, sys
        print(encode([
            {"a", "b", Color.RED, Money(1)}, {"x": 1, 2: "y"}, Item("i", Decimal("1.5")), len, int,
            type(None), type(len), sys, str.upper, [].append, functools.partial(max, key=len),
            dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), re.compile("a+"),
            lambda x: x in {"p", "q", "r"}, functools.lru_cache(namedtuple), defaultdict(list),
            list[int], uuid.UUID(int=5), Access.READ | Access.WRITE, ..., slice(1, 2),
        ]))
    """
    first, second = in_another_process(code, "1"), in_another_process(code, "2")
    assert first == second
    assert "~" not in first, "and nothing is known to one process only"


def test_functions_as_values() -> None:
    def factory(n: Any) -> Any:
        return lambda x: x + n

    assert encode(factory(1)) == encode(factory(1))
    different: list[Any] = [
        factory(1),
        factory(1.0),
        factory([1]),
        len,
        max,
        str.upper,
        [].append,
        [1].append,
    ]
    different += [functools.partial(max, 1), functools.partial(max, 2), functools.lru_cache(len)]
    assert len({encode(function) for function in different}) == len(different)
    with pytest.raises(UnsupportedValue, match=r"factory.* closes over 'n', and nothing is known"):
        encode(factory(object()))


def test_adapters_can_be_found_for_classes_without_a_common_base():
    asked = []

    class Ours:
        number = 7

    @dataclass
    class OursToo:
        number: int
        other: str

    class Foreign:
        pass

    def find(kind):
        asked.append(kind)
        return (lambda one: one.number) if kind in (Ours, OursToo) else None

    with pytest.raises(UnsupportedValue):
        encode(Ours())
    register_adapter_finder(find)
    register_adapter_finder(find)
    try:
        assert encode(Ours()) == encode(Ours())
        assert encode(OursToo(1, "a")) == encode(OursToo(1, "b")) != encode(OursToo(2, "a"))
        assert has_own_key(Ours())
        with pytest.raises(UnsupportedValue):
            encode(Foreign())
        assert asked.count(OursToo) == 1
    finally:
        encoding._finders.remove(find)
        encoding._forget_resolved()
