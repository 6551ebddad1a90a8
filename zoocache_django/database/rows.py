"""Which rows a compiled query is about, where its conditions name them by primary key.

Everything here may say "I cannot tell": then the query counts as one about the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import models
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In, Lookup
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, WhereNode

from zoocache_django.database.tables import MAX_ROWS, Model, name_of

__all__ = ["forget_models", "identifies", "keys_of", "model_of", "pinned", "rows_by_table"]

Keys = Sequence[Any]


def keys_of(query: Query, vendor: str) -> Keys | None:
    """The primary keys of the only rows of its model's table that a query sees or changes."""
    model = model_of(query)
    if model is None or query.combinator or not identifies(model, vendor):
        return None
    where, key = query.where, model._meta.pk
    if len(where.children) == 1 and not where.negated:
        # What save() compiles, found with as few looks as can be.
        lookup = where.children[0]
        if isinstance(lookup, Exact) and type(lookup.rhs) is int:
            column = lookup.lhs
            if isinstance(column, Col) and column.target is key:
                return [lookup.rhs] if column.alias == model._meta.db_table else None
    return pinned(query, key)


def model_of(query: Query) -> Model | None:
    """The model that a query is about; some of Django's own queries are about none."""
    model: Model | None = query.model
    return None if model is None else model._meta.concrete_model or model


def rows_by_table(query: Query, vendor: str) -> dict[str, tuple[Model, Keys]]:
    """Tables of which a query sees only rows with certain keys: its model's own, and those that
    hold other parts of the same rows because their models inherit from each other."""
    model, keys = model_of(query), keys_of(query, vendor)
    if model is None or keys is None:
        return {}
    (base, table), *others = query.alias_map.items()
    found = {table.table_name: (model, keys)}
    joined = {base}
    for alias, join in others:
        if isinstance(join, Join) and join.parent_alias in joined:
            other = _other_end(join.join_field)
            if other is not None and identifies(other, vendor):
                joined.add(alias)
                found[join.table_name] = (other, keys)
    return {name_of(name): rows for name, rows in found.items()}


def pinned(query: Query, field: models.Field[Any, Any]) -> Keys | None:
    """The values that the conditions of a query allow for a field of its model's table.

    With a composite primary key, they are tuples.
    """
    model, alias = model_of(query), next(iter(query.alias_map), None)
    table = None if alias is None else query.alias_map[alias]
    if (
        model is None
        or not isinstance(table, BaseTable)
        or table.table_name != model._meta.db_table
    ):
        return None
    for lookup in _conditions(query.where):
        if not _is_column(lookup.lhs, alias, field):
            continue
        if isinstance(lookup, Exact):
            if type(lookup.rhs) is int:
                return [lookup.rhs]
            values = [lookup.rhs]
        elif lookup.rhs_is_direct_value() and len(lookup.rhs) <= MAX_ROWS:
            values = list(lookup.rhs)
        else:
            continue
        if not any(map(_is_expression, values)):
            return values
    return None


def identifies(model: Model, vendor: str) -> bool:
    """Whether a primary key in a condition can be told from every other one by its tag.

    Where the database may take different texts for equal (a collation, a type of its own), it
    cannot.
    """
    found = _identifies.get((model, vendor))
    if found is None:
        fields = getattr(model._meta, "pk_fields", [model._meta.pk])
        found = all(_is_exact(field, model, vendor) for field in fields)
        _identifies[model, vendor] = found
    return found


_identifies: Final[dict[tuple[Model, str], bool]] = {}


def forget_models() -> None:
    """Look at primary keys again: a model was defined."""
    _identifies.clear()


def _is_exact(field: Any, model: Model, vendor: str) -> bool:
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    # Those of django.contrib may compare in ways of their own (CICharField does).
    if not type(field).__module__.startswith("django.db.models.") or not isinstance(field, _EXACT):
        return False
    if isinstance(field, models.CharField):
        plain = model._meta.managed and not getattr(field, "db_collation", None)
        return bool(plain) and vendor in _EXACT_TEXT
    return True


_EXACT_TEXT: Final = ("sqlite", "postgresql")
"""Databases that take texts for equal only if they are the same, unless told otherwise."""

_EXACT: Final = (models.IntegerField, models.UUIDField, models.CharField)


def _conditions(where: WhereNode) -> Iterator[Lookup[Any]]:
    """Those of which all hold."""
    if where.connector != AND or where.negated:
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from _conditions(child)
        elif isinstance(child, (Exact, In)) and type(child).__module__.startswith("django.db."):
            yield child


def _is_column(lhs: object, alias: str | None, field: models.Field[Any, Any]) -> bool:
    if isinstance(lhs, Col):
        return lhs.alias == alias and lhs.target == field
    # The columns of a composite primary key.
    targets, fields = getattr(lhs, "targets", ()), getattr(field, "fields", ())
    return bool(targets) and getattr(lhs, "alias", "") == alias and tuple(targets) == tuple(fields)


def _is_expression(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_is_expression, value))
    return hasattr(value, "resolve_expression") or hasattr(value, "as_sql")


def _other_end(relation: Any) -> Model | None:
    """The model at the far end of a join between a row of a model and that row's part in a parent's
    or a child's table, or ``None`` if the two do not share their primary key."""
    if isinstance(relation, models.OneToOneField):
        field, far = relation, relation.remote_field.model
    elif isinstance(relation, models.OneToOneRel):
        field, far = relation.field, relation.related_model
    else:
        return None
    if not (field.primary_key and field.remote_field.parent_link):
        return None
    return _concrete(far) if field.target_field.primary_key else None


def _concrete(model: Model) -> Model:
    return model._meta.concrete_model or model
