"""Is a copy the same? Stricter than ``==``, which takes ``1``, ``True`` and ``1.0`` for one value,
and more lenient, since ``nan != nan``.
"""

from __future__ import annotations

import copyreg
import re
from collections import deque
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from enum import Enum
from fractions import Fraction
from io import BytesIO, StringIO
from types import FunctionType, ModuleType
from typing import Any, Final

from zoocache_core.errors import UnsupportedValue
from zoocache_core.immutables import ATOMS, is_immutable
from zoocache_core.missing import MISSING

__all__ = ["consists_of", "is_same", "refuse_used_up", "unsupported"]

_BY_EQUALITY: Final = frozenset({bool, int, Fraction, str, bytes, bytearray, re.Pattern})
_SEQUENCES: Final = (list, tuple, deque)
_SCALARS: Final[dict[Any, Any]] = {
    **{kind: kind.__eq__ for kind in (str, bytes, bytearray, int)},
    float: lambda a, b: float.__repr__(a) == float.__repr__(b),
    complex: lambda a, b: complex.__repr__(a) == complex.__repr__(b),
}

_ONE_OF_EACH: Final = (Enum, type, ModuleType, FunctionType)

_Seen = set[tuple[int, int]]


def consists_of(container: Any, scalars: frozenset[type], containers: frozenset[type]) -> bool:
    """Tell whether all that a container holds, all the way down, is of exactly these types."""
    todo, seen = [container], set()
    flat = scalars.issuperset
    for part in todo:
        items = part
        if type(part) is dict:
            items = part.values() if flat(map(type, part)) else [*part, *part.values()]
        if flat(map(type, items)) or id(part) in seen:
            continue
        seen.add(id(part))
        for item in items:
            if type(item) in containers:
                todo.append(item)
            elif type(item) not in scalars:
                return False
    return True


def unsupported(value: object, reason: str) -> UnsupportedValue:
    """Return the error for a value that cannot be cached."""
    kind = type(value)
    return UnsupportedValue(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be cached: {reason}"
    )


def refuse_used_up(value: object) -> None:
    """Raise ``UnsupportedValue`` for what only its first reader gets anything out of."""
    kind = type(value)
    if hasattr(kind, "__next__") and not issubclass(kind, (BytesIO, StringIO)):
        raise unsupported(value, "its first reader would use it up; return a list or a tuple")
    if hasattr(kind, "__await__") or hasattr(kind, "__anext__"):
        raise unsupported(value, "it can be awaited once only; return what it results in")


def is_same(copy: object, original: object) -> bool:
    """Tell whether `copy` has the type and the content of `original`, all the way down.

    The order of dicts counts. Objects are compared by their attributes. A class that has its own
    way of being pickled decides what belongs to its state: where attributes differ, its ``==`` is
    asked, and if it has none the copy is taken for what the class meant it to be.
    """
    return _same(copy, original, set())


def _same(a: Any, b: Any, seen: _Seen) -> bool:
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in _BY_EQUALITY:
        return bool(a == b)
    if a is b:
        return kind is not FunctionType or not _carries_state(a)
    if kind is float:
        return a == b != 0.0 or repr(a) == repr(b)
    if (kind is datetime or kind is time) and a.tzinfo is b.tzinfo:
        return bool(a == b and a.fold == b.fold)
    if kind is range:
        return (a.start, a.stop, a.step) == (b.start, b.stop, b.step)
    if kind in ATOMS:
        return repr(a) == repr(b)  # tells -0.0 from 0.0 and Decimal("1.0") from Decimal("1")
    if (id(a), id(b)) in seen:
        return True
    seen.add((id(a), id(b)))
    if kind is dict:
        return _all_same(a, b, seen) and _all_same(a.values(), b.values(), seen)
    if kind is list or kind is tuple:
        return _all_same(a, b, seen)
    if isinstance(a, _ONE_OF_EACH):
        return False
    content = _same_content(a, b, kind, seen)
    return content is not False and _same_state(a, b, kind, content is None, seen)


def _same_content(a: Any, b: Any, kind: type, seen: _Seen) -> bool | None:
    """Compare what the values hold as instances of built-in types; ``None``: they are none."""
    if isinstance(a, dict):
        factories = getattr(a, "default_factory", None), getattr(b, "default_factory", None)
        items = [*dict.keys(a), *dict.values(a)], [*dict.keys(b), *dict.values(b)]
        return _same(*factories, seen) and _all_same(*items, seen)
    for base in _SEQUENCES:
        if isinstance(a, base):
            limits = getattr(a, "maxlen", None), getattr(b, "maxlen", None)
            read: Any = base.__iter__
            return limits[0] == limits[1] and _all_same([*read(a)], [*read(b)], seen)
    if isinstance(a, (set, frozenset)):
        return _same_members(a, b, seen)
    for scalar, equal in _SCALARS.items():
        if isinstance(a, scalar):
            return bool(equal(a, b))
    if isinstance(a, (datetime, time)):
        naive = a.replace(tzinfo=None), b.replace(tzinfo=None)
        return naive[0] == naive[1] and a.fold == b.fold and _same(a.tzinfo, b.tzinfo, seen)
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return all(_same_attribute(a, b, name, seen) for name in names)
    return None


def _all_same(a: Collection[Any], b: Collection[Any], seen: _Seen) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):  # noqa: SIM110 - all() would take longer than comparing
        if not _same(x, y, seen):
            return False
    return True


def _same_members(a: Any, b: Any, seen: _Seen) -> bool:
    rest = {member: member for member in b}
    strangers = []
    for member in a:
        if member not in rest:
            strangers.append(member)
        elif not _same(member, rest.pop(member), seen):
            return False
    # Members that hold a NaN are not equal to their copies and have to be sought. Each attempt
    # starts from what is known so far, since one that fails leaves false assumptions behind.
    for member in strangers:
        match = next((other for other in rest if _same(member, other, set(seen))), MISSING)
        if match is MISSING:
            return False
        del rest[match]
    return not rest


def _same_attribute(a: Any, b: Any, name: str, seen: _Seen) -> bool:
    return _same(getattr(a, name, MISSING), getattr(b, name, MISSING), seen)


def _same_state(a: Any, b: Any, kind: type, opaque: bool, seen: _Seen) -> bool:
    """Compare attributes. `opaque`: there is nothing else by which the values can be compared."""
    names = copyreg._slotnames(kind)  # type: ignore[attr-defined]
    if hasattr(a, "__dict__"):
        names = [*names, "__dict__"]
    if all(_same_attribute(a, b, name, seen) for name in names):
        if names or not opaque:
            return True
    elif not _pickles_itself(kind) or not (opaque or is_dataclass(kind)):
        return False  # the == of a container would overlook its attributes
    if getattr(kind, "__eq__", None) is getattr(object, "__eq__", None):
        return True
    try:
        return bool(a == b)
    except ValueError:  # arrays and tables compare element by element
        return True


def _carries_state(fn: FunctionType) -> bool:
    """Tell whether a function made inside another one has variables that could change.

    Copying an object leaves its functions in place, so such variables would be shared.
    """
    return "<locals>" in fn.__qualname__ and not all(
        is_immutable(cell.cell_contents) for cell in fn.__closure__ or ()
    )


def _pickles_itself(kind: type) -> bool:
    return kind in copyreg.dispatch_table or any(
        getattr(kind, name, None) is not getattr(object, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__")
    )
