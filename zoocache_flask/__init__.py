"""ZooCache for Flask: pages and values that are forgotten when their data changes.

::

    from flask import Flask
    from zoocache_flask import ZooCache, cache_view

    app = Flask(__name__)
    cache = ZooCache(app)

    @app.get("/products/<int:pk>")
    @cache_view(deps=lambda pk: f"product:{pk}")
    def product(pk): ...

What these functions do is done with the cache of the application in whose context they run.
"""

from __future__ import annotations

try:
    import flask as _flask  # noqa: F401
except ImportError as error:
    raise ImportError(
        'zoocache_flask needs Flask: pip install "zoocache-frameworks[flask]"'
    ) from error

from zoocache_core import add_deps, tag
from zoocache_core.http import cdn_purge_keys, url_tag
from zoocache_flask.extension import ZooCache
from zoocache_flask.functions import cacheable, clear, invalidate, invalidate_async
from zoocache_flask.signals import cache_hit, cache_invalidated, cache_miss
from zoocache_flask.views import cache_view

__all__ = [
    "ZooCache",
    "add_deps",
    "cache_hit",
    "cache_invalidated",
    "cache_miss",
    "cache_view",
    "cacheable",
    "cdn_purge_keys",
    "clear",
    "invalidate",
    "invalidate_async",
    "tag",
    "url_tag",
]
