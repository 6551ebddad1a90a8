"""``manage.py zoocache_…``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.servers import RedisServer
from zoocache_core import default_engine


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


def test_check_fails_where_the_store_is_gone() -> None:
    with RedisServer() as server:
        url = server.url
    with (
        override_settings(ZOOCACHE={"STORAGE_URL": url}),
        pytest.raises(CommandError, match="could not be stored"),
    ):
        run("zoocache_check")


def test_passwords_are_not_shown() -> None:
    from zoocache_django.management.on_cache import place_of

    with override_settings(ZOOCACHE={"STORAGE_URL": "redis://:secret@localhost:1"}):
        assert place_of(default_engine) == "redis://localhost:1"
