"""``python -m example_projects.django_shop.demo``: the shop, served and measured over HTTP.

Starts a real server on a database of its own, requests pages as several visitors, edits a product
through the shop's own form, requests the pages again, and compares what they show with what the
database says. The shop and its cache are at the other end of the socket.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from example_projects import demonstration
from example_projects.django_shop.databases import DATABASES
from example_projects.django_shop.serving import Server
from example_projects.django_shop.visiting import visit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 1 if a page was wrong or nothing was cached, else 0."""
    parser = demonstration.parser(
        "script/demo", "Serve a cached Django shop and watch its pages stay right."
    )
    parser.add_argument(
        "--database", choices=DATABASES, default="sqlite", help="what is behind it (%(default)s)"
    )
    parser.add_argument(
        "--asgi", action="store_true", help="serve it with uvicorn instead of gunicorn"
    )
    options = parser.parse_args(arguments)
    example = demonstration.Example(
        database=DATABASES[options.database],
        server=partial(Server, asgi=options.asgi),
        visit=visit,
        invitation="The shop is at {url} (log in as ada, ben or, as staff, demo; password: demo).",
    )
    return demonstration.demonstrate(example, options)


if __name__ == "__main__":
    sys.exit(main())
