"""Pages that are made anew behind the visitor's back, and those of DRF's views."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import (
    AsyncClient,
    AsyncRequestFactory,
    Client,
    RequestFactory,
    override_settings,
)
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.django.store.models import Kind
from tests.django.visits import logged_in, text
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


tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_it_is_made_for_the_visitor_whose_request_it_was(
    kind: str, clock: ManualClock, serve: Callable[..., None]
) -> None:
    """With the same user, session and language, on a connection of its own."""
    seen: list[tuple[Any, ...]] = []
    threads: list[threading.Thread] = []

    def look(request: Any) -> HttpResponse:
        threads.append(threading.current_thread())
        seen.append(
            (
                request.user.get_username(),
                request.session["cart"],
                request.profile,
                tenant.get(),
                translation.get_language(),
                timezone.get_current_timezone_name(),
                connection.in_atomic_block,
            )
        )
        return HttpResponse(str(len(seen)))

    async def alook(request: Any) -> HttpResponse:
        return await sync_to_async(look)(request)

    def put_in_place(request: Any) -> None:
        request.profile = f"profile of {request.user}"
        tenant.set("ann's")
        translation.activate("de")
        timezone.activate("Asia/Tokyo")

    decorate = cache_view(10, stale_while_revalidate=60)
    serve(decorate(look if kind == "sync" else alook), put_in_place)
    ann = logged_in("ann")
    session = ann.session
    session["cart"] = "tea"
    session.save()
    assert text(ann) == "1"
    clock.advance(11)
    with transaction.atomic():
        answer = ann.get("/")
        assert (answer["X-Cache"], answer.content) == ("STALE", b"1")
        assert wait_until(lambda: len(seen) == 2, 5)
    expected = ("ann", "tea", "profile of ann", "ann's", "de", "Asia/Tokyo", False)
    assert seen == [expected, expected]
    assert threads[1] is not threading.current_thread()
    assert wait_until(lambda: text(ann) == "2", 5)
    assert not threads[1].is_alive() or wait_until(lambda: not threads[1].is_alive(), 5)


async def ask_server(application: Any) -> tuple[str, str]:
    """What a server of ASGI is told to send: where the page came from, and the page."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request", "body": b""})
    start, body = await server.receive_output(5), await server.receive_output(5)
    await server.wait(5)
    return dict(start["headers"])[b"X-Cache"].decode(), body["body"].decode()


def test_under_asgi_it_leaves_neither_a_thread_nor_a_connection(
    clock: ManualClock, serve: Callable[..., None]
) -> None:
    used: list[tuple[threading.Thread, Any]] = []

    def count() -> int:
        used.append((threading.current_thread(), connections["default"]))
        return Kind.objects.count()

    @cache_view(10, stale_while_revalidate=60)
    async def view(request: HttpRequest) -> HttpResponse:
        # The middleware is synchronous, so that the request's own thread waits for this.
        return HttpResponse(f"{await sync_to_async(count)()} of {len(used)}")

    async def visits() -> list[tuple[str, str]]:
        application = get_asgi_application()
        answers = [await ask_server(application)]
        clock.advance(11)
        answers.append(await ask_server(application))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others), 5)
        return [*answers, await ask_server(application)]

    serve(view)
    answers = asyncio.run(visits())
    assert answers == [("MISS", "0 of 1"), ("STALE", "0 of 1"), ("HIT", "0 of 2")]
    (first, _), (thread, used_there) = used
    assert thread is not first
    assert used_there.connection is None
    assert wait_until(lambda: not thread.is_alive(), 5)


def test_a_crowd_of_asynchronous_visitors_has_one_page_made_for_each_of_them(
    serve: Callable[..., None],
) -> None:
    runs: list[str] = []

    @cache_view
    async def view(request: Any) -> HttpResponse:
        name = await sync_to_async(lambda: request.user.get_username())()
        runs.append(name)
        await asyncio.sleep(0.02)
        return HttpResponse(name)

    async def crowd(*visitors: Client) -> list[str]:
        async def ask(visitor: Client) -> str:
            client = AsyncClient()
            client.cookies = visitor.cookies
            page: str = (await client.get("/")).content.decode()
            return page

        return await asyncio.gather(*map(ask, visitors))

    serve(view)
    ann, bob, nobody = logged_in("ann"), logged_in("bob"), Client()
    assert asyncio.run(crowd(nobody)) == [""]
    runs.clear()
    assert asyncio.run(crowd(*[ann, bob, nobody] * 8)) == ["ann", "bob", ""] * 8
    assert sorted(runs) == ["ann", "bob"]


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
