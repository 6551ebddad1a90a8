"""Notes that people write and everybody may read: a small Flask application.

``create_app()`` makes it. What concerns the cache is marked (1) to (3), here and in ``pages.py``
and ``api.py``. There is nothing else: the views that write know nothing of it.
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

# (1) The extension, like any other: made here, given its application below. It finds
# Flask-SQLAlchemy there, and notices which rows pages are made of and when those are written.
cache = ZooCache()

DATABASE = Path(__file__).resolve().parents[1] / "notes.sqlite3"


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application.

    Where its notes are is said by the environment variable ``DATABASE_URL``, and where its pages
    are by ``ZOOCACHE_URL``, unless ``config`` says so.
    """
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ.get("NOTES_SECRET_KEY", "for this example on one machine only"),
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", f"sqlite:///{DATABASE}"),
        # (2) Where pages are kept: the memory of the process, unless somebody says otherwise.
        ZOOCACHE={
            "storage_url": os.environ.get("ZOOCACHE_URL") or None,
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
