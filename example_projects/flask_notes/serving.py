"""What the demo runs on: a seeded database of its own and a real WSGI server."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = "example_projects.flask_notes.notes:create_app()"
START_SECONDS = 30.0


@dataclass(frozen=True)
class Database:
    """The SQLite file behind the notes, as somebody sees it who does not go through Flask."""

    file: Path
    seeded_in: float

    def one(self, query: str, *parameters: object) -> tuple[object, ...]:
        """The first row of an SQL query."""
        connection = sqlite3.connect(self.file, timeout=20)
        try:
            row: tuple[object, ...] = connection.execute(query, parameters).fetchone()
            return row
        finally:
            connection.close()

    def describe(self) -> str:
        """How much is in it."""
        counts = [
            f"{self.one(f'SELECT COUNT(*) FROM {table}')[0]:,} {name}"
            for table, name in (("note", "notes"), ("user", "authors"), ("subject", "subjects"))
        ]
        return f"{', '.join(counts)} in SQLite, seeded in {self.seeded_in:.1f} s"


def database_in(directory: Path) -> Database:
    """A fresh, seeded database."""
    database = Database(directory / "notes.sqlite3", 0.0)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "flask", "--app", APPLICATION, "seed"],
        cwd=ROOT,
        env=_environment(database, None, directory),
        check=True,
    )
    connection = sqlite3.connect(database.file)
    # Readers and a writer at the same time, as on a server. The mode stays with the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return Database(database.file, time.monotonic() - began)


def _environment(database: Database, storage_url: str | None, directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database.file}",
        "ZOOCACHE_URL": storage_url or "",
        # The database is this run's own, so no pages of another run may be found.
        "NOTES_PREFIX": directory.name,
    }


class Server:
    """Gunicorn with the notes, on a free port of the loopback interface."""

    def __init__(self, database: Database, storage_url: str | None, directory: Path) -> None:
        # Memory is not shared by processes, so there one process serves all requests.
        self.workers, self.threads = (1, 8) if storage_url is None else (2, 4)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        application = os.environ.get("NOTES_APPLICATION", APPLICATION)
        command = [sys.executable, "-m", "gunicorn", application, "--chdir", str(ROOT)]
        # The listening socket is made here and handed over: no other process can take the port.
        command += ["--bind", f"fd://{self._listener.fileno()}", "--worker-class", "gthread"]
        command += ["--workers", str(self.workers), "--threads", str(self.threads)]
        command += ["--log-level", "warning", "--worker-tmp-dir", str(directory)]
        self._process = subprocess.Popen(
            command,
            env=_environment(database, storage_url, directory),
            pass_fds=[self._listener.fileno()],
        )

    def describe(self) -> str:
        """What kind of server it is and where."""
        processes = f"{self.workers} process{'es' if self.workers > 1 else ''}"
        return f"gunicorn, {processes} of {self.threads} threads, at {self.url}"

    def wait(self) -> int:
        """Serve until the user interrupts; return the status of a server that ended by itself."""
        return self._process.wait()

    def __enter__(self) -> Server:  # noqa: PYI034 - typing has Self from Python 3.11 on
        try:
            # The socket listens already, so this waits until a worker has loaded the application.
            with urlopen(f"{self.url}login", timeout=START_SECONDS):
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
