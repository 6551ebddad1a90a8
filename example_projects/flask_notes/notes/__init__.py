"""Notes that people write and everybody may read: a small Flask application.

``create_app()`` makes it. What concerns the cache is marked (1) to (4), here and in ``cache.py``,
``pages.py`` and ``accounts.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from example_projects.flask_notes.notes import accounts, api, pages
from example_projects.flask_notes.notes.models import db
from example_projects.flask_notes.notes.seeding import seed
from zoocache_flask import ZooCache

# (1) The extension, like any other: made here, given its application below.
cache = ZooCache()

DATABASE = Path(__file__).resolve().parents[1] / "notes.sqlite3"


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application. Without ``config`` it reads ``NOTES_...`` environment variables."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ.get("NOTES_SECRET_KEY", "for this example on one machine only"),
        SQLALCHEMY_DATABASE_URI=os.environ.get("NOTES_DATABASE", f"sqlite:///{DATABASE}"),
        # (2) Where pages are kept: the memory of the process, unless somebody says otherwise.
        ZOOCACHE={
            "storage_url": os.environ.get("NOTES_STORAGE_URL") or None,
            "prefix": os.environ.get("NOTES_PREFIX", "notes"),
        },
    )
    app.config.update(config or {})
    db.init_app(app)
    cache.init_app(app)
    for part in (pages, api, accounts):
        app.register_blueprint(part.blueprint)
    app.cli.command("seed", help="Fill an empty database with notes.")(seed)
    return app
