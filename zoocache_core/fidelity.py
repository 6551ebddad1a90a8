"""Is a copy the same? Stricter than ``==``, which takes ``1``, ``True`` and ``1.0`` for one value,
and more lenient, since ``nan != nan``.
"""

from __future__ import annotations

import copyreg
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from types import FunctionType
from typing import Any, Final

from zoocache_core.immutables import ATOMS, is_immutable
from zoocache_core.missing import MISSING

__all__ = ["is_same"]

_BY_EQUALITY: Final = frozenset({bool, int, str, bytes, bytearray, re.Pattern})
_SEQUENCES: Final = (list, tuple, deque)
_SCALARS: Final = (str, bytes, bytearray, int, float, complex)

_Seen = set[tuple[int, int]]


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
    if a is b:
        return kind is not FunctionType or not _carries_state(a)
    if kind in _BY_EQUALITY:
        return bool(a == b)
    if kind in ATOMS:
        return repr(a) == repr(b)  # tells -0.0 from 0.0 and Decimal("1.0") from Decimal("1")
    if (id(a), id(b)) in seen:
        return True
    seen.add((id(a), id(b)))
    content = _same_content(a, b, kind, seen)
    return content is not False and _same_state(a, b, kind, content is None, seen)


def _same_content(a: Any, b: Any, kind: type, seen: _Seen) -> bool | None:
    """Compare what the values hold as instances of built-in types; ``None``: they are none."""
    if isinstance(a, dict):
        factories = getattr(a, "default_factory", None), getattr(b, "default_factory", None)
        return (
            _same(*factories, seen)
            and _all_same(dict.keys(a), dict.keys(b), seen)
            and _all_same(dict.values(a), dict.values(b), seen)
        )
    for base in _SEQUENCES:
        if isinstance(a, base):
            limits = getattr(a, "maxlen", None), getattr(b, "maxlen", None)
            items: Any = base.__iter__
            return limits[0] == limits[1] and _all_same(items(a), items(b), seen)
    if isinstance(a, (set, frozenset)):
        return _same_members(a, b, seen)
    for scalar in _SCALARS:
        if isinstance(a, scalar):
            return scalar.__repr__(a) == scalar.__repr__(b)
    if isinstance(a, (datetime, time)):
        naive = a.replace(tzinfo=None), b.replace(tzinfo=None)
        return naive[0] == naive[1] and a.fold == b.fold and _same(a.tzinfo, b.tzinfo, seen)
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return all(_same_attribute(a, b, name, seen) for name in names)
    return None


def _all_same(a: Iterable[Any], b: Iterable[Any], seen: _Seen) -> bool:
    left, right = list(a), list(b)
    return len(left) == len(right) and all(
        _same(x, y, seen) for x, y in zip(left, right, strict=True)
    )


def _same_members(a: Any, b: Any, seen: _Seen) -> bool:
    # Each member is compared with the one that is equal to it; members that are not even equal to
    # themselves, such as NaN, by their texts.
    rest = {member: member for member in b}
    strangers = []
    for member in a:
        if member not in rest:
            strangers.append(member)
        elif not _same(member, rest.pop(member), seen):
            return False
    return sorted(map(repr, strangers)) == sorted(map(repr, rest))


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
    elif not _pickles_itself(kind):
        return False
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
