"""``python -m example_projects.flask_notes.demo``: the notes, served and measured over HTTP.

Starts a real WSGI server on a database of its own, requests pages, edits a note through the form as
a logged-in author, requests the pages again, and compares what they show with the database.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from example_projects.flask_notes.serving import Server, database_in
from example_projects.flask_notes.visiting import visit
from zoocache_core import ConfigurationError, Engine

STORAGES = {
    "memory": None,
    "lmdb": "lmdb://{directory}/cache",
    "redis": "redis://localhost:6379",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 1 if a page was stale or nothing was cached, else 0."""
    options = _parser().parse_args(arguments)
    # A terminated demo stops its server and removes its directory, like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="zoocache-notes-"))
    try:
        return _run(options.storage, options.once, directory)
    except ConfigurationError as error:
        print(f"--storage {options.storage}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print()
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script/demo flask",
        description="Serve a cached Flask application and watch its pages stay right.",
    )
    parser.add_argument(
        "--once", action="store_true", help="exit after the report; status 1 if a page was stale"
    )
    parser.add_argument(
        "--storage", choices=STORAGES, default="memory", help="where pages are kept (%(default)s)"
    )
    return parser


def _run(storage: str, once: bool, directory: Path) -> int:
    template = STORAGES[storage]
    url = template and template.format(directory=directory)
    # Refuses a storage that cannot be used here, before anything is started.
    Engine(storage_url=url).reset()
    database = database_in(directory)
    print(f"Database  {database.describe()}")
    with Server(database, url, directory) as server:
        print(f"Server    {server.describe()}, pages in {storage} storage")
        report = visit(server, database)
        print(f"\n{report.table()}\n\n{report.verdict()}")
        if not once:
            print(f"\nThe notes are at {server.url} (log in as demo / demo). Stop with Ctrl-C.")
            sys.stdout.flush()
            print(f"The server ended with status {server.wait()}.", file=sys.stderr)
            return 1
    return 0 if report.good() else 1


if __name__ == "__main__":
    sys.exit(main())
