"""ZooCache for Django: pages and values that are forgotten when the rows they show change.

Add ``"zoocache_django"`` to ``INSTALLED_APPS``; ``settings.ZOOCACHE`` holds the options of
``zoocache_core.configure()``. The names below are imported on first use, because this package is
imported while Django loads its applications, when models cannot be yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from zoocache_core import add_deps, cacheable, invalidate, invalidate_async, tag
    from zoocache_django.managers import ZooCacheManager
    from zoocache_django.serializers import cacheable_serializer
    from zoocache_django.tags import depends_on, model_tag, row_tag
    from zoocache_django.views import cache_view
    from zoocache_django.writes import invalidate_model

__all__ = [
    "ZooCacheManager",
    "add_deps",
    "cache_view",
    "cacheable",
    "cacheable_serializer",
    "depends_on",
    "invalidate",
    "invalidate_async",
    "invalidate_model",
    "model_tag",
    "row_tag",
    "tag",
]

_HOMES: Final = {
    "ZooCacheManager": "zoocache_django.managers",
    "add_deps": "zoocache_core",
    "cache_view": "zoocache_django.views",
    "cacheable": "zoocache_core",
    "cacheable_serializer": "zoocache_django.serializers",
    "depends_on": "zoocache_django.tags",
    "invalidate": "zoocache_core",
    "invalidate_async": "zoocache_core",
    "invalidate_model": "zoocache_django.writes",
    "model_tag": "zoocache_django.tags",
    "row_tag": "zoocache_django.tags",
    "tag": "zoocache_core",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
