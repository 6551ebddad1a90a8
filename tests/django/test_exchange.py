"""The response made from a stored page is the one that Django would have made itself."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.http.response import BadHeaderError

from zoocache_core.http import Answer
from zoocache_django.pages.responses import response_to

FIELDS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("X-Plain", "a b"),
    ("x-MIXED-case", "~"),
    ("X-Empty", ""),
    ("X-Latin", "caf\xe9"),
    ("X-Beyond", "\u0142\u00f3d\u017a"),
    ("X-Tab", "a\tb"),
]


def test_headers_are_those_that_django_would_send() -> None:
    answer = Answer[HttpResponse]("HIT", 203, (*FIELDS, ("Set-Cookie", "a=1; Path=/x")), b"body")
    expected = HttpResponse(b"body", status=203)
    for name, value in FIELDS:
        expected.headers[name] = value
    expected.cookies.load("a=1; Path=/x")
    made = response_to(answer)
    assert made.serialize() == expected.serialize()
    assert made.status_code == 203
    assert str(made.cookies) == str(expected.cookies)
    assert {name: made.headers[name.lower()] for name, _ in FIELDS} == {
        name: expected.headers[name] for name, _ in FIELDS
    }


def test_a_page_without_a_type_gets_none() -> None:
    assert dict(response_to(Answer("HIT", 200, (), b"")).headers) == {}


@pytest.mark.parametrize(
    "field", [("X-A", "a\r\nSet-Cookie: b=1"), ("X\nA", "a"), ("X-A", "\u0142\n")]
)
def test_no_stored_header_can_smuggle_in_another(field: tuple[str, str]) -> None:
    with pytest.raises(BadHeaderError):
        response_to(Answer("HIT", 200, (field,), b""))
