"""Rows and tables named as tags."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models

from tests.django.library.models import (
    Asset,
    Author,
    Book,
    Cover,
    Device,
    Furniture,
    Lamp,
    Manual,
    Moment,
    Novel,
    Paperback,
    Price,
    Room,
    Shelf,
    Trilogy,
)
from zoocache_django import model_tag, row_tag
from zoocache_django.tags import as_deps, row_tags, table_tag

A_UUID = uuid.UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301")
NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def test_an_instance_and_its_key_have_one_tag() -> None:
    assert row_tag(Book(pk=7)) == row_tag(Book, 7) == "library.book:7"


def test_any_row_is_a_wildcard() -> None:
    assert model_tag(Book) == "library.book:*"
    assert table_tag(Book) == "library.book"


def test_a_proxy_is_the_model_it_stands_for() -> None:
    assert row_tag(Paperback(pk=7)) == row_tag(Book(pk=7))
    assert model_tag(Paperback) == model_tag(Book)


@pytest.mark.parametrize(
    ("model", "spellings"),
    [
        (Book, [7, "7", " 7", Decimal(7)]),
        (Shelf, [A_UUID, str(A_UUID), A_UUID.hex, str(A_UUID).upper()]),
        (Price, [Decimal("10"), Decimal("10.00"), "10.0", 10]),
        (
            Moment,
            [NOON, NOON.astimezone(timezone(timedelta(hours=5))), "2026-05-01T14:00:00+02:00"],
        ),
        (Cover, [7, "7"]),
    ],
)
def test_every_spelling_of_a_key_has_one_tag(
    model: type[models.Model], spellings: list[object]
) -> None:
    assert len({row_tag(model, spelling) for spelling in spellings}) == 1
    assert {next(iter(row_tags(model(pk=one)))) for one in spellings} == {
        row_tag(model, spellings[0])
    }


@pytest.mark.parametrize("key", ["a:b", "a b", "", "*", "ä", "x" * 300, "a/b?c=1"])
def test_a_key_of_any_characters_makes_a_tag_of_its_own(key: str) -> None:
    tag = row_tag(Room, key)
    assert tag.startswith("library.room:")
    assert tag.count(":") == 1
    assert tag != row_tag(Room, key + "x")


def test_a_row_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="save the instance first"):
        row_tag(Book())
    with pytest.raises(ValueError, match=r"row_tag\(Book, 7\)"):
        row_tag(Book)


def test_a_key_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValidationError):
        row_tag(Book, "seven")


def test_a_saved_child_stands_for_its_parents_rows() -> None:
    novel = Novel(pk=7)
    assert set(row_tags(novel)) == {
        "library.novel:7",
        "library.book:7",
        "library.trilogy:7",
        "library.manual:7",
    }


def test_a_saved_parent_stands_for_its_childrens_rows() -> None:
    assert set(row_tags(Book(pk=7))) == set(row_tags(Novel(pk=7))) == set(row_tags(Trilogy(pk=7)))
    assert set(row_tags(Manual(pk=7))) == set(row_tags(Paperback(pk=7)))


def test_a_model_alone_has_one_row() -> None:
    assert list(row_tags(Author(pk=3))) == ["library.author:3"]


def test_a_child_of_two_parents_stands_for_both_rows() -> None:
    lamp = Lamp(furniture_id=1, device_part_id=2)
    assert set(row_tags(lamp)) == {
        "library.lamp:1",
        "library.furniture:1",
        "library.device:2",
        "library.asset:2",
    }
    assert set(row_tags(Furniture(pk=1))) == {"library.furniture:1", "library.lamp:1"}
    # Which lamp is this device cannot be told from the device's key, so any may be.
    assert set(row_tags(Device(pk=2))) == {"library.device:2", "library.asset:2", "library.lamp"}
    assert set(row_tags(Asset(pk=2))) == set(row_tags(Device(pk=2)))


@pytest.mark.django_db
def test_naming_the_rows_of_a_partly_loaded_instance_asks_the_database_nothing(
    django_assert_num_queries: Any,
) -> None:
    Trilogy.objects.create(title="t", genre="g")
    trilogy = Trilogy.objects.only("volumes").get()
    with django_assert_num_queries(0):
        assert f"library.book:{trilogy.pk}" in set(row_tags(trilogy))


def test_a_bare_label_in_deps_means_any_row() -> None:
    written = ["library.book", "library.book:7", "library.author:*", "some.thing", "org:1", "*"]
    assert as_deps(written) == ["library.book:*", *written[1:]]
    assert as_deps("library.book") == ["library.book:*"]
