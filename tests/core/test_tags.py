from __future__ import annotations

import itertools
import re
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoocache_core import tags
from zoocache_core.errors import InvalidTag
from zoocache_core.tags import (
    MAX_TAG_LENGTH,
    invalidation_target,
    tag,
    validate,
    validate_dep,
    validate_many,
)

ALPHABET = "ab:x_.*Z9 é-"


def is_valid_by_the_letter(text: str) -> bool:
    """The rules of a tag, written as plainly as possible."""
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
    parts = text.split(":")
    return len(text) <= 256 and all(part and all(c in allowed for c in part) for part in parts)


def accepts(check: object, value: object) -> bool:
    try:
        check(value)  # type: ignore[operator]
    except InvalidTag:
        return False
    return True


@given(st.text(ALPHABET, max_size=8) | st.text())
def test_validate_agrees_with_the_rules(text: str) -> None:
    assert accepts(validate, text) == is_valid_by_the_letter(text)
    assert accepts(validate, text) == is_valid_by_the_letter(text), "and again, from the memo"


@given(st.text(ALPHABET, max_size=8) | st.text(ALPHABET, max_size=6).map(lambda t: t + ":*"))
def test_a_dependency_may_end_in_a_wildcard(text: str) -> None:
    expected = (
        text == "*"
        or is_valid_by_the_letter(text)
        or (text.endswith(":*") and is_valid_by_the_letter(text[:-2]))
    )
    assert accepts(validate_dep, text) == expected
    assert accepts(validate_dep, text) == expected, "and again, from the memo"
    assert accepts(invalidation_target, text) == expected


def test_a_wildcard_dependency_does_not_make_its_text_a_valid_tag() -> None:
    assert validate_dep("once:*") == "once:*"
    with pytest.raises(InvalidTag):
        validate("once:*")


def test_every_valid_tag_has_a_wildcard() -> None:
    longest = "a" * MAX_TAG_LENGTH
    assert validate(longest) == longest
    assert validate_dep(longest + ":*") == longest + ":*"


@pytest.mark.parametrize(
    ("given", "target"),
    [("user", "user"), ("user:*", "user"), ("a:b:*", "a:b"), ("*", ""), ("a:b", "a:b")],
)
def test_what_an_invalidation_writes_to(given: str, target: str) -> None:
    assert invalidation_target(given) == target


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("user name", r"' ' \(U\+0020\) at index 4 is not allowed"),
        ("prix:é", r"'é' \(U\+00E9\) at index 5 is not allowed"),
        ("three٣", r"U\+0663"),
        ("a\n", r"'\\n' \(U\+000A\) at index 1"),
        ("user:*", r"'\*' .* at index 5 is only allowed to end a dependency"),
        ("a::b", "':' at index 2 follows another one"),
        (":a", "':' at index 0 starts the tag"),
        ("a:", "':' at index 1 ends the tag"),
        ("", "it is empty"),
        ("x" * 257, "it has 257 characters"),
        (5, "must be a str, not int: 5"),
        (None, "must be a str, not NoneType"),
        (b"user", "must be a str, not bytes"),
    ],
)
def test_an_invalid_tag_is_refused_with_what_is_wrong_and_what_helps(
    bad: object, message: str
) -> None:
    with pytest.raises(InvalidTag, match=message) as caught:
        validate(bad)  # type: ignore[arg-type]
    assert "tag('name', value)" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_subclasses_of_str_become_plain_text() -> None:
    class Label(str, Enum):
        USER = "user"

    for check in (validate, validate_dep, invalidation_target):
        assert type(check(Label.USER)) is str
        assert check(Label.USER) == "user"


