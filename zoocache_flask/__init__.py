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

Flask is imported on first use of a name, so that ``zoocache_flask.sqlalchemy`` works without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "ZooCache": "zoocache_flask.extension",
    "add_deps": "zoocache_core",
    "cache_hit": "zoocache_flask.signals",
    "cache_invalidated": "zoocache_flask.signals",
    "cache_miss": "zoocache_flask.signals",
    "cache_view": "zoocache_flask.views",
    "cacheable": "zoocache_flask.functions",
    "cdn_purge_keys": "zoocache_core.http",
    "clear": "zoocache_flask.functions",
    "invalidate": "zoocache_flask.functions",
    "invalidate_async": "zoocache_flask.functions",
    "tag": "zoocache_core",
    "url_tag": "zoocache_core.http",
}


if not TYPE_CHECKING:  # which knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if not home.startswith("zoocache_core"):
            try:
                import_module("flask")
            except ImportError as error:
                raise ImportError(
                    f'zoocache_flask.{name} needs Flask: pip install "zoocache-frameworks[flask]"'
                ) from error
        found = globals()[name] = getattr(import_module(home), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
