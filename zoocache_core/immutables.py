"""Which values can never change, so that one object may serve everybody."""

from __future__ import annotations

import copyreg
import re
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import BuiltinFunctionType, EllipsisType, GenericAlias, ModuleType, NoneType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

__all__ = ["ATOMS", "is_immutable"]

ATOMS: Final = frozenset(
    {
        *(NoneType, bool, int, float, complex, str, bytes, EllipsisType),
        *(Decimal, Fraction, UUID, range, re.Pattern),
        *(date, timedelta, timezone, ZoneInfo),
        *(PosixPath, PurePosixPath, WindowsPath, PureWindowsPath),
    }
)
"""Types whose instances have nothing that could change. Subclasses do not count: they may carry
attributes."""

_SCALARS: Final = (str, bytes, int, float)
_ZONES: Final = frozenset({NoneType, timezone, ZoneInfo})
_SINGLETONS: Final = (Enum, type, ModuleType, BuiltinFunctionType, GenericAlias)


def is_immutable(value: Any) -> bool:
    """Tell whether neither `value` nor anything inside it can be changed.

    True for instances of plain types, and of subclasses that add no attributes; for tuples,
    frozensets, named tuples and frozen dataclasses of them; and for what a program has one of:
    enum members, classes, modules, built-in functions.
    """
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind is tuple or kind is frozenset:
        return ATOMS.issuperset(map(type, value)) or all(map(is_immutable, value))
    if kind is datetime or kind is time:
        return type(value.tzinfo) in _ZONES
    if isinstance(value, _SINGLETONS):
        return True
    if isinstance(value, tuple):
        return not hasattr(value, "__dict__") and all(map(is_immutable, tuple.__iter__(value)))
    if isinstance(value, _SCALARS):  # such as the text that a template engine marks as safe
        return not hasattr(value, "__dict__") and not copyreg._slotnames(kind)  # type: ignore[attr-defined]
    names = _frozen_fields(kind)  # type: ignore[arg-type]
    return (
        names is not None
        and names.issuperset(getattr(value, "__dict__", ()))
        and all(is_immutable(getattr(value, name, None)) for name in names)
    )


@lru_cache(maxsize=1024)
def _frozen_fields(kind: type) -> frozenset[str] | None:
    """Return the fields of a frozen dataclass that has no other state, ``None`` for other types."""
    if not is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return None
    bases = kind.__mro__[:-1]
    if any(not base.__flags__ & _MADE_BY_CLASS_STATEMENT for base in bases):
        return None  # a frozen dataclass that is also a dict, say
    if any(isinstance(item, cached_property) for base in bases for item in vars(base).values()):
        return None  # its first use would fill in a value that everybody then shares
    return frozenset(field.name for field in fields(kind))


_MADE_BY_CLASS_STATEMENT: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