def test_a_lone_str_is_one_tag() -> None:
    assert validate_many("user") == ("user",)
    assert validate_many(["b", "a:*", "b"]) == ("b", "a:*")
    assert validate_many(t for t in ("a", "b")) == ("a", "b")
    assert validate_many(()) == ()
    with pytest.raises(InvalidTag, match="must be a str or an iterable of str, not int: 5"):
        validate_many(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidTag, match="must be a str, not int: 1"):
        validate_many([1])  # type: ignore[list-item]


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "_MEMO_SIZE", 10)
    for number in range(100):
        validate(f"memo:{number}")
        validate_dep(f"memo:{number}:*")
    assert len(tags._valid_tags) <= 10
    assert len(tags._valid_deps) <= 10


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("user", 42), "user:42"),
        (("user_name", "shop.product"), "user_name:shop.product"),
        (("user", "ann@example.org"), "user:ann_x40_example.org"),
        (("a:b",), "a_x3a_b"),
        (("",), "_x_"),
        (("_x3a_",), "_x5f_x3a_"),
        (("max_height",), "max_x5f_height"),
        ((None, True, Decimal("1.50")), "None:True:1.50"),
        ((uuid.UUID(int=0),), "00000000_x2d_0000_x2d_0000_x2d_0000_x2d_000000000000"),
        ((datetime(2024, 1, 2, tzinfo=timezone.utc),), None),
    ],
)
def test_building_a_tag(parts: tuple[object, ...], text: str | None) -> None:
    built = tag(*parts)
    assert validate(built) == built
    if text is not None:
        assert built == text


def test_a_number_and_its_text_are_one_part() -> None:
    assert tag("user", 42) == tag("user", "42")


# Texts that look like escapes are where an escaping goes wrong.
texts = st.text("_xh3a:f*0é\ud800", max_size=8) | st.text(max_size=8) | st.text(max_size=400)
parts = st.lists(texts, min_size=1, max_size=5)


def decode(built: str) -> list[str]:
    """Read the parts back from the left, to show that the encoding leaves no choice."""

    def character(match: re.Match[str]) -> str:
        return chr(int(match.group(1), 16)) if match.group(1) else ""

    return [re.sub("_x([0-9a-f]*)_", character, part) for part in built.split(":")]


@given(parts)
def test_any_five_parts_make_a_valid_tag_that_can_be_read_back(parts: list[str]) -> None:
    built = tag(*parts)
    assert is_valid_by_the_letter(built)
    if "_h" not in built:
        assert decode(built) == parts


@given(parts, parts)
def test_different_parts_make_different_tags(left: list[str], right: list[str]) -> None:
    assert (tag(*left) == tag(*right)) == (left == right)


@given(parts)
def test_the_tag_of_the_first_parts_is_an_ancestor(parts: list[str]) -> None:
    whole = tag(*parts).split(":")
    for count in range(1, len(parts)):
        assert whole[:count] == tag(*parts[:count]).split(":")


def test_long_parts_are_told_apart_by_their_hash() -> None:
    long = "x" * 300
    assert re.fullmatch("user:_h[0-9a-f]{24}_", tag("user", long))
    assert tag("user", long) != tag("user", long + "x")
    assert tag("user", long, "cart").startswith(tag("user", long) + ":")


def test_five_long_parts_fit_and_each_is_the_parent_of_the_next() -> None:
    for length in (100, 144, 145, 300):
        parts = ["x" * length] * 5
        path = [tag(*parts[: count + 1]) for count in range(5)]
        assert is_valid_by_the_letter(path[-1])
        for parent, child in itertools.pairwise(path):
            assert child.startswith(parent + ":")


def test_parts_that_cannot_fit_are_refused() -> None:
    assert len(tag(*"x" * 128)) == 255
    with pytest.raises(InvalidTag, match="129 parts that need 257 characters"):
        tag(*"x" * 129)
    with pytest.raises(InvalidTag, match="at least one part"):
        tag()


@pytest.mark.parametrize(
    "tag", ["table:٣", "table:²", "table:", "table::1", ":1", f"table:{'1' * 251}", "no table:1"]
)
def test_rows_of_a_known_table_are_checked_as_other_tags_are(tag: str) -> None:
    assert invalidation_target("table:1") == "table:1"
    assert invalidation_target(f"table:{'1' * 250}") == f"table:{'1' * 250}"
    with pytest.raises(InvalidTag):
        invalidation_target(tag)
