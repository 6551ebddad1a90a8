"""Views of every kind, each of which counts how often it really ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import DetailView

from tests.django.library.models import Book
from zoocache_django import add_deps, cache_view, row_tag

runs: Counter[str] = Counter()

before_view: list[Callable[[HttpRequest], None]] = []


def meanwhile(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware that does what a test wants done between the arrival of a request and its
    view."""

    def middleware(request: HttpRequest) -> Any:
        for act in before_view:
            act(request)
        return get_response(request)

    return middleware


def ran(name: str) -> str:
    """Count a run; the text tells it from earlier ones."""
    runs[name] += 1
    return f"{name} run {runs[name]}"


@cache_view
def bare(request: HttpRequest, **arguments: Any) -> HttpResponse:
    return HttpResponse(ran("bare"))


@cache_view(60)
def positional_ttl(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ran("positional_ttl"))


@cache_view(ttl=60, deps=lambda request, pk: [f"library.book:{pk}"])
def book(request: HttpRequest, pk: int) -> HttpResponse:
    row = Book.objects.filter(pk=pk).first()
    if row is None:
        raise Http404
    return HttpResponse(f"{row.title} ({ran('book')})")


@cache_view(deps="library.book")
def books(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{Book.objects.count()} ({ran('books')})")


@cache_view
def book_with_added_deps(request: HttpRequest, title: str) -> HttpResponse:
    row = Book.objects.get(title=title)
    add_deps([row_tag(row)])
    return HttpResponse(f"{row.author_id} ({ran('book_with_added_deps')})")


@cache_view
def unnamed(request: HttpRequest, first: str, second: str) -> HttpResponse:
    return HttpResponse(f"{first}/{second} ({ran('unnamed')})")


@cache_view
def answer(request: HttpRequest, kind: str) -> HttpResponse:
    """A response of the kind that the URL asks for."""
    text = ran(f"answer {kind}")
    response = HttpResponse(text)
    if kind == "error":
        return HttpResponse(text, status=503)
    if kind == "redirect":
        return HttpResponseRedirect("/bare/")
    if kind == "missing":
        raise Http404(text)
    if kind == "stream":
        return StreamingHttpResponse([text])  # type: ignore[return-value]
    if kind == "cookie":
        response.set_cookie("visit", text)
    elif kind == "csrf":
        return render(request, "form.html")
    elif kind == "session":
        request.session["seen"] = text
    elif kind == "message":
        messages.info(request, text)
    elif kind == "headers":
        response["X-Headers"] = str(sorted(request.headers))
    elif kind == "environ":
        response["X-Environ"] = str(len({**request.META}))
    elif kind.startswith("cache-control:"):
        response["Cache-Control"] = kind.partition(":")[2]
    elif kind == "vary":
        response["Vary"] = "*"
    return response


@cache_view
def reads(request: HttpRequest, what: str) -> HttpResponse:
    """A page made from what the URL asks for."""
    text = {
        "nothing": lambda: "",
        "user": lambda: str(request.user),
        "user in a template": lambda: render(request, "greeting.html").content.decode(),
        "user unread": lambda: render(request, "plain.html", {"n": 1}).content.decode(),
        "session": lambda: str(request.session.get("cart")),
        "user and session": lambda: f"{request.user} {request.session.get('cart')}",
        "session key": lambda: str(request.session.session_key),
        "cookie": lambda: str(request.COOKIES.get("theme")),
        "cookies": lambda: str(sorted(request.COOKIES.items())),
        "header": lambda: str(request.headers.get("X-Device")),
        "meta": lambda: str(request.META.get("HTTP_X_DEVICE")),
        "environ": lambda: str(getattr(request, "environ", {}).get("HTTP_X_DEVICE")),
        "address": lambda: str(request.META["REMOTE_ADDR"]),
        "language": lambda: str(translation.get_language()),
        "time zone": lambda: timezone.get_current_timezone_name(),
        "messages": lambda: render(request, "messages.html").content.decode(),
        "host": lambda: request.build_absolute_uri("/"),
    }[what]()
    return HttpResponse(f"{text} ({ran(f'reads {what}')})")


@cache_view
def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "plain.html", {"n": ran("template")})


@method_decorator(cache_view(60), name="dispatch")
class DecoratedClass(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(ran("DecoratedClass"))


@method_decorator(cache_view, name="dispatch")
class DecoratedDetail(DetailView):
    model = Book
    template_name = "plain.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        add_deps([row_tag(self.object)])
        return super().get_context_data(n=f"{self.object.title} {ran('DecoratedDetail')}", **kwargs)


@method_decorator(cache_view, name="dispatch")
class AsyncClass(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(ran("AsyncClass"))


class PlainClass(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(ran("PlainClass"))

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(ran("PlainClass post"))


wrapped_class = cache_view(csrf_exempt(PlainClass.as_view()))


@cache_view(ttl=60, deps=lambda request, pk: [f"library.book:{pk}"])
async def async_book(request: HttpRequest, pk: int) -> HttpResponse:
    row = await Book.objects.aget(pk=pk)
    return HttpResponse(f"{row.title} ({ran('async_book')})")


@cache_view
async def async_reads(request: HttpRequest, what: str) -> HttpResponse:
    if what == "user":
        # Coroutine methods came with Django 5.0 (user) and 5.1 (session).
        find = getattr(request, "auser", sync_to_async(lambda: request.user.username))
        text = str(await find())
    elif what == "user by thread":
        text = await sync_to_async(lambda: str(request.user))()
    elif what == "session":
        find = getattr(request.session, "aget", sync_to_async(request.session.get))
        text = str(await find("cart"))
    else:
        text = ""
    return HttpResponse(f"{text} ({ran(f'async_reads {what}')})")


@cache_view
async def async_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "plain.html", {"n": ran("async_template")})


@cache_view
def no_response(request: HttpRequest) -> HttpResponse:
    return "text"  # type: ignore[return-value]


@cache_view
def writes(request: HttpRequest, pk: int) -> HttpResponse:
    """Changes the row that it shows."""
    row = Book.objects.get(pk=pk)
    add_deps([row_tag(row)])
    row.title += "!"
    row.save()
    return HttpResponse(f"{row.title} ({ran('writes')})")
