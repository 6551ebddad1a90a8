"""ZooCache for SQLAlchemy and Flask-SQLAlchemy: cached values know which rows they were made of.

::

    from zoocache_flask.sqlalchemy import track

    track(engine)      # or a sessionmaker, an AsyncEngine, the SQLAlchemy of Flask-SQLAlchemy

From then on what a cached function reads through SQLAlchemy is registered as its deps, and what is
written is invalidated when it is committed. No application of Flask is needed for it.
"""

from __future__ import annotations

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise ImportError(
        'zoocache_flask.sqlalchemy needs SQLAlchemy: pip install "zoocache-frameworks[sqlalchemy]"'
    ) from error

from zoocache_flask import mapped
from zoocache_flask.sqlalchemy.tags import depends_on, row_tags, table_tags
from zoocache_flask.sqlalchemy.tracking import Tracking, track

__all__ = ["Tracking", "depends_on", "row_tags", "table_tags", "track"]

mapped.install()
