"""Query parameters that do not count, by ``query=`` or ``ignore_query=``, are not shown to a view:
what it cannot see cannot get into the page that others are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from rest_framework.decorators import api_view

from zoocache_django import cache_view

PATH = "/list/?page=2&utm_source=mail&q=t%C3%AAa&utm_medium=x&flag&q=+two&=nameless"

SHOWN: list[tuple[dict[str, Any], str]] = [
    ({}, "page=2&utm_source=mail&q=t%C3%AAa&utm_medium=x&flag&q=+two&=nameless"),
    ({"query": "none"}, ""),
    ({"query": ["page"]}, "page=2"),
    ({"query": ["q", "flag", "other"]}, "q=t%C3%AAa&flag&q=+two"),
    ({"ignore_query": ["utm_*"]}, "page=2&q=t%C3%AAa&flag&q=+two&=nameless"),
    ({"query": ["page", "utm_source"], "ignore_query": ["utm_*"]}, "page=2"),
    # The view says itself what its page depends on.
    ({"key": lambda request: 1, "query": "none"}, PATH.partition("?")[2]),
]

LOOKS: dict[str, Callable[[HttpRequest], str]] = {
    "GET": lambda request: request.GET.urlencode(),
    "full path": lambda request: request.get_full_path(),
    "URI": lambda request: request.build_absolute_uri(),
    "META": lambda request: request.META["QUERY_STRING"],
    "environ": lambda request: getattr(request, "environ", request.META)["QUERY_STRING"],
}


def seen(request: HttpRequest) -> dict[str, str]:
    return {name: look(request) for name, look in LOOKS.items()}


@pytest.mark.parametrize(("options", "query"), SHOWN)
@pytest.mark.parametrize("looked_before", [True, False])
def test_a_view_sees_what_counts(options: dict[str, Any], query: str, looked_before: bool) -> None:
    inside: list[dict[str, str]] = []

    @cache_view(**options)
    def view(request: HttpRequest) -> HttpResponse:
        inside.append(seen(request))
        return HttpResponse("page")

    request, expected = RequestFactory().get(PATH), RequestFactory().get(f"/list/?{query}")
    if looked_before:
        assert request.GET["page"] == "2"
    view(request)
    assert inside == [seen(expected)]
    # Middleware that comes after the view is shown everything again.
    assert seen(request) == seen(RequestFactory().get(PATH))


@pytest.mark.parametrize(("options", "query"), SHOWN)
async def test_an_asynchronous_view_sees_what_counts(options: dict[str, Any], query: str) -> None:
    inside: list[dict[str, str]] = []

    @cache_view(**options)
    async def view(request: HttpRequest) -> HttpResponse:
        inside.append(seen(request))
        return HttpResponse("page")

    request, factory = AsyncRequestFactory().get(PATH), AsyncRequestFactory()
    await view(request)
    assert inside == [seen(factory.get(f"/list/?{query}"))]
    assert seen(request) == seen(factory.get(PATH))


def test_a_method_of_rest_framework_sees_what_counts() -> None:
    @api_view(["GET"])
    @cache_view(query=["page"])
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{request.query_params.urlencode()} {request.build_absolute_uri()}")

    assert view(RequestFactory().get(PATH)).content == b"page=2 http://testserver/list/?page=2"


def test_one_visitors_parameters_are_not_in_the_page_of_the_next() -> None:
    @cache_view(query=["page"])
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f'<a href="{request.get_full_path()}&more=1">')

    first = view(RequestFactory().get("/list/?page=2&next=//evil.example"))
    second = view(RequestFactory().get("/list/?page=2"))
    assert second["X-Cache"] == "HIT"
    assert first.content == second.content == b'<a href="/list/?page=2&more=1">'


def test_a_query_in_another_encoding_is_judged_by_its_bytes() -> None:
    @cache_view(query=["größe"])
    def view(request: HttpRequest) -> HttpResponse:
        request.encoding = "latin-1"
        return HttpResponse(str(dict(request.GET)))

    # The name is spelled in latin-1, and what counts is UTF-8.
    assert view(RequestFactory().get("/?gr%F6%DFe=1")).content == b"{}"


def test_what_a_view_writes_into_the_query_stays() -> None:
    @cache_view(query="none")
    def view(request: HttpRequest) -> HttpResponse:
        request.META["QUERY_STRING"] = "written"
        return HttpResponse("page")

    request = RequestFactory().get(PATH)
    view(request)
    assert request.META["QUERY_STRING"] == "written"
