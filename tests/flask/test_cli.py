"""``flask zoocache ...``."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from tests.flask.conftest import MakeApp
from zoocache_core.testing import ManualClock
from zoocache_flask import ZooCache


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    runner: FlaskCliRunner = app.test_cli_runner()
    result = runner.invoke(args=["zoocache", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.fixture
def shared(make_app: MakeApp, redis_url: str) -> Flask:
    return make_app(storage_url=redis_url)


def test_invalidate_and_clear(shared: Flask) -> None:
    with shared.app_context():
        engine = ZooCache().engine
    for key in ("a", "b", "c"):
        engine.set(key, 1, deps=f"t:{key}")
    assert run(shared, "invalidate", "t:a", "t:b") == (0, "Invalidated t:a, t:b.\n")
    assert engine.get_many(["a", "b", "c"]) == {"c": 1}
    assert run(shared, "clear") == (0, "Cleared.\n")
    assert engine.get("c") is None
    status, output = run(shared, "invalidate", "bad tag")
    assert status == 1
    assert "bad tag" in output
    assert run(shared, "invalidate")[0] == 2


def test_memory_cannot_be_reached_from_a_command(app: Flask) -> None:
    for arguments in (["clear"], ["invalidate", "a"]):
        status, output = run(app, *arguments)
        assert status == 1
        assert "memory of each process" in output


def test_prune(app: Flask, clock: ManualClock) -> None:
    with app.app_context():
        ZooCache().invalidate("a:1", "b")
    clock.advance(1)
    assert run(app, "prune") == (0, "Pruned 0 branches of tags.\n")
    status, output = run(app, "prune", "--max-age", "0")
    assert (status, output) == (0, "Pruned 2 branches of tags.\n")
    assert run(app, "prune", "--max-age", "-1")[0] == 2


def test_stats(app: Flask) -> None:
    with app.app_context():
        ZooCache().engine.set("a", 1)
    status, output = run(app, "stats", "--json")
    assert status == 0
    assert json.loads(output)["entries"] == 1
    status, output = run(app, "stats")
    assert status == 0
    assert "entries" in output


def test_check(app: Flask, shared: Flask, make_app: MakeApp) -> None:
    for good in (app, shared):
        status, output = run(good, "check")
        assert status == 0
        assert "coherent" in output
    away = make_app(storage_url="redis://:password@127.0.0.1:1", socket_timeout=0.1)
    status, output = run(away, "check")
    assert status == 1
    assert "could not be stored" in output
    assert "password" not in output


def test_check_notices_what_is_not_forgotten(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoocache_core.Engine.invalidate", lambda *tags, strict=False: None)
    status, output = run(app, "check")
    assert status == 1
    assert "still there" in output


def test_other_caches_are_named(app: Flask) -> None:
    ZooCache(app, name="pages")
    assert run(app, "check", "--cache", "pages")[0] == 0
    status, output = run(app, "check", "--cache", "paegs")
    assert status == 2
    assert "default, pages" in output
    ZooCache(name="pages").close(app)
