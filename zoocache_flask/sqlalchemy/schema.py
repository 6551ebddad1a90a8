"""Which tables there are, and what else changes when rows of one of them go.

Tables are known from the metadata that mapped classes and executed statements use. What is not
known costs precision only: a query that names such a table depends on its whole database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from weakref import WeakSet

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import mapperlib

__all__ = ["known_tables", "learn", "learn_mapped", "replaces_rows", "swept_along", "table_name"]

_ACTIONS: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})

_metadata: Final[WeakSet[MetaData]] = WeakSet()
_tables: dict[str, tuple[Table, ...]] = {}
_swept: dict[tuple[str, bool], frozenset[str]] = {}
_replacing: dict[str, bool] = {}
_counted: tuple[int, int] = (0, 0)


def learn(metadata: MetaData) -> bool:
    """Know the tables of ``metadata``, also those that it is given later; whether it is new."""
    if metadata in _metadata:
        return False
    _metadata.add(metadata)
    return True


def learn_mapped() -> None:
    """Know the tables of all classes that are mapped by now."""
    for registry in mapperlib._all_registries():
        learn(registry.metadata)


def known_tables() -> Mapping[str, tuple[Table, ...]]:
    """The tables by their names in lower case and without schema; usually it is one.

    It is another mapping as soon as there are other tables.
    """
    global _tables, _counted
    all_metadata = list(_metadata)
    counted = (len(all_metadata), sum(len(one.tables) for one in all_metadata))
    if counted != _counted:
        found: dict[str, tuple[Table, ...]] = {}
        for one in all_metadata:
            for table in list(one.tables.values()):
                name = table_name(table)
                found[name] = (*found.get(name, ()), table)
        _tables, _counted = found, counted
        _swept.clear()
        _replacing.clear()
    return _tables


def table_name(table: Table) -> str:
    """A table's name as statements are searched for it."""
    return str(table.name).lower()


def swept_along(name: str, deleting: bool) -> frozenset[str]:
    """Tables that the database itself changes when rows of ``name`` are deleted, or updated.

    These are the ones with ``ON DELETE`` or ``ON UPDATE`` actions on keys that refer to it, and on
    through them.
    """
    known = known_tables()
    found = _swept.get((name, deleting))
    if found is None:
        swept: set[str] = set()
        todo = [name]
        while todo:
            target = todo.pop()
            for other, tables in known.items():
                if other not in swept and any(_follows(one, target, deleting) for one in tables):
                    swept.add(other)
                    todo.append(other)
        found = _swept[name, deleting] = frozenset(swept)
    return found


def replaces_rows(name: str) -> bool:
    """Whether SQLite removes rows of table ``name`` that conflict with those that are written,
    because the table was created with ``ON CONFLICT REPLACE``."""
    known = known_tables()
    found = _replacing.get(name)
    if found is None:
        parts = [part for one in known.get(name, ()) for part in (*one.constraints, *one.columns)]
        found = _replacing[name] = any(
            str(value).upper() == "REPLACE"
            for part in parts
            for value in part.dialect_options["sqlite"].values()
        )
    return found


def _follows(table: Table, target: str, deleting: bool) -> bool:
    for constraint in table.foreign_key_constraints:
        actions = {str(constraint.onupdate).upper()}
        if deleting:
            actions.add(str(constraint.ondelete).upper().partition(" (")[0])
        if actions & _ACTIONS:
            for key in constraint.elements:
                # Not `key.column`, which fails while the other table is not defined.
                if key.target_fullname.split(".")[-2].lower() == target:
                    return True
    return False
