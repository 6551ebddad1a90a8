"""An application that loses untouched pages, to see the demo notice it."""

from __future__ import annotations

from flask import Flask

from example_projects.flask_notes.notes import create_app as create


def create_app() -> Flask:
    """The notes, with room for a single page."""
    return create({"ZOOCACHE": {"max_entries": 1}})
