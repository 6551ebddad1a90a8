"""A Django site of one file, for real servers: ``manage.py``, settings, views and applications.

Its caches come from the environment: ``SITE_PAGES`` is the STORAGE_URL of the pages, and
``SITE_VALUES`` the LOCATION of ``CACHES["default"]``, where the sessions are as well.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        CACHES={
            "default": {
                "BACKEND": "zoocache_django.cache.ZooCacheBackend",
                "LOCATION": os.environ["SITE_VALUES"],
            }
        },
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["SITE_DATABASE"],
                "OPTIONS": {"timeout": 20},
            }
        },
        DEBUG=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "zoocache_django"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests only",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        WSGI_APPLICATION=f"{__name__}.wsgi",
        ZOOCACHE={"STORAGE_URL": os.environ["SITE_PAGES"] or None},
    )
    django.setup()

from asgiref.sync import sync_to_async
from django.contrib.contenttypes.models import ContentType
from django.core.asgi import get_asgi_application
from django.core.cache import caches
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from zoocache_core import default_engine
from zoocache_django import cache_view, engines


@cache_view
def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ContentType.objects.get(pk=1).model)


@cache_view
async def aname(request: HttpRequest) -> HttpResponse:
    row = await sync_to_async(ContentType.objects.get)(pk=1)
    return HttpResponse(row.model)


@cache_view
def visits(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("visits", 0)))


def visit(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def rename(request: HttpRequest, to: str) -> HttpResponse:
    ContentType.objects.update_or_create(pk=1, defaults={"app_label": "a", "model": to})
    return HttpResponse(to)


def count(request: HttpRequest) -> HttpResponse:
    caches["default"].add("count", 0)
    return HttpResponse(str(caches["default"].incr("count")))


def about(request: HttpRequest) -> HttpResponse:
    behind = {id(caches[alias].engine) for alias in caches for _ in range(2)}  # type: ignore[attr-defined]
    return JsonResponse(
        {
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "engines": sorted(behind),
            "open": len(engines._engines),
            "errors": default_engine.stats().errors,
            "hits": default_engine.stats().hits,
        }
    )


urlpatterns = [
    path("name/", name),
    path("aname/", aname),
    path("visits/", visits),
    path("visit/", visit),
    path("rename/<str:to>/", rename),
    path("count/", count),
    path("about/", about),
]

wsgi: Any = get_wsgi_application()
asgi: Any = get_asgi_application()


if __name__ == "__main__":
    execute_from_command_line([str(Path(__file__)), *sys.argv[1:]])
