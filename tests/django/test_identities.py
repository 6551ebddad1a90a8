"""What tells one value from another."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from tests.django.library.models import Author, Book
from zoocache_core import UnsupportedValue
from zoocache_django.pages.identities import Unresolved, identify

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(scalars, inner, max_size=3)
    ),
    max_leaves=6,
)


class Thing:
    def __init__(self, **state: Any) -> None:
        vars(self).update(state)

    @functools.cached_property
    def derived(self) -> object:
        return object()

    def method(self) -> None:
        pass


class Slotted:
    __slots__ = ("state",)


class HalfSlotted:
    __slots__ = ("__dict__", "state")


class OfSlotted(Slotted):
    pass


def text(value: object) -> str:
    return identify(value)[0]


def exact(value: Any) -> Any:
    """Equal only for values of equal types as well."""
    if isinstance(value, (list, tuple)):
        return type(value), [exact(item) for item in value]
    if isinstance(value, dict):
        return dict, {exact_key(key): exact(item) for key, item in value.items()}
    return type(value), value


def exact_key(key: Any) -> Any:
    return type(key), key


@given(values, values)
def test_equal_text_means_equal_values(one: Any, other: Any) -> None:
    assert (text(one) == text(other)) == (exact(one) == exact(other))
    assert (text(Thing(a=one)) == text(Thing(a=other))) == (exact(one) == exact(other))
    assert text(one) != text(Thing(a=one))


def closing_over(value: object, default: object = None) -> Callable[[], object]:
    def closure(given: object = default) -> object:
        return value, given

    return closure


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (closing_over(1), closing_over(2)),
        (closing_over(1, 1), closing_over(1, 2)),
        (closing_over(closing_over([1])), closing_over(closing_over([2]))),
        (functools.partial(closing_over, 1), functools.partial(closing_over, 2)),
        (functools.partial(closing_over, value=1), functools.partial(closing_over, value=2)),
        (Thing(a=1).method, Thing(a=2).method),
        ({1, 2}, {1, 3}),
        ({1}, frozenset({1})),
        (Thing(a=Thing(b=1)), Thing(a=Thing(b=2))),
        (lambda: 1, lambda: 2),
        (Thing, Author),
    ],
)
def test_what_is_not_the_same(one: object, other: object) -> None:
    assert text(one) != text(other)
    assert text(one) == text(one)


def test_a_value_that_contains_itself() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    other: list[Any] = [2]
    other.append(other)
    assert text(cycle) != text(other)
    thing = Thing(a=1)
    vars(thing)["me"] = thing
    assert text(thing) == text(thing)


def test_what_was_derived_does_not_count() -> None:
    one, other = Thing(a=1), Thing(a=1)
    assert one.derived is one.derived
    assert text(one) == text(other)


def test_the_request_is_nobody_else() -> None:
    assert text(Thing(request=HttpRequest())) == text(Thing(request=HttpRequest()))


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        io.BytesIO(b"content"),
        Slotted(),
        HalfSlotted(),
        OfSlotted(),
        iter([1]),
        object(),
        Exception("text"),
        [Thing(a=[threading.local()])],
        list(range(2000)) + [[number] for number in range(2000)],
        functools.reduce(lambda inner, _: [inner], range(60), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_nothing_is_known_of(value: object) -> None:
    with pytest.raises(UnsupportedValue):
        identify(value)


def test_lazy_objects() -> None:
    lazy = SimpleLazyObject(lambda: [1])
    with pytest.raises(Unresolved):
        identify([lazy], evaluate=False)
    assert text(lazy) == text([1])
    assert identify(lazy, evaluate=False)[0] == text([1])


@pytest.mark.django_db
def test_rows_are_told_by_their_keys_and_what_was_put_into_them() -> None:
    ann = Author.objects.create(name="ann")
    same = Author.objects.get(pk=ann.pk)
    same.name = "renamed"
    assert identify(ann) == identify(same)
    assert identify(ann)[1] == {f"library.author:{ann.pk}"}
    same.role = "admin"  # type: ignore[attr-defined]
    assert text(ann) != text(same)
    assert text(ann) != text(Author.objects.create(name="ann"))
    assert text(ann) != text(Book.objects.create(pk=ann.pk, title="ann"))
    assert text(Author(name="ann")) != text(Author(name="bob"))


@pytest.mark.django_db
def test_querysets_are_told_by_what_they_ask_and_have_found() -> None:
    def found() -> tuple[str, frozenset[str]]:
        authors = Author.objects.filter(books__title="b")
        assert list(authors) is not None
        return identify(authors)

    assert text(Author.objects.filter(pk=1)) != text(Author.objects.filter(pk=2))
    assert text(Author.objects.none()) == text(Author.objects.filter(pk__in=[]))
    nobody, tags = found()
    assert tags == {"library.author:*", "library.book:*"}
    Book.objects.create(title="b", author=Author.objects.create(name="a"))
    assert found()[0] != nobody
