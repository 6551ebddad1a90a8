"""An application whose pages become stale, to see the demo notice it."""

from __future__ import annotations

from flask import Flask

from example_projects.flask_notes.notes import create_app as create


def create_app() -> Flask:
    """The notes, with nobody watching what is written to the database."""
    return create({"ZOOCACHE_SQLALCHEMY": False})
