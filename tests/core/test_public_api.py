"""The public names. A change here is a change for users, and belongs into the changelog."""

from __future__ import annotations

import subprocess
import sys

import zoocache
import zoocache_core

PUBLIC = {
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
}


def test_the_public_names() -> None:
    assert set(zoocache_core.__all__) == PUBLIC
    assert set(zoocache.__all__) == PUBLIC
    assert len(zoocache_core.__all__) == len(PUBLIC)


def test_every_public_name_exists_and_is_the_same_in_both_packages() -> None:
    for name in PUBLIC:
        assert getattr(zoocache, name) == getattr(zoocache_core, name)


def test_every_public_callable_is_documented() -> None:
    for name in PUBLIC:
        value = getattr(zoocache, name)
        if callable(value):
            assert value.__doc__, name


def test_importing_loads_no_framework_and_no_store() -> None:
    code = (
        "import sys, zoocache; "
        "print([m for m in ('django', 'flask', 'redis', 'lmdb', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
