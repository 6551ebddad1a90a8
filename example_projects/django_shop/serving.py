"""What the demo runs on: a seeded database of its own and a real WSGI server."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

SHOP = Path(__file__).resolve().parent
START_SECONDS = 30.0


@dataclass(frozen=True)
class Database:
    """The SQLite file behind the shop, as somebody sees it who does not go through the shop."""

    file: Path
    seeded_in: float | None
    """Seconds it took to fill it, or ``None`` if it was copied from an earlier run."""

    def one(self, query: str, *parameters: object) -> tuple[object, ...]:
        """The first row of an SQL query."""
        connection = sqlite3.connect(self.file, timeout=20)
        try:
            row: tuple[object, ...] = connection.execute(query, parameters).fetchone()
            return row
        finally:
            connection.close()

    def price(self, product: int) -> Decimal:
        """What a product costs."""
        (price,) = self.one("SELECT price FROM shop_product WHERE id = ?", product)
        return Decimal(str(price)).quantize(Decimal("0.01"))

    def describe(self) -> str:
        """How much is in it."""
        counts = [
            f"{self.one(f'SELECT COUNT(*) FROM shop_{table}')[0]:,} {name}"
            for table, name in (("product", "products"), ("review", "reviews"), ("sale", "sales"))
        ]
        how = "copied" if self.seeded_in is None else f"seeded in {self.seeded_in:.1f} s"
        return f"{', '.join(counts)} in SQLite, {how}"


def database_for(directory: Path) -> Database:
    """A database in ``directory``, made once and copied for each run."""
    seeded = SHOP / "var" / f"seeded-{_fingerprint()}.sqlite3"
    seconds = None
    if not seeded.exists():
        began = time.monotonic()
        seeded.parent.mkdir(exist_ok=True)
        fresh = directory / "fresh.sqlite3"
        for command in ("migrate", "seed"):
            subprocess.run(
                [sys.executable, "manage.py", command, "--verbosity", "0"],
                cwd=SHOP,
                env={**os.environ, "SHOP_DATABASE": str(fresh)},
                check=True,
                stdout=subprocess.DEVNULL,
            )
        for outdated in seeded.parent.glob("seeded-*"):
            outdated.unlink(missing_ok=True)
        part = seeded.with_suffix(f".{os.getpid()}")
        shutil.move(fresh, part)
        # Another demo that does the same meanwhile loses nothing: both files are equal.
        part.replace(seeded)
        seconds = time.monotonic() - began
    file = directory / "shop.sqlite3"
    shutil.copyfile(seeded, file)
    connection = sqlite3.connect(file)
    # Readers and a writer at the same time, as on a server. The mode stays with the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return Database(file, seconds)


def _fingerprint() -> str:
    import django

    digest = hashlib.blake2b(django.__version__.encode(), digest_size=8)
    for source in sorted((SHOP / "shop").rglob("*.py")):
        if {"migrations", "commands"} & set(source.parts):
            digest.update(source.read_bytes())
    return digest.hexdigest()


class Server:
    """Gunicorn with the shop, on a free port of the loopback interface."""

    def __init__(self, database: Database, storage_url: str | None, directory: Path) -> None:
        # Memory is not shared by processes, so there one process serves all requests.
        self.workers, self.threads = (1, 8) if storage_url is None else (2, 4)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        command = [sys.executable, "-m", "gunicorn", "project.wsgi", "--chdir", str(SHOP)]
        # The listening socket is made here and handed over: no other process can take the port.
        command += ["--bind", f"fd://{self._listener.fileno()}", "--worker-class", "gthread"]
        command += ["--workers", str(self.workers), "--threads", str(self.threads)]
        command += ["--log-level", "warning", "--worker-tmp-dir", str(directory)]
        self._process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "SHOP_DATABASE": str(database.file),
                "ZOOCACHE_URL": storage_url or "",
                # The database is this run's own, so no pages of another run may be found.
                "ZOOCACHE_PREFIX": directory.name,
            },
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
            # The socket listens already, so this waits until a worker has loaded the shop. The form
            # is not cached: loading the shop's modules does not count as making a page.
            with urlopen(f"{self.url}products/1/edit/", timeout=START_SECONDS):
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
