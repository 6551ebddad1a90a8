"""Cached fragments and serializers inside of cached views: what a part reads, its page has read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.test import RequestFactory
from rest_framework import serializers

from tests.django.store.models import Item
from zoocache_django import cache_view, cacheable_serializer

pytestmark = pytest.mark.django_db

READINGS: dict[str, Callable[[HttpRequest], str]] = {
    "meta": lambda request: request.META.get("HTTP_X_DEVICE", ""),
    "headers": lambda request: request.headers.get("X-Device", ""),
    "cookie": lambda request: request.COOKIES.get("device", ""),
    "user": lambda request: str(request.user),
}

READS_NOTHING = "{% zoocache None plain %}{{ items.0.name }}{% endzoocache %}"
READS_HEADER = "{% zoocache None device %}{{ request.META.HTTP_X_DEVICE }}{% endzoocache %}"
READS_COOKIE = "{% zoocache None device %}{{ request.COOKIES.device }}{% endzoocache %}"
READS_USER = "{% zoocache None device %}{{ user }}{% endzoocache %}"


@pytest.fixture
def item() -> Item:
    return Item.objects.create(pk=1, name="one")


@pytest.fixture
def users() -> dict[str, User]:
    return {name: User.objects.create_user(name) for name in ("phone", "desk")}


def from_device(device: str, users: dict[str, User]) -> HttpRequest:
    request = RequestFactory().get("/", headers={"x-device": device})
    request.COOKIES["device"] = device
    request.user = users[device]
    return request


def page_with_fragment(source: str) -> Any:
    template = Template("{% load zoocache %}" + source)

    @cache_view
    def page(request: HttpRequest) -> HttpResponse:
        context = RequestContext(request, {"items": Item.objects.all()})
        return HttpResponse(template.render(context))

    return page


def page_with_serializer(read: Callable[[HttpRequest], str]) -> Any:
    @cacheable_serializer
    class Reading(serializers.Serializer):  # type: ignore[misc]
        device = serializers.SerializerMethodField()

        def get_device(self, item: Item) -> str:
            return read(self.context["request"])

    @cache_view
    def page(request: HttpRequest) -> HttpResponse:
        shown = Reading(Item.objects.get(pk=1), context={"request": request})
        return HttpResponse(shown.data["device"])

    return page


def outcomes(page: Any, users: dict[str, User], *devices: str) -> list[tuple[str, str]]:
    answers = [page(from_device(device, users)) for device in devices]
    return [(answer.content.decode(), answer["X-Cache"]) for answer in answers]


def test_a_page_is_kept_when_its_fragment_is_made_with_it(
    item: Item, users: dict[str, User]
) -> None:
    page = page_with_fragment(READS_NOTHING)
    assert outcomes(page, users, "phone", "desk") == [("one", "MISS"), ("one", "HIT")]
    Item.objects.update(name="two")
    assert outcomes(page, users, "phone", "desk") == [("two", "MISS"), ("two", "HIT")]


def test_a_page_is_kept_when_its_representations_are_made_with_it(
    item: Item, users: dict[str, User]
) -> None:
    page = page_with_serializer(lambda request: "same")
    assert outcomes(page, users, "phone", "desk") == [("same", "MISS"), ("same", "HIT")]


@pytest.mark.parametrize("source", [READS_HEADER, READS_COOKIE, READS_USER])
def test_what_a_fragment_reads_keeps_pages_apart(
    source: str, item: Item, users: dict[str, User]
) -> None:
    seen = outcomes(page_with_fragment(source), users, *["phone", "desk"] * 2)
    assert [text for text, _ in seen] == ["phone", "desk"] * 2
    assert [outcome for _, outcome in seen[2:]] == ["HIT", "HIT"]


@pytest.mark.parametrize("reading", READINGS)
def test_what_a_serializer_reads_keeps_pages_apart(
    reading: str, item: Item, users: dict[str, User]
) -> None:
    seen = outcomes(page_with_serializer(READINGS[reading]), users, *["phone", "desk"] * 3)
    assert [text for text, _ in seen] == ["phone", "desk"] * 3
    assert [outcome for _, outcome in seen[4:]] == ["HIT", "HIT"]


def test_a_look_at_all_headers_inside_a_part_keeps_the_page_from_being_stored(
    item: Item, users: dict[str, User]
) -> None:
    page = page_with_serializer(lambda request: str(sorted(request.headers)))
    assert [outcome for _, outcome in outcomes(page, users, "phone", "phone")] == ["BYPASS"] * 2


def test_what_a_part_writes_into_the_environment_stays(item: Item, users: dict[str, User]) -> None:
    request = from_device("phone", users)

    def write(request: HttpRequest) -> str:
        request.META["REMOTE_USER"] = "written"
        return "done"

    assert page_with_serializer(write)(request).content == b"done"
    assert request.META["REMOTE_USER"] == "written"
