"""The course of a demo: serve an example, visit it over HTTP, edit something, visit again."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from example_projects.stores import STORAGES, store
from zoocache_core import ConfigurationError, Engine

__all__ = ["Example", "demonstrate", "parser"]


@dataclass(frozen=True)
class Example:
    """What differs between the examples.

    ``database`` makes one in a directory, for as long as its context lasts; ``server`` serves it,
    with a storage URL and a directory of its own, as a context; ``visit`` gives a report on both.
    """

    database: Callable[[Path], AbstractContextManager[Any]]
    server: Callable[[Any, str | None, Path], AbstractContextManager[Any]]
    visit: Callable[[Any, Any], Any]
    invitation: str


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """The options that every demo has."""
    options = argparse.ArgumentParser(prog=program, description=description)
    options.add_argument(
        "--once", action="store_true", help="exit after the report; status 1 if a page was wrong"
    )
    options.add_argument(
        "--storage", choices=STORAGES, default="lmdb", help="where pages are kept (%(default)s)"
    )
    return options


def demonstrate(example: Example, options: argparse.Namespace) -> int:
    """Run the demo. Returns 1 if a page was wrong or nothing was cached, else 0."""
    # A terminated demo stops its server and removes its directory, like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="zoocache-demo-"))
    try:
        with store(options.storage, directory) as url:
            return _run(example, options.storage, url, options.once, directory)
    except ConfigurationError as error:
        print(f"--storage {options.storage}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print()
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(example: Example, storage: str, url: str | None, once: bool, directory: Path) -> int:
    # Refuses a storage that cannot be used here, before anything is started.
    Engine(storage_url=url).reset()
    with example.database(directory) as database:
        print(f"Database  {database.describe()}")
        with example.server(database, url, directory) as server:
            print(f"Server    {server.describe()}, pages in {storage} storage")
            report = example.visit(server, database)
            print(f"{report.table()}\n\n{report.verdict()}")
            if not once:
                print(f"\n{example.invitation.format(url=server.url)} Stop it with Ctrl-C.")
                sys.stdout.flush()
                print(f"The server ended with status {server.wait()}.", file=sys.stderr)
                return 1
    return 0 if report.good() else 1
