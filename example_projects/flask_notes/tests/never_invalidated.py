"""An application whose pages become stale, to see the demo notice it."""

from __future__ import annotations

from flask import Flask

from example_projects.flask_notes.notes import cache as extension
from example_projects.flask_notes.notes import create_app as create

__all__ = ["create_app"]


def create_app() -> Flask:
    """The notes, with an engine that forgets nothing."""
    app = create()
    extension.engine_of(app).publish = lambda tags, strict=False: True  # type: ignore[method-assign]
    extension.engine_of(app).forget = lambda tag: True
    return app
