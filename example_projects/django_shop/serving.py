"""The servers that the demo can run the shop with: real ones, with several processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

from example_projects.django_shop.databases import SHOP, Database

START_SECONDS = 30.0


class Server:
    """Gunicorn or, for ASGI, Uvicorn with the shop, on a free port of the loopback interface."""

    def __init__(
        self, database: Database, storage_url: str | None, directory: Path, asgi: bool = False
    ) -> None:
        # Memory is not shared by processes, so there one process serves all requests.
        self.workers = 1 if storage_url is None else 2
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.program, arguments = self._uvicorn() if asgi else self._gunicorn(directory)
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.program, *arguments],
            env={
                **os.environ,
                "DATABASE_URL": database.url,
                "SHOP_DEBUG": "0",
                "ZOOCACHE_URL": storage_url or "",
                # The database is this run's own, so no pages of another run may be found.
                "ZOOCACHE_PREFIX": directory.name,
            },
            # The listening socket is made here and handed over: no other process takes the port.
            pass_fds=[self._listener.fileno()],
        )

    def _gunicorn(self, directory: Path) -> tuple[str, list[str]]:
        threads = 8 // self.workers
        return "gunicorn", [
            "project.wsgi",
            *("--chdir", str(SHOP), "--bind", f"fd://{self._listener.fileno()}"),
            *("--workers", str(self.workers), "--worker-class", "gthread"),
            *("--threads", str(threads), "--worker-tmp-dir", str(directory)),
            *("--log-level", "warning"),
        ]

    def _uvicorn(self) -> tuple[str, list[str]]:
        return "uvicorn", [
            "project.asgi:application",
            *("--app-dir", str(SHOP), "--fd", str(self._listener.fileno())),
            *("--workers", str(self.workers), "--lifespan", "off"),
            *("--log-level", "warning"),
        ]

    def describe(self) -> str:
        """What kind of server it is and where."""
        processes = "1 process" if self.workers == 1 else f"{self.workers} processes"
        return f"{self.program}, {processes}, at {self.url}"

    def wait(self) -> int:
        """Serve until the user interrupts; return the status of a server that ended by itself."""
        return self._process.wait()

    def __enter__(self) -> Server:  # noqa: PYI034 - typing has Self from Python 3.11 on
        try:
            # The socket listens already, so this waits until a worker has loaded the shop. The form
            # is not cached: loading the shop's modules does not count as making a page.
            with urlopen(f"{self.url}login/", timeout=START_SECONDS):
                return self
        except OSError as error:
            self.stop()
            raise SystemExit(
                f"The server did not answer within {START_SECONDS} s: {error}"
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and wait for it."""
        self._listener.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
