"""The rows that an instance, or a queryset, was made from: they were read before anybody looked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models

from zoocache_django.database import tables
from zoocache_django.tags import model_tag, row_tag

__all__ = ["rows_of", "tables_of"]


def rows_of(instance: models.Model) -> Iterator[str]:
    """The tags of an instance's row, and of the rows that were loaded with it."""
    yield from _rows(instance, set())


def _rows(instance: models.Model, seen: set[int]) -> Iterator[str]:
    if id(instance) in seen:
        return
    seen.add(id(instance))
    if instance.pk is not None:
        yield row_tag(instance)
    using = instance._state.db or "default"
    for name, related in instance._state.fields_cache.items():
        if isinstance(related, models.Model):
            yield from _rows(related, seen)
        elif related is None:
            # That nothing refers to the row, it may have been told by a look at all that could.
            field = _field(instance, name)
            if field is not None and field.related_model is not None:
                yield model_tag(field.related_model, using=using)
    for found in getattr(instance, "_prefetched_objects_cache", {}).values():
        yield from tables_of(found)
        for related in found:
            if isinstance(related, models.Model):
                yield from _rows(related, seen)


def _field(instance: models.Model, name: str) -> Any:
    for field in instance._meta.get_fields():
        if getattr(field, "cache_name", None) == name or field.name == name:
            return field
    return None


def tables_of(queryset: Any) -> Iterator[str]:
    """The tags of all tables that a query reads."""
    query = getattr(queryset, "query", None)
    if query is None:
        return
    yield model_tag(queryset.model, using=queryset.db)
    for joined in query.alias_map.values():
        name = tables.name_of(joined.table_name)
        if name in tables.known_tables():
            yield tables.any_row(name, queryset.db)
