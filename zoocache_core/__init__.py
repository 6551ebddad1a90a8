"""A cache that forgets a value when its data changes.

The functions here belong to one default engine; :class:`Engine` makes more.
"""

from __future__ import annotations

from zoocache_core.deps import add_deps
from zoocache_core.engine import Engine
from zoocache_core.errors import (
    BusUnavailable,
    ConfigurationError,
    InvalidTag,
    NotConfigured,
    StorageIsFull,
    UnsupportedValue,
    ZooCacheError,
)
from zoocache_core.events import EventSink, LoggingSink, Stats
from zoocache_core.missing import MISSING
from zoocache_core.tags import tag

__all__ = [
    "MISSING",
    "BusUnavailable",
    "ConfigurationError",
    "Engine",
    "EventSink",
    "InvalidTag",
    "LoggingSink",
    "NotConfigured",
    "Stats",
    "StorageIsFull",
    "UnsupportedValue",
    "ZooCacheError",
    "add_deps",
    "cacheable",
    "clear",
    "clear_async",
    "configure",
    "default_engine",
    "delete",
    "delete_async",
    "fetch",
    "fetch_async",
    "get",
    "get_async",
    "get_many",
    "get_many_async",
    "get_tag_version",
    "invalidate",
    "invalidate_async",
    "prune",
    "reset",
    "set",
    "set_async",
    "set_many",
    "set_many_async",
    "stamp",
    "stats",
    "tag",
    "touch",
    "touch_async",
    "version",
]

default_engine = Engine.unconfigured()

cacheable = default_engine.cacheable
clear = default_engine.clear
clear_async = default_engine.clear_async
configure = default_engine.configure
delete = default_engine.delete
delete_async = default_engine.delete_async
fetch = default_engine.fetch
fetch_async = default_engine.fetch_async
get = default_engine.get
get_async = default_engine.get_async
get_many = default_engine.get_many
get_many_async = default_engine.get_many_async
get_tag_version = default_engine.get_tag_version
invalidate = default_engine.invalidate
invalidate_async = default_engine.invalidate_async
prune = default_engine.prune
reset = default_engine.reset
set = default_engine.set  # noqa: A001  the field's word, and the user's
set_async = default_engine.set_async
set_many = default_engine.set_many
set_many_async = default_engine.set_many_async
stamp = default_engine.stamp
stats = default_engine.stats
touch = default_engine.touch
touch_async = default_engine.touch_async
version = default_engine.version
