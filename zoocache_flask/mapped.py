"""Objects of classes mapped by SQLAlchemy as parts of keys: by class and primary key."""

from __future__ import annotations

import sys
from typing import Any

from zoocache_core.encoding import KeyAdapter, register_adapter_finder
from zoocache_core.errors import UnsupportedValue

__all__ = ["install", "is_mapped"]


def install() -> None:
    """Let mapped objects be arguments of cached functions; doing it again has no effect.

    It does not import SQLAlchemy: where that is not loaded there are no mapped classes.
    """
    register_adapter_finder(_find)


def is_mapped(value: object) -> bool:
    """Whether ``value`` is an object of a mapped class."""
    return _find(type(value)) is not None


def _find(kind: type) -> KeyAdapter | None:
    orm = sys.modules.get("sqlalchemy.orm")
    if orm is None:
        return None
    mapper = sys.modules["sqlalchemy"].inspect(kind, raiseerr=False)
    return _identity if isinstance(mapper, orm.Mapper) else None


def _identity(instance: Any) -> object:
    """What is in the other columns is data of the row, not what tells it from others."""
    key = sys.modules["sqlalchemy"].inspect(instance).key
    if key is None:
        raise UnsupportedValue(
            f"this {type(instance).__qualname__} has no primary key yet, so nothing identifies it: "
            "add it to a session and flush that first, or pass key= to cacheable"
        )
    _, primary_key, shard = key
    return (primary_key, shard)
