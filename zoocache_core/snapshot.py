"""Values in this process's memory: kept so that nobody can change them, handed out as if new.

What cannot change is kept and handed out as it is. Of anything else a private copy is kept, and
every caller gets a copy of that. How to copy is decided once, when the value is stored, because a
hit should pay for nothing but the copying:

1. containers of immutable values by their own ``copy``, also one level deeper (rows of a table, a
   dict with lists in it);
2. other nestings of built-in types by ``marshal``, several times as fast as ``pickle``. Its format
   is private to one version of Python and it trusts its input; neither matters within a process;
3. objects by ``pickle``;
4. what cannot be pickled but copied, such as instances of classes made in functions, by
   ``copy.deepcopy``.

A copy that is not the same, or cannot be made, is refused: better not cached than cached wrongly.
"""

from __future__ import annotations

import copy
import marshal
import pickle
from collections import defaultdict, deque
from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from zoocache_core.fidelity import consists_of, is_same, refuse_used_up, unsupported
from zoocache_core.immutables import ATOMS, is_immutable

__all__ = ["snapshot", "unverified_snapshot"]

Snapshot = tuple[Any, "Thaw | None"]
Thaw = Callable[[Any], Any]

_COPIERS: Final[dict[type, Callable[[Any], Any]]] = {
    list: list.copy,
    dict: dict.copy,
    set: set.copy,
    bytearray: bytearray.copy,
    deque: deque.copy,
    defaultdict: defaultdict.copy,
}
_PLAIN_CONTAINERS: Final = frozenset({list, dict, set, tuple, frozenset})
_PLAIN: Final = frozenset({NoneType, bool, int, float, complex, str, bytes})


def snapshot(value: Any) -> Snapshot:
    """Return ``(held, thaw)``: what to keep, and the function that makes a fresh copy of it.

    ``thaw`` is ``None`` if the value is immutable; it is then kept and handed out as it is.

    Raises:
        UnsupportedValue: the value cannot be copied faithfully; the message names its type.
    """
    return _snapshot(value, _copied_object)


def unverified_snapshot(value: Any) -> Snapshot:
    """:func:`snapshot` that takes the pickle of an object for the object, without comparing.

    Objects may leave things out of their pickles on purpose. An application that was written for
    a cache which pickles everything expects to get back what the pickle holds.

    Raises:
        UnsupportedValue: the value cannot be pickled; the pickler's error is its cause.
    """
    return _snapshot(value, _pickled_object)


def _snapshot(value: Any, of_object: Callable[[Any], Snapshot]) -> Snapshot:
    kind = type(value)
    if kind in ATOMS:
        return value, None
    copier = _COPIERS.get(kind)
    try:
        if copier is not None:
            if _is_flat(value):
                return copier(value), copier
            thaw = _one_level_deeper(value)
            if thaw is not None:
                return thaw(value), thaw
        elif is_immutable(value):
            return value, None
        if kind in _PLAIN_CONTAINERS and consists_of(value, _PLAIN, _PLAIN_CONTAINERS):
            # Only exact built-in types: marshal writes others, too, but as what they are not.
            return _marshalled(value), marshal.loads
        return of_object(value)
    except RecursionError:
        raise unsupported(value, "it is nested too deeply") from None


def _is_flat(value: Any) -> bool:
    """Tell whether a container of one of the types in ``_COPIERS`` has only immutable content."""
    kind = type(value)
    if kind is bytearray:
        return True
    if not (ATOMS.issuperset(map(type, value)) or all(map(is_immutable, value))):
        return False
    if kind is dict or kind is defaultdict:
        if kind is defaultdict and not is_immutable(value.default_factory):
            return False
        items = value.values()
        return ATOMS.issuperset(map(type, items)) or all(map(is_immutable, items))
    return True


def _one_level_deeper(value: Any) -> Thaw | None:
    """Return how to copy a list or dict whose mutable items are flat containers."""
    if type(value) is list:
        kinds = set(map(type, value))
        if len(kinds) == 1 and _all_flat(value):
            copier = _COPIERS[kinds.pop()]
            return lambda rows: [copier(row) for row in rows]
    elif type(value) is dict:
        nested = [key for key, item in value.items() if type(item) in _COPIERS]
        if (
            _all_flat([value[key] for key in nested])
            and all(map(is_immutable, value))
            and all(is_immutable(item) or type(item) in _COPIERS for item in value.values())
        ):
            copiers = [(key, _COPIERS[type(value[key])]) for key in nested]

            def copy_dict(held: dict[Any, Any]) -> dict[Any, Any]:
                fresh = held.copy()
                for key, copier in copiers:
                    fresh[key] = copier(held[key])
                return fresh

            return copy_dict
    return None


def _all_flat(containers: list[Any]) -> bool:
    # One container in two places has to stay one container, which copying each would not do.
    return len(set(map(id, containers))) == len(containers) and all(
        type(item) in _COPIERS and _is_flat(item) for item in containers
    )


def _marshalled(value: Any) -> bytes:
    try:
        return marshal.dumps(value)
    except ValueError:  # about 2000 levels
        raise RecursionError from None


def _pickled_object(value: Any) -> Snapshot:
    try:
        return pickle.dumps(value, protocol=5), pickle.loads
    except RecursionError:
        raise
    except Exception as error:
        raise unsupported(value, f"pickling it failed with {error!r:.200}") from error


def _copied_object(value: Any) -> Snapshot:
    refuse_used_up(value)
    data = _pickled(value)
    if data is not None:
        return data, pickle.loads
    try:
        held = copy.deepcopy(value)
        same = is_same(held, value)
    except RecursionError:
        raise
    except Exception as error:
        raise unsupported(value, f"copying it failed with {error!r:.200}") from error
    if not same:
        raise unsupported(value, "a copy of it is not the same")
    return held, copy.deepcopy


def _pickled(value: Any) -> bytes | None:
    try:
        data = pickle.dumps(value, protocol=5)
        return data if is_same(pickle.loads(data), value) else None  # noqa: S301 - our own bytes
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - pickling runs code of the value's class, which may raise any
        return None
