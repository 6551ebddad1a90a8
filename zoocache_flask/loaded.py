"""What a template fragment is given that was read before it: rows, lists of them, pages of a list.

An object of a mapped class tells by itself when it is read and how old it is, so its row is noticed
inside the fragment as well. Which objects there are in a list, and what was selected column by
column, is not. So these are part of the fragment's key.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from zoocache_core.encoding import encode
from zoocache_core.errors import UnsupportedValue
from zoocache_core.naming import class_label
from zoocache_flask.mapped import is_mapped

__all__ = ["loaded"]


def loaded(variables: Mapping[str, Any]) -> str:
    """Text that tells the rows among ``variables`` from any others.

    Raises:
        UnsupportedValue: a row cannot be told from others, because it has no primary key yet.
    """
    told = []
    for name in sorted(variables):
        rows = _plain(variables[name])
        if _holds_rows(rows):
            told.append([name, rows])
    return encode(_encodable(told))


class _Columns(tuple[Any, ...]):
    """A row that was selected column by column."""

    __slots__ = ()


def _plain(value: Any) -> Any:
    """``value`` as lists, tuples and dicts, as far as it consists of such."""
    # By type, for a look into a session or a proxy is a look at the visitor.
    kind = type(value)
    if _is(kind, "flask_sqlalchemy.pagination", "Pagination"):
        # Counted by a query of its own, at the first look.
        return [value.page, value.per_page, value.total, _plain(value.items)]
    if _is(kind, "sqlalchemy", "Row"):
        return _Columns(_plain(each) for each in value)
    if kind is dict:
        return {key: _plain(each) for key, each in value.items()}
    if kind in _LISTS or _is(kind, "sqlalchemy.orm.collections", "InstrumentedList"):
        return [_plain(each) for each in value]
    return value


_LISTS: Final = frozenset({list, tuple, set, frozenset})


def _is(kind: type, module: str, name: str) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return base is not None and issubclass(kind, base)


def _holds_rows(value: Any) -> bool:
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return isinstance(value, _Columns) or is_mapped(value)
    return any(_holds_rows(each) for each in value)


def _encodable(value: Any) -> Any:
    if type(value) is dict:
        return {str(key): _encodable(each) for key, each in value.items()}
    if isinstance(value, list | _Columns):
        return [_encodable(each) for each in value]
    if not is_mapped(value):
        try:
            encode(value)
        except UnsupportedValue:
            # It is no row, and for the author to vary on, as everywhere.
            return class_label(type(value))
    return value
