"""``manage.py zoocache_…``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.servers import RedisServer
from zoocache_core import default_engine
from zoocache_django.checks import check_deployment
from zoocache_django.management.on_cache import place_of

OURS = "zoocache_django.cache.ZooCacheBackend"


def run(*command: str, **options: Any) -> str:
    out = StringIO()
    call_command(*command, stdout=out, no_color=True, **options)
    return out.getvalue()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[None]:
    with override_settings(ZOOCACHE={"STORAGE_URL": f"lmdb://{tmp_path}"}):
        yield


@pytest.mark.usefixtures("shared")
def test_invalidate() -> None:
    default_engine.set("a", 1, deps="shop.product:1")
    default_engine.set("b", 1, deps="shop.maker")
    assert run("zoocache_invalidate", "shop.product", "other") == (
        "Invalidated shop.product, other.\n"
    )
    assert (default_engine.get("a"), default_engine.get("b")) == (None, 1)
    with pytest.raises(CommandError, match="ä"):
        run("zoocache_invalidate", "ä")


@pytest.mark.usefixtures("shared")
def test_clear() -> None:
    default_engine.set("a", 1)
    assert run("zoocache_clear") == "Cleared.\n"
    assert default_engine.get("a") is None


@pytest.mark.usefixtures("shared")
def test_stats() -> None:
    default_engine.set("a", 1)
    shown = json.loads(run("zoocache_stats", json=True))
    assert shown["entries"] == 1
    assert shown["storage"].startswith("lmdb://")
    assert "entries                  1\n" in run("zoocache_stats")


@pytest.mark.usefixtures("shared")
def test_check() -> None:
    assert run("zoocache_check").endswith("reachable, writable, coherent.\n")


@pytest.mark.parametrize("command", ["zoocache_clear", "zoocache_invalidate"])
def test_memory_of_other_processes_cannot_be_reached(command: str) -> None:
    arguments = ["shop.product"] if command == "zoocache_invalidate" else []
    with pytest.raises(CommandError, match="memory of each process"):
        run(command, *arguments)


@pytest.mark.parametrize("command", ["zoocache_check", "zoocache_stats", "zoocache_clear"])
def test_mistakes_in_the_settings_are_named(command: str) -> None:
    with (
        override_settings(ZOOCACHE={"STORAGE": "x"}),
        pytest.raises(CommandError, match="no option 'STORAGE'"),
    ):
        run(command)


@pytest.mark.parametrize(
    "command",
    [
        "zoocache_stats",
        "zoocache_prune",
        "zoocache_clear",
        "zoocache_invalidate a",
        "zoocache_check",
    ],
)
def test_a_store_that_is_gone_is_an_error(command: str) -> None:
    with RedisServer() as server:
        url = server.url.replace("redis://", "redis://:secret@")
    with (
        override_settings(ZOOCACHE={"STORAGE_URL": url}),
        pytest.raises(CommandError, match="could not be") as raised,
    ):
        run(*command.split())
    assert f":{server.port}" in str(raised.value)
    assert "secret" not in str(raised.value)
    # Nothing is delivered later by a process that has ended.
    assert "will be" not in str(raised.value)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("zoocache_prune --max-age x", "'x' is not allowed: expected a number of seconds"),
        ("zoocache_prune --max-age=-5", "'-5' is not allowed: expected a number of seconds"),
        ("zoocache_prune --max-age nan", "'nan' is not allowed: expected a number of seconds"),
        ("zoocache_invalidate a b/c", "invalid tag 'b/c': character '/'"),
        ("zoocache_invalidate", "arguments are required: TAG"),
        (
            "zoocache_stats --cache locl",
            "no cache 'locl' in settings.CACHES. Did you mean 'local'?",
        ),
        (
            "zoocache_check --cache other",
            "['other'] has the backend 'django.core.cache.backends.dum",
        ),
        ("zoocache_clear --cache local", "or set the LOCATION of 'local'"),
    ],
)
def test_mistakes_are_named_with_what_to_do(command: str, named: str, settings: Any) -> None:
    default_engine.set("a", 1, deps="a")
    settings.CACHES = {
        "default": {"BACKEND": OURS, "LOCATION": ""},
        "local": {"BACKEND": OURS, "LOCATION": "memory://of-a-process"},
        "other": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    }
    with pytest.raises(CommandError) as raised:
        run(*command.split())
    assert named in str(raised.value)
    assert default_engine.get("a") == 1


def test_an_alias_of_caches(settings: Any, tmp_path: Path) -> None:
    settings.ZOOCACHE = {"STORAGE_URL": f"lmdb://{tmp_path}/pages"}
    settings.CACHES = {"default": {"BACKEND": OURS, "LOCATION": f"lmdb://{tmp_path}/values"}}
    default_engine.set("a", 1, deps="a")
    caches["default"].set("b", 1, tags=["a"])
    caches["default"].set("c", 1)
    assert "/values" in run("zoocache_check", "--cache", "default")
    shown = json.loads(run("zoocache_stats", "--json", "--cache", "default"))
    assert (shown["entries"], shown["storage"]) == (2, f"lmdb://{tmp_path}/values")
    run("zoocache_invalidate", "a", "--cache", "default")
    assert (caches["default"].get("b"), caches["default"].get("c")) == (None, 1)
    run("zoocache_clear", "--cache", "default")
    assert caches["default"].get("c") is None
    assert "Dropped" in run("zoocache_prune", "--max-age", "0", "--cache", "default")
    assert default_engine.get("a") == 1


@pytest.mark.usefixtures("shared")
def test_a_model_in_the_case_of_its_class_is_pointed_out() -> None:
    err = StringIO()
    assert run("zoocache_invalidate", "library.Book:7", "own.Tag", stderr=err).startswith("Inval")
    assert "for the rows of that model write 'library.book:7'" in err.getvalue()
    assert "own.Tag" not in err.getvalue()
    err = StringIO()
    run("zoocache_invalidate", "library.book:7", stderr=err)
    assert err.getvalue() == ""


def test_memory_that_is_named_is_the_memory_of_a_process() -> None:
    with override_settings(ZOOCACHE={"STORAGE_URL": "memory://"}):
        with pytest.raises(CommandError, match="memory of each process"):
            run("zoocache_clear")
        assert "only this process was pruned" in run("zoocache_prune")
        assert [found.id for found in check_deployment()] == ["zoocache.W001"]


def test_passwords_are_not_shown() -> None:
    for url, shown in (
        ("redis://:secret@localhost:1", "redis://:***@localhost:1"),
        ("redis://localhost:1?password=secret", "redis://localhost:1?password=***"),
    ):
        with override_settings(ZOOCACHE={"STORAGE_URL": url}):
            assert place_of(default_engine) == shown
