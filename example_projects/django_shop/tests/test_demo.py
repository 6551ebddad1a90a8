"""``script/demo``, started as a user starts it: real server, real requests, real edit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "example_projects.django_shop.demo"]
SECONDS = 90


def run(*arguments: str, settings: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name[:6] != "DJANGO"}
    if settings is not None:
        module = f"example_projects.django_shop.tests.{settings}"
        environment.update(DJANGO_SETTINGS_MODULE=module, PYTHONPATH=str(ROOT))
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def rows(output: str) -> dict[str, str]:
    """What the table says about each page after the edit."""
    lines = re.findall(
        r"^(\S.*?) +[\d.]+ ms.*?(fresh|still cached|STALE|LOST|FOREIGN)", output, re.MULTILINE
    )
    return {name.strip(): outcome for name, outcome in lines}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("in SQLite", "gunicorn", "lmdb")),
        (
            ("--asgi", "--database", "postgresql", "--storage", "redis"),
            ("in PostgreSQL", "uvicorn", "redis"),
        ),
    ],
)
def test_every_page_is_fresh_and_the_others_are_kept(
    arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    result = run("--once", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    outcomes = rows(result.stdout)
    assert [name for name, outcome in outcomes.items() if outcome == "still cached"] == [
        "another product",
        "another product, REST API",
    ]
    assert list(outcomes.values()).count("fresh") == 9
    assert "never" not in result.stdout
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stdout
    # All of it is seen at once in a terminal of the usual size.
    lines = result.stdout.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 100


def test_it_notices_stale_pages() -> None:
    result = run("--once", "--storage", "memory", settings="never_invalidated")
    assert result.returncode == 1, result.stdout + result.stderr
    assert list(rows(result.stdout).values()).count("STALE") == 9
    assert "NOT GOOD, pages stale: 9" in result.stdout


def test_it_notices_pages_lost_without_a_reason() -> None:
    result = run("--once", settings="hardly_cached")
    assert result.returncode == 1, result.stdout + result.stderr
    assert list(rows(result.stdout).values()).count("LOST") == 2


def test_it_notices_pages_that_somebody_else_is_shown() -> None:
    result = run("--once", "--storage", "memory", settings="one_page_for_all")
    assert result.returncode == 1, result.stdout + result.stderr
    outcomes = rows(result.stdout)
    assert [name for name, outcome in outcomes.items() if outcome == "FOREIGN"] == ["ben's orders"]
    assert "shown to somebody else: 1" in result.stdout


def test_an_unknown_storage_is_refused() -> None:
    result = run("--once", "--storage", "floppy")
    assert result.returncode == 2
    assert "floppy" in result.stderr


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "project.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "Ctrl-C" in line:
                break
        url = re.search(r"The shop is at (http://127\.0\.0\.1:\d+/)", output)
        assert url is not None, output
        with urlopen(url[1], timeout=10) as answer:
            assert answer.status == 200
            assert answer.headers["X-Cache"] == "HIT"
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with pytest.raises(URLError):
        urlopen(url[1], timeout=10)
    assert list(tmp_path.iterdir()) == []
