"""What Django and Django REST framework build on a cache, built on ours."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import engines as template_engines
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.timezone import now
from django.views.decorators.cache import cache_page, never_cache
from rest_framework.decorators import api_view, throttle_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle

from tests.django.caches import STORAGES, caches_on
from zoocache_django import engines

BACKEND = "zoocache_django.cache.ZooCacheBackend"
_numbers = itertools.count()


def number(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{next(_numbers)} {request.GET.get('q', '')}")


@never_cache
def never(request: HttpRequest) -> HttpResponse:
    return number(request)


def count_visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


async def acount_visits(request: HttpRequest) -> HttpResponse:
    session: Any = request.session
    visits = await session.aget("visits", 0) + 1
    await session.aset("visits", visits)
    return HttpResponse(str(visits))


class TwiceAnHour(AnonRateThrottle):
    rate = "2/hour"


@api_view(["GET"])
@throttle_classes([TwiceAnHour])
def throttled(request: Request) -> Response:
    return Response("ok")


throttled.cls.permission_classes = [AllowAny]  # type: ignore[attr-defined]

urlpatterns = [
    path("page/", cache_page(60)(number)),
    path("number/", number),
    path("never/", never),
    path("visits/", count_visits),
    path("avisits/", acount_visits),
    path("throttled/", throttled),
]


@pytest.fixture(params=STORAGES, autouse=True)
def let_pass(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with caches_on(request.param, tmp_path, url) as made:
        alias = {"BACKEND": BACKEND, "LOCATION": made.location, "OPTIONS": made.options}
        with override_settings(CACHES={"default": alias}, ROOT_URLCONF=__name__):
            yield made.let_pass
    engines.close_all()


# Sessions


@pytest.mark.parametrize("kind", ["cache", "cached_db"])
@pytest.mark.django_db
def test_sessions(kind: str) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{kind}"):
        client, other = Client(), Client()
        assert [client.get("/visits/").content for _ in range(3)] == [b"1", b"2", b"3"]
        assert other.get("/visits/").content == b"1"
        assert Session.objects.count() == (2 if kind == "cached_db" else 0)
        key = client.cookies["sessionid"].value
        client.session.flush()
        assert client.get("/visits/").content == b"1"
        assert client.cookies["sessionid"].value != key


@pytest.mark.parametrize("kind", ["cache", "cached_db"])
@pytest.mark.django_db
def test_a_session_that_was_logged_out_is_gone(kind: str) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{kind}"):
        client = Client()
        client.force_login(User.objects.create_user("alice"))
        store = import_module(f"django.contrib.sessions.backends.{kind}").SessionStore
        key = client.cookies["sessionid"].value
        assert "_auth_user_id" in store(key).load()
        client.logout()
        assert store(key).load() == {}
        assert not store(key).exists(key)


@pytest.mark.django_db
def test_sessions_of_a_cleared_cache_come_from_the_database() -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cached_db"):
        client = Client()
        client.get("/visits/")
        caches["default"].clear()
        assert client.get("/visits/").content == b"2"


def test_two_new_sessions_never_get_one_key() -> None:
    from django.contrib.sessions.backends.cache import SessionStore

    class Predictable(SessionStore):
        keys = iter(["a" * 32, "a" * 32, "b" * 32])

        def _get_new_session_key(self) -> str:
            return next(self.keys)

    first, second = Predictable(), Predictable()
    first.create()
    second.create()
    assert (first.session_key, second.session_key) == ("a" * 32, "b" * 32)


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
@pytest.mark.skipif(
    not hasattr(import_module("django.contrib.sessions.backends.base").SessionBase, "aget"),
    reason="sessions of this Django have no asynchronous methods",
)
def test_asynchronous_sessions() -> None:
    async def main() -> list[bytes]:
        client = AsyncClient()
        return [(await client.get("/avisits/")).content for _ in range(3)]

    assert asyncio.run(main()) == [b"1", b"2", b"3"]


# Templates


def test_a_cached_fragment(let_pass: Any) -> None:
    source = "{% load cache %}{% cache 60 side user %}{{ value }}{% endcache %}"
    template = template_engines["django"].from_string(source)

    def render(**context: Any) -> str:
        return template.render(context)

    assert render(user="alice", value=1) == "1"
    assert render(user="alice", value=2) == "1"
    assert render(user="bob", value=3) == "3"
    from django.core.cache.utils import make_template_fragment_key

    caches["default"].delete(make_template_fragment_key("side", ["alice"]))
    assert render(user="alice", value=4) == "4"
    assert render(user="bob", value=5) == "3"


# Pages


def test_cache_page() -> None:
    client = Client()
    first = client.get("/page/?q=1").content
    assert client.get("/page/?q=1").content == first
    assert client.head("/page/?q=1").status_code == 200
    assert client.get("/page/?q=2").content != first
    caches["default"].clear()
    assert client.get("/page/?q=1").content != first


@override_settings(
    MIDDLEWARE=[
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
    CACHE_MIDDLEWARE_SECONDS=60,
)
def test_the_cache_middleware() -> None:
    client = Client()
    first = client.get("/number/")
    second = client.get("/number/")
    assert second.content == first.content
    assert second.headers["Cache-Control"] == first.headers["Cache-Control"] == "max-age=60"
    assert client.get("/never/").content != client.get("/never/").content


# Throttling


def test_throttling_of_rest_framework() -> None:
    client = Client()
    assert [client.get("/throttled/").status_code for _ in range(3)] == [200, 200, 429]
    elsewhere = client.get("/throttled/", REMOTE_ADDR="10.0.0.1")
    assert elsewhere.status_code == 200
    caches["default"].clear()
    assert client.get("/throttled/").status_code == 200


def test_a_model_instance_in_the_cache(db: None) -> None:
    alice = User.objects.create_user("alice")
    alice.last_login = now() - timedelta(days=1)
    caches["default"].set("alice", alice)
    caches["default"].set("deferred", User.objects.only("username").get())
    caches["default"].set("all", User.objects.filter(username="alice"))
    back = caches["default"].get("alice")
    assert back == alice
    assert back.last_login == alice.last_login
    assert caches["default"].get("deferred").get_deferred_fields() >= {"password"}
    User.objects.all().delete()
    assert list(caches["default"].get("all")) == [alice]
