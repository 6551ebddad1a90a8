"""``python -m example_projects.flask_notes.demo``: the notes, served and measured over HTTP.

Starts a real WSGI server on a database of its own, requests pages, edits a note through the form as
a logged-in author, requests the pages again, and compares what they show with the database.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext

from example_projects import demonstration
from example_projects.flask_notes.serving import Server, database_in
from example_projects.flask_notes.visiting import visit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 1 if a page was stale or nothing was cached, else 0."""
    parser = demonstration.parser(
        "script/demo flask", "Serve a cached Flask application and watch its pages stay right."
    )
    example = demonstration.Example(
        database=lambda directory: nullcontext(database_in(directory)),
        server=Server,
        visit=visit,
        invitation="The notes are at {url} (log in as demo / demo).",
    )
    return demonstration.demonstrate(example, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
