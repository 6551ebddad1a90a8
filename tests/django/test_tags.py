"""Rows and tables named as tags."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.db.utils import ConnectionHandler

from tests.django.library.models import (
    Asset,
    Author,
    Book,
    Cover,
    Device,
    Furniture,
    Moment,
    Novel,
    Paperback,
    Price,
    Room,
    Shelf,
)
from zoocache_django import model_tag, row_tag
from zoocache_django.database.tables import MAX_ROWS, written
from zoocache_django.tags import as_deps, forget_databases, table_tag

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
    assert {row_tag(model(pk=one)) for one in spellings} == {row_tag(model, spellings[0])}


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


def test_a_written_row_takes_along_what_inherits_from_it() -> None:
    def rows_of(model: type[models.Model], key: int) -> set[str]:
        return set(written(model._meta.db_table, [key], "default"))

    assert rows_of(Author, 3) == {"library.author:3"}
    assert rows_of(Book, 7) == {
        "library.book:7",
        "library.novel:7",
        "library.trilogy:7",
        "library.manual:7",
    }
    assert rows_of(Novel, 7) == {"library.novel:7", "library.trilogy:7"}
    assert rows_of(Furniture, 1) == {"library.furniture:1", "library.lamp:1"}
    # Which lamp is this device cannot be told from the device's key, so any may be.
    assert rows_of(Device, 2) == {"library.device:2", "library.lamp"}
    assert rows_of(Asset, 2) == {"library.asset:2", "library.device:2", "library.lamp"}


def test_many_rows_are_the_table() -> None:
    assert written("library_author", range(MAX_ROWS + 1), "default") == ["library.author"]


def test_each_database_has_names_of_its_own() -> None:
    assert row_tag(Book, 7, using="other") == "db:other:library.book:7"
    assert model_tag(Book, using="other") == "db:other:library.book:*"
    assert written("library_author", [3], "other") == ["db:other:library.author:3"]
    book = Book(pk=7)
    book._state.db = "other"
    assert row_tag(book) == "db:other:library.book:7"


def test_aliases_of_one_database_share_its_names() -> None:
    place = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/one.sqlite3"}
    with databases({"default": place, "same": {**place}, "else": {**place, "NAME": "/no/2"}}):
        assert row_tag(Book, 7, using="same") == "library.book:7"
        assert row_tag(Book, 7, using="else") == "db:else:library.book:7"


@contextmanager
def databases(config: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Other connections for a while, which nobody opens."""
    forget_databases()
    handler = ConnectionHandler(config)
    with mock.patch("zoocache_django.tags.connections", handler):
        yield
    forget_databases()


def test_a_bare_label_in_deps_means_any_row() -> None:
    written = ["library.book", "library.book:7", "library.author:*", "some.thing", "org:1", "*"]
    assert as_deps(written) == ["library.book:*", *written[1:]]
    assert as_deps("library.book") == ["library.book:*"]
