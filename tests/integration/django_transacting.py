"""A process of the differential test that reads and writes through Django."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": "127.0.0.1",
                "PORT": sys.argv[1],
                "NAME": sys.argv[2],
                "USER": "postgres",
                "OPTIONS": {"options": "-c deadlock_timeout=20ms -c lock_timeout=2s"},
            }
        },
        INSTALLED_APPS=["tests.integration.django_rows", "zoocache_django"],
        SECRET_KEY="for tests only",
        ZOOCACHE={},
    )
    django.setup()

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tests.integration.commits import ROWS, part_of
from tests.integration.django_rows.models import Row
from tests.integration.transacting import LEVELS, Task, serve
from zoocache_core import Stats, default_engine
from zoocache_django import cache_view, cacheable, conf, model_tag

Rows = dict[int, tuple[int, int]]

requests = RequestFactory()


def versions(queryset: Any) -> Rows:
    return {pk: (version, token) for pk, version, token in queryset}


def objects(rows: Any) -> Rows:
    return {row.pk: (row.version, row.token) for row in rows}


def values(manager: Any) -> Any:
    return manager.values_list("id", "version", "token")


@cacheable
def one(row: int) -> Rows:
    return objects([Row.objects.get(pk=row)])


@cacheable
def part(number: int) -> Rows:
    return objects(Row.objects.filter(part=number))


@cacheable
def everything() -> Rows:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, version, token FROM row_of_test")
        return versions(cursor.fetchall())


@cacheable
def built_of_parts(number: int) -> Rows:
    """Its only statement is that of what it calls."""
    return part(number)


@cacheable
def with_transaction(number: int) -> Rows:
    with transaction.atomic():
        return objects(Row.objects.filter(part=number))


def by_hand() -> Rows:
    """Looked up, read and stored, in three steps."""
    found: Rows | None = default_engine.get("all by hand")
    if found is None:
        found = versions(values(Row.objects))
        default_engine.set("all by hand", found, deps=model_tag(Row))
    return found


@cache_view
def page_of_one(request: HttpRequest, row: int) -> HttpResponse:
    return HttpResponse(json.dumps(list(values(Row.objects).filter(pk=row))))


@cache_view(ttl=60)
def page_of_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(list(values(Row.objects))))


def shown(response: Any) -> Rows:
    return versions(json.loads(response.content))


class DjangoClient:
    conflicts = (OperationalError,)
    loaded: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()

    reads: ClassVar[dict[str, Callable[[int], Rows]]] = {
        "function of a row": one,
        "function of a part": lambda row: part(part_of(row)),
        "function of all": lambda row: everything(),
        "function with a transaction": lambda row: with_transaction(part_of(row)),
        "by hand": lambda row: by_hand(),
        "function of a function": lambda row: built_of_parts(part_of(row)),
        "queryset of a row": lambda row: objects([Row.cached.get(pk=row)]),
        "queryset of a part": lambda row: objects(Row.cached.filter(part=part_of(row))),
        "queryset of values": lambda row: versions(values(Row.cached)),
        "view of a row": lambda row: shown(page_of_one(requests.get(f"/{row}"), row=row)),
        "view of all": lambda row: shown(page_of_all(requests.get("/"))),
    }

    def __init__(self) -> None:
        self.writes = {
            "save": self.save,
            "update": lambda row, token: Row.objects.filter(pk=row).update(
                version=F("version") + 1, token=token
            ),
            "raw": lambda row, token: self.raw(
                "UPDATE row_of_test SET version = version + 1, token = %s WHERE id = %s", token, row
            ),
        }
        self.bulk = {
            "update": lambda part, token: Row.objects.filter(part=part).update(
                version=F("version") + 1, token=token + F("id")
            ),
            "bulk_update": self.bulk_update,
            "raw": lambda part, token: self.raw(
                "UPDATE row_of_test SET version = version + 1, token = %s + id WHERE part = %s",
                token,
                part,
            ),
        }

    @staticmethod
    def save(row: int, token: int) -> None:
        found = Row.objects.select_for_update().get(pk=row)
        found.version += 1
        found.token = token
        found.save()

    @staticmethod
    def bulk_update(part: int, token: int) -> None:
        rows = list(Row.objects.select_for_update().filter(part=part))
        for row in rows:
            row.version += 1
            row.token = token + row.pk
        Row.objects.bulk_update(rows, ["version", "token"])

    @staticmethod
    def raw(statement: str, *parameters: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def start(self, task: Task) -> None:
        settings.ZOOCACHE = task.settings
        default_engine.reset()
        conf.apply()
        default_engine.clear()

    def stop(self) -> None:
        default_engine.reset()

    def stats(self) -> Stats:
        return default_engine.stats()

    @contextmanager
    def request(self) -> Iterator[None]:
        yield

    @contextmanager
    def transaction(self, level: str) -> Iterator[None]:
        with transaction.atomic():
            if level != LEVELS[0]:
                self.raw(f"SET TRANSACTION ISOLATION LEVEL {level}")
            yield

    def savepoint(self) -> Any:
        return transaction.atomic()

    def plain(self) -> Rows:
        return versions(values(Row.objects).filter(pk__in=ROWS))

    def swap(self, row: int, version: int, token: int) -> bool:
        found = Row.objects.filter(pk=row, version=version)
        return found.update(version=version + 1, token=token) == 1


if __name__ == "__main__":
    serve(DjangoClient())
