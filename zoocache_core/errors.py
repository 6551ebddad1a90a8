"""Every error that ZooCache raises on purpose.

::

    Exception
     └─ ZooCacheError
         ├─ InvalidTag            (also ValueError)
         ├─ StorageIsFull
         ├─ NotConfigured         (also RuntimeError)
         ├─ ConfigurationError    (also ValueError)
         ├─ BusUnavailable        (also ConnectionError)
         └─ UnsupportedValue      (also TypeError)

Each one also derives from the built-in error that describes it, so code that already catches
``ValueError`` or ``ConnectionError`` keeps working.
"""

# Names that users read in `except` clauses and logs say what happened; a suffix adds nothing.
# ruff: noqa: N818

from __future__ import annotations

__all__ = [
    "BusUnavailable",
    "ConfigurationError",
    "InvalidTag",
    "NotConfigured",
    "StorageIsFull",
    "UnsupportedValue",
    "ZooCacheError",
]


class ZooCacheError(Exception):
    """Base of every error raised by ZooCache on purpose."""


class InvalidTag(ZooCacheError, ValueError):
    """A tag that is not made of letters, digits, ``_``, ``.`` and single ``:`` separators."""


class StorageIsFull(ZooCacheError):
    """The storage has no room for the value, also after evicting what it may evict."""


class NotConfigured(ZooCacheError, RuntimeError):
    """The cache was used before ``configure()`` was called."""


class ConfigurationError(ZooCacheError, ValueError):
    """A setting is unknown, mistyped or out of range, or contradicts an earlier ``configure()``."""


class BusUnavailable(ZooCacheError, ConnectionError):
    """A strict invalidation could not be delivered to the other processes or hosts."""


class UnsupportedValue(ZooCacheError, TypeError):
    """A value that cannot be stored faithfully, or an argument that cannot be part of a key."""
