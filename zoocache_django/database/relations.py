"""Rows that change along with those that a statement names.

Linking two rows by a many-to-many relation changes both. Deleting rows makes the database itself
delete or change those that refer to them, where their models say so (``DB_CASCADE`` and the like).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.sql.subqueries import DeleteQuery, InsertQuery

from zoocache_django.database import tables
from zoocache_django.database.rows import model_of, pinned
from zoocache_django.database.tables import MAX_ROWS, Model, name_of

__all__ = ["ends_deleted", "ends_inserted", "ends_of", "forget_models", "referring"]

_Ends = tuple[models.ForeignKey[Any, Any], ...]

_ends: dict[Model, _Ends] | None = None
_referring: dict[str, set[str]] | None = None


def ends_inserted(query: InsertQuery, using: str) -> Iterator[str]:
    """The tags of the rows that are linked by rows of a table in between."""
    for field in ends_of(model_of(query)):
        yield from _rows(field, [getattr(obj, field.attname) for obj in query.objs], using)


def ends_deleted(query: DeleteQuery, using: str) -> Iterator[str]:
    """The tags of the rows that are no longer linked, as far as the conditions name them."""
    for field in ends_of(model_of(query)):
        yield from _rows(field, list(pinned(query, field) or ()), using)


def _rows(field: models.ForeignKey[Any, Any], keys: list[Any], using: str) -> Iterator[str]:
    if keys and field.target_field.primary_key:
        table = name_of(field.target_field.model._meta.db_table)
        yield from tables.written(table, keys if len(keys) <= MAX_ROWS else None, using)


def ends_of(model: Model | None) -> _Ends:
    """The foreign keys of a model that links the rows of others, many to many."""
    global _ends
    if _ends is None:
        found: dict[Model, _Ends] = {}
        for owner in apps.get_models(include_auto_created=True):
            for relation in owner._meta.local_many_to_many:
                through: Any = relation.remote_field.through
                names = (relation.m2m_field_name(), relation.m2m_reverse_field_name())
                fields = (through._meta.get_field(name) for name in names)
                found[through] = (*found.get(through, ()), *fields)
        _ends = found
    return () if model is None else _ends.get(model, ())


def referring(table: str, using: str) -> Iterator[str]:
    """The tags of the tables whose rows the database deletes or changes with those of ``table``."""
    found, todo = {table}, [table]
    while todo:
        more = _by_the_database().get(todo.pop(), set()) - found
        found |= more
        todo += more
    for name in found - {table}:
        yield from tables.written(name, None, using)


def _by_the_database() -> dict[str, set[str]]:
    global _referring
    if not apps.models_ready:
        return {}
    if _referring is None:
        _referring = {}
        for model in apps.get_models(include_auto_created=True):
            for field in model._meta.local_fields:
                # Since Django 6.1. All else Django does by itself, with statements.
                relation: Any = field.remote_field
                if hasattr(getattr(relation, "on_delete", None), "on_delete_sql"):
                    target = name_of(relation.model._meta.db_table)
                    _referring.setdefault(target, set()).add(name_of(model._meta.db_table))
    return _referring


def forget_models() -> None:
    """Look for relations again: a model was defined."""
    global _ends, _referring
    _ends = _referring = None
