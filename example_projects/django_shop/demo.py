"""``python -m example_projects.django_shop.demo``: the shop, served and measured over HTTP.

Starts a real WSGI server on a database of its own, requests pages, edits a product through the
shop's own form, requests the pages again, and compares what they show with what the database says.
Only the standard library is used here; the shop and its cache are at the other end of the socket.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from example_projects.demonstration import Example, demonstrate
from example_projects.django_shop.serving import Server, database_for
from example_projects.django_shop.visiting import visit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 1 if a page was stale or nothing was cached, else 0."""
    example = Example(
        program="script/demo",
        description="Serve a cached Django shop and watch its pages stay right.",
        database=database_for,
        server=Server,
        visit=visit,
        invitation="The shop is at {url} (admin: demo / demo).",
    )
    return demonstrate(example, arguments)


if __name__ == "__main__":
    sys.exit(main())
