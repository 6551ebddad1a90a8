"""The columns that a query selects, and what becomes of their values in Python.

The database's values are converted by Django's fields (texts to dates, numbers to booleans…), and
which field a column has does not show in the SQL. So a key under which converted values are cached
names the fields; columns of which that cannot be told are cached as the database gave them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from django.db import models
from django.db.models.expressions import Col
from django.db.models.fields.related_lookups import (
    RelatedExact,
    RelatedGreaterThan,
    RelatedGreaterThanOrEqual,
    RelatedIn,
    RelatedIsNull,
    RelatedLessThan,
    RelatedLessThanOrEqual,
)
from django.db.models.lookups import IsNull, Lookup
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode

__all__ = ["field_text", "fields_text", "is_plain"]

_FIELDS: Final[frozenset[type]] = frozenset(
    {
        *(models.AutoField, models.BigAutoField, models.SmallAutoField),
        *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
        *(models.PositiveIntegerField, models.PositiveBigIntegerField),
        *(models.PositiveSmallIntegerField, models.FloatField, models.DecimalField),
        *(models.BooleanField, models.CharField, models.TextField, models.SlugField),
        *(models.EmailField, models.URLField, models.FilePathField, models.FileField),
        *(models.ImageField, models.GenericIPAddressField, models.UUIDField),
        *(models.DateField, models.DateTimeField, models.TimeField, models.DurationField),
        *(models.BinaryField, models.JSONField, models.ForeignKey, models.OneToOneField),
    }
)
"""Fields whose values are decided by their class and a few of their options. Subclasses may convert
in ways of their own."""

_TIMES: Final = (models.DateField, models.TimeField)
"""What is compared with them depends on the time zone."""

_RELATED_LOOKUPS: Final = frozenset(
    {
        *(RelatedExact, RelatedIn, RelatedIsNull, RelatedGreaterThan, RelatedLessThan),
        *(RelatedGreaterThanOrEqual, RelatedLessThanOrEqual),
    }
)


def field_text(field: Any) -> str | None:
    """What decides how values of ``field`` are converted, or ``None`` if it cannot be told."""
    while isinstance(field, models.ForeignKey):
        if type(field) not in _FIELDS:
            return None
        field = field.target_field
    kind = type(field)
    if kind not in _FIELDS or getattr(field, "decoder", None) is not None:
        return None
    decimals = getattr(field, "max_digits", None), getattr(field, "decimal_places", None)
    return f"{kind.__name__}{decimals if kind is models.DecimalField else ''}"


@lru_cache(maxsize=4096)
def _column_text(target: Any, output: Any) -> str | None:
    texts = field_text(target), field_text(output)
    return None if None in texts else "/".join(map(str, texts))


def fields_text(select: list[Any]) -> str | None:
    """The fields of the selected columns, or ``None`` if one is not a plain column."""
    texts = []
    for expression, _, _ in select:
        if type(expression) is not Col:
            return None
        text = _column_text(expression.target, expression.output_field)
        if text is None:
            return None
        texts.append(text)
    return ",".join(texts)


def is_plain(query: Query) -> bool:
    """Whether the values in the conditions are all that tells the query's SQL from another's that
    was made by the same calls: no time zone, no language, no code of the application is in it."""
    options: Any = query.get_meta()
    ordering = query.order_by or (options.ordering if query.default_ordering else ())
    return (
        not query.annotations
        and not query.combinator
        and all(_orders_plainly(options, term) for term in ordering)
        and _compares_plainly(query.where)
    )


def _orders_plainly(options: Any, term: Any) -> bool:
    if not isinstance(term, str):
        return False
    name = term.lstrip("+-")
    return name == "pk" or any(
        name in (field.attname, field.name) and (name == field.attname or not field.is_relation)
        for field in options.concrete_fields
    )


def _compares_plainly(node: Any) -> bool:
    if isinstance(node, WhereNode):
        return all(map(_compares_plainly, node.children))
    return (
        isinstance(node, Lookup)
        and type(node.lhs) is Col
        and _column_text(node.lhs.target, node.lhs.output_field) is not None
        and _is_djangos(_lookup_of_values(node))
        and not isinstance(node.lhs.output_field, _TIMES)
        and node.rhs_is_direct_value()
    )


def _is_djangos(kind: Any) -> bool:
    return bool(kind.__module__ == "django.db.models.lookups" or kind in _RELATED_LOOKUPS)


def _lookup_of_values(node: Any) -> Any:
    """The kind of lookup that the same call would make with another value: ``name=None`` asks
    whether it is null, and any other name whether it is equal."""
    return node.lhs.output_field.get_lookup("exact") if type(node) is IsNull else type(node)
