"""Rows at the ends of many-to-many relations: linking two of them changes both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.db.models.sql.subqueries import DeleteQuery, InsertQuery

from zoocache_django import tables
from zoocache_django.rows import model_of, pinned
from zoocache_django.tables import MAX_ROWS, Model, name_of

__all__ = ["ends_deleted", "ends_inserted", "forget_models"]

_Ends = tuple[models.ForeignKey[Any, Any], ...]

_ends: Final[dict[Model, _Ends]] = {}


def ends_inserted(query: InsertQuery, using: str) -> Iterator[str]:
    """The tags of the rows that are linked by rows of a table in between."""
    for field in _ends_of(model_of(query)):
        yield from _rows(field, [getattr(obj, field.attname) for obj in query.objs], using)


def ends_deleted(query: DeleteQuery, using: str) -> Iterator[str]:
    """The tags of the rows that are no longer linked, as far as the conditions name them."""
    for field in _ends_of(model_of(query)):
        yield from _rows(field, list(pinned(query, field) or ()), using)


def _rows(field: models.ForeignKey[Any, Any], keys: list[Any], using: str) -> Iterator[str]:
    if keys and field.target_field.primary_key:
        table = name_of(field.target_field.model._meta.db_table)
        yield from tables.written(table, keys if len(keys) <= MAX_ROWS else None, using)


def _ends_of(model: Model | None) -> _Ends:
    if not _ends:
        for owner in apps.get_models(include_auto_created=True):
            for relation in owner._meta.local_many_to_many:
                through: Any = relation.remote_field.through
                names = (relation.m2m_field_name(), relation.m2m_reverse_field_name())
                fields = (through._meta.get_field(name) for name in names)
                _ends[through] = (*_ends.get(through, ()), *fields)
    return () if model is None else _ends.get(model, ())


def forget_models() -> None:
    """Look for relations again: a model was defined."""
    _ends.clear()
