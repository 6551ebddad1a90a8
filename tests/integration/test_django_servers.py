"""Django's development server, and the servers of production, with pages and values in shared
stores: what one thread or process writes, all others know at once."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ServerProcess, wait_until
from tests.servers.process import HOST
from zoocache_core.testing import in_threads

SITE = Path(__file__).with_name("django_site.py")
ROOT = SITE.parents[2]
WORKERS = 2


class DjangoServer(ServerProcess):
    """The site, served by ``arguments`` (of ``python``), in a process group of its own."""

    name = "django"

    def __init__(self, pages: str, values: str, *arguments: str) -> None:
        super().__init__()
        self.arguments = arguments
        self.site = Path(shutil.copy(SITE, self.directory))
        self._popen_options = {
            "start_new_session": True,
            "env": {
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{self.directory}",
                "PYTHONWARNINGS": "error::ResourceWarning",
                "SITE_PAGES": pages,
                "SITE_VALUES": values,
                "SITE_DATABASE": str(self.directory / "db.sqlite3"),
            },
        }
        self.manage("migrate", "--verbosity=0")

    def manage(self, *command: str) -> str:
        """What ``manage.py`` says."""
        ended = subprocess.run(
            [sys.executable, str(self.site), *command],
            env=self._popen_options["env"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def command(self) -> list[str]:
        address = f"{HOST}:{self.port}"
        named = {"ADDRESS": address, "SITE": str(self.site), "PORT": str(self.port)}
        return [sys.executable, *(named.get(word, word) for word in self.arguments)]

    def answers(self) -> bool:
        return self.answering() is not None

    def answering(self) -> int | None:
        """The process that answers, if there is one at the moment."""
        with suppress(OSError, http.client.HTTPException):
            return int(self.about()["pid"])
        return None

    def _end(self, number: signal.Signals) -> None:
        # The reloader's child, and workers, are told as well.
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        super()._end(number)

    def get(self, path: str, cookie: str = "") -> tuple[str, dict[str, str]]:
        """A page on a connection of its own, which any worker may accept."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            body = response.read().decode()
            assert response.status == 200, f"{path}: {response.status} {body:.2000}\n{self.log}"
            return body, dict(response.getheaders())
        finally:
            connection.close()

    def about(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.get("/about/")[0])
        return told

    def workers(self, number: int) -> dict[int, dict[str, Any]]:
        seen: dict[int, dict[str, Any]] = {}

        def all_seen() -> bool:
            told = self.about()
            seen[told["pid"]] = told
            return len(seen) == number

        assert wait_until(all_seen, deadline=30), f"only {seen} answered\n{self.log}"
        return seen


@contextmanager
def serving(*arguments: str, pages: str, values: str) -> Iterator[DjangoServer]:
    server = DjangoServer(pages, values, *arguments)
    with server:
        yield server
        assert not re.search("Traceback|Exception ignored|ResourceWarning", server.log), server.log


def everybody_knows(server: DjangoServer, asynchronous: bool) -> None:
    """Rename a row, count, and visit, from several connections at once; read in between."""
    pages = ["/name/", "/aname/"] if asynchronous else ["/name/"]
    for number in range(6):
        server.get(f"/rename/r{number}/")
        read = [server.get(page)[0] for page in pages for _ in range(2 * WORKERS)]
        assert set(read) == {f"r{number}"}
    counted = in_threads(4, lambda _: [int(server.get("/count/")[0]) for _ in range(5)])
    assert sorted(number for found in counted for number in found)[-1] % 20 == 0
    cookie = server.get("/visit/")[1]["Set-Cookie"].partition(";")[0]
    for number in range(1, 4):
        read = [server.get("/visits/", cookie)[0] for _ in range(2 * WORKERS)]
        assert set(read) == {str(number)}
        assert server.get("/visits/")[0] == "0"
        server.get("/visit/", cookie)
    assert server.get("/name/")[1]["X-Cache"] == "HIT"


def test_the_development_server_with_threads_that_reloads(tmp_path: Path, redis_url: str) -> None:
    lmdb = f"lmdb://{tmp_path / 'pages'}"
    with serving("SITE", "runserver", "ADDRESS", pages=lmdb, values=redis_url) as server:
        everybody_knows(server, asynchronous=True)
        told = [server.about() for _ in range(4)]
        assert len({one["thread"] for one in told}) > 1
        assert len({tuple(one["engines"]) for one in told}) == 1
        assert {(one["open"], one["errors"]) for one in told} == {(1, 0)}
        before = told[0]["pid"]
        # Its modification time is what the reloader looks at, once a second.
        later = server.site.stat().st_mtime + 5
        os.utime(server.site, (later, later))

        def reloaded() -> bool:
            return server.answering() not in (None, before)

        assert wait_until(reloaded, deadline=30, interval=0.1), server.log
        # The pages have outlived it, and it knows what was invalidated before it began.
        assert server.get("/name/")[1]["X-Cache"] == "HIT"
        server.manage("zoocache_invalidate", "contenttypes.contenttype")
        assert server.get("/name/")[1]["X-Cache"] == "MISS"
        everybody_knows(server, asynchronous=True)
        assert server.about()["errors"] == 0


def test_the_development_server_with_everything_in_memory() -> None:
    arguments = ("SITE", "runserver", "--noreload", "ADDRESS")
    with serving(*arguments, pages="", values="memory://values") as server:
        everybody_knows(server, asynchronous=True)
        assert server.about()["errors"] == 0


GUNICORN = (
    "-m",
    "gunicorn",
    f"--workers={WORKERS}",
    "--threads=2",
    "--preload",
    "--bind",
    "ADDRESS",
)
UVICORN = ("-m", "uvicorn", f"--workers={WORKERS}", f"--host={HOST}", "--port", "PORT")


@pytest.mark.parametrize(
    ("arguments", "pages_in"),
    [((*GUNICORN, "django_site:wsgi"), "redis"), ((*UVICORN, "django_site:asgi"), "lmdb")],
    ids=["gunicorn", "uvicorn"],
)
def test_servers_with_several_processes(
    tmp_path: Path, redis_url: str, arguments: tuple[str, ...], pages_in: str
) -> None:
    stores = [f"lmdb://{tmp_path / 'store'}", redis_url]
    pages, values = stores if pages_in == "lmdb" else reversed(stores)
    with serving(*arguments, pages=pages, values=values) as server:
        before = server.workers(WORKERS)
        everybody_knows(server, asynchronous="uvicorn" in arguments)
        assert all(told["errors"] == 0 for told in server.workers(WORKERS).values())
        os.kill(next(iter(before)), signal.SIGKILL)
        everybody_knows(server, asynchronous="uvicorn" in arguments)
        assert server.workers(WORKERS).keys() != before.keys()
