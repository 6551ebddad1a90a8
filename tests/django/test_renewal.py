"""Pages that are made anew behind the visitor's back, and those of DRF's views."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.django.store.models import Kind
from tests.servers import wait_until
from zoocache_core.testing import ManualClock
from zoocache_django import cache_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    with override_settings(ZOOCACHE={"CLOCK": clock}):
        yield clock


class Rooms:
    """Views that tell the thread they ran in and the language they spoke."""

    def __init__(self) -> None:
        self.runs: list[tuple[threading.Thread, str | None]] = []

    def page(self, request: HttpRequest) -> HttpResponse:
        self.runs.append((threading.current_thread(), translation.get_language()))
        return HttpResponse(f"{len(self.runs)} of {Kind.objects.count()}")


def _sync(rooms: Rooms) -> Callable[[Any], Any]:
    @cache_view(10, stale_while_revalidate=60)
    def view(request: HttpRequest) -> HttpResponse:
        return rooms.page(request)

    return lambda: view(RequestFactory().get("/"))


def _class_based(rooms: Rooms) -> Callable[[], Any]:
    @method_decorator(cache_view(10, stale_while_revalidate=60), name="dispatch")
    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return rooms.page(request)

    return lambda: Page.as_view()(RequestFactory().get("/"))


def _asynchronous(rooms: Rooms) -> Callable[[], Any]:
    @cache_view(10, stale_while_revalidate=60)
    async def view(request: HttpRequest) -> HttpResponse:
        rooms.runs.append((threading.current_thread(), translation.get_language()))
        return HttpResponse(f"{len(rooms.runs)} of {await Kind.objects.acount()}")

    return lambda: async_to_sync(view)(RequestFactory().get("/"))


@pytest.mark.parametrize("make", [_sync, _class_based, _asynchronous])
def test_an_old_page_is_shown_while_it_is_made_anew(make: Any, clock: ManualClock) -> None:
    rooms = Rooms()
    get = make(rooms)
    with translation.override("de"):
        assert (get()["X-Cache"], get().content) == ("MISS", b"1 of 0")
        clock.advance(11)
        answer = get()
        assert (answer["X-Cache"], answer.content) == ("STALE", b"1 of 0")
        assert wait_until(lambda: get()["X-Cache"] == "HIT", 5)
        assert get().content == b"2 of 0"
    assert [language for _, language in rooms.runs] == ["de", "de"]
    renewer = rooms.runs[1][0]
    assert renewer is not threading.current_thread()
    renewer.join(5)
    assert not renewer.is_alive()


def test_in_an_event_loop_that_goes_on_it_is_a_task(clock: ManualClock) -> None:
    runs: list[int] = []

    @cache_view(10, stale_while_revalidate=60)
    async def view(request: HttpRequest) -> HttpResponse:
        runs.append(len(runs) + 1)
        return HttpResponse(str(runs[-1]))

    async def visits() -> list[str]:
        outcomes = []
        for pause in (0, 11, 0):
            clock.advance(pause)
            outcomes.append((await view(AsyncRequestFactory().get("/")))["X-Cache"])
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*others), 5)
        return outcomes

    assert asyncio.run(visits()) == ["MISS", "STALE", "HIT"]
    assert runs == [1, 2]


class Html(BaseRenderer):
    media_type = "text/html"
    format = "html"

    def render(self, data: Any, accepted_media_type: Any = None, context: Any = None) -> str:
        return f"<html>{data}</html>"


class Kinds(APIView):
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer, Html)
    runs = 0

    @method_decorator(cache_view(60))
    def get(self, request: Any) -> Response:
        type(self).runs += 1
        if "missing" in request.query_params:
            raise NotFound
        return Response([kind.name for kind in Kind.objects.order_by("pk")])


def ask(path: str = "/", accept: str = "application/json") -> Any:
    response: Any = Kinds.as_view()(RequestFactory().get(path, headers={"Accept": accept}))
    if not getattr(response, "is_rendered", True):
        response.render()
    return response


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_method_of_a_drf_view(accept: str) -> None:
    Kind.objects.create(name="first")
    first, second = ask(accept=accept), ask(accept=accept)
    assert (first["X-Cache"], second["X-Cache"]) == ("MISS", "HIT")
    assert first.content == second.content
    assert first["Content-Type"] == second["Content-Type"]
    assert first["Content-Type"].startswith(accept)
    Kind.objects.create(name="second")
    assert b"second" in ask(accept=accept).content


def test_representations_are_told_apart() -> None:
    assert ask().content == b"[]"
    assert b"<html" in ask(accept="text/html").content
    assert ask().content == b"[]"


def test_errors_of_drf_are_drf_s() -> None:
    for _ in range(2):
        assert ask("/?missing").status_code == 404
    assert not connection.in_atomic_block
