"""How rows and tables are named as tags: ``shop.product:7`` and ``shop.product:*``.

A row of a multi-table model is spread over several tables, so one saved instance may stand for
several tags: its own, its parents' and its children's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from django.apps import apps
from django.db import models

from zoocache_core.tags import tag

__all__ = ["as_deps", "model_tag", "row_tag", "row_tags", "table_tag"]

Model = type[models.Model]


def table_tag(model: Model) -> str:
    """The tag of a model's whole table, ``shop.product``: invalidating it takes every row along."""
    return _concrete(model)._meta.label_lower


def model_tag(model: Model) -> str:
    """The dependency on any row of a model, ``shop.product:*``.

    It also goes where a tag is invalidated, and there means every row.
    """
    return f"{table_tag(model)}:*"


def row_tag(row: models.Model | Model, pk: Any = None) -> str:
    """The tag of one row, ``shop.product:7``, from an instance or from a model and a primary key.

    The key may be of any type that the model's primary key accepts, in any of its spellings: for a
    ``UUIDField``, a ``UUID`` and its text give the same tag.

    Raises:
        ValueError: the instance has no primary key yet, or a model was given without one.
        django.core.exceptions.ValidationError: the key is not valid for the model.
    """
    if isinstance(row, models.Model):
        model: Model = type(row)
        pk = row.pk
    else:
        model = row
    if pk is None:
        raise ValueError(
            f"row_tag({row!r}) has no primary key to name the row by: save the instance first, or "
            f"give the key, as in row_tag({model.__name__}, 7)"
        )
    concrete = _concrete(model)
    return tag(concrete._meta.label_lower, *_pk_parts(concrete, pk))


def row_tags(instance: models.Model) -> Iterator[str]:
    """The tags of every row that changes when ``instance`` is saved or deleted.

    Its own, those of the parents it inherits from over tables, and those of the children that
    inherit from any of these and share the key.
    """
    for label, model, attname in _rows_of(_concrete(type(instance))):
        if attname is None:
            yield label
        else:
            yield tag(label, *_pk_parts(model, getattr(instance, attname)))


def as_deps(deps: str | Iterable[str]) -> list[str]:
    """Dependencies as written by hand, where a model's bare label means any row of it."""
    written = (deps,) if isinstance(deps, str) else deps
    return [f"{dep}:*" if _is_label(dep) else dep for dep in written]


def _is_label(dep: object) -> bool:
    if not isinstance(dep, str) or dep.count(".") != 1 or ":" in dep:
        return False
    try:
        label: str = apps.get_model(dep)._meta.label_lower
    except LookupError:
        return False
    return label == dep


def _concrete(model: Model) -> Model:
    # A proxy has the table of the model that it stands for. Only abstract models have none.
    return model._meta.concrete_model or model


_Rows = tuple[tuple[str, Model, "str | None"], ...]
_rows: WeakKeyDictionary[Model, _Rows] = WeakKeyDictionary()
"""What :func:`_rows_of` found out. Weak, because migrations make models and throw them away."""


def _rows_of(model: Model) -> _Rows:
    """Each table that holds a part of an instance's row: its label, the model whose key it has, and
    the instance's attribute with that key, or ``None`` where the key cannot be told from it."""
    found = _rows.get(model)
    if found is None:
        keys = {model: model._meta.pk.attname, **dict(_parents(model, model._meta.pk.attname))}
        rows = {table._meta.label_lower: (table, name) for table, name in keys.items()}
        for table, attname in keys.items():
            for child, shares_key in _children(table, shares_key=True):
                name = attname if shares_key else None
                rows.setdefault(child._meta.label_lower, (table, name))
        found = _rows[model] = tuple((label, *row) for label, row in rows.items())
    return found


def _parents(model: Model, key: str) -> Iterator[tuple[Model, str]]:
    """Models that ``model`` inherits from over tables, and the attribute with their key."""
    for parent, link in model._meta.parents.items():
        # Those of its parents are listed here too, but they are found from there.
        if link is None or link.model is model:
            name = key if link is None or link.primary_key else link.attname
            yield _concrete(parent), name
            yield from _parents(_concrete(parent), name)


def _children(model: Model, shares_key: bool) -> Iterator[tuple[Model, bool]]:
    """Models that inherit from ``model`` over a table, and whether its key is theirs too."""
    for relation in model._meta.related_objects:
        if isinstance(relation, models.OneToOneRel) and relation.parent_link:
            child = relation.related_model
            shares = shares_key and relation.field.primary_key
            yield child, shares
            yield from _children(child, shares)


def _pk_parts(model: Model, pk: Any) -> list[str]:
    """A primary key as the parts of a tag, the same ones for every spelling of one key."""
    pk_fields: list[models.Field[Any, Any]] = getattr(model._meta, "pk_fields", [model._meta.pk])
    values = pk if len(pk_fields) > 1 else (pk,)
    return [_key_text(field, value) for field, value in zip(pk_fields, values, strict=True)]


def _key_text(field: models.Field[Any, Any], value: Any) -> str:
    if type(value) is int and not isinstance(field, _FRACTIONS):
        return str(value)
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    value = field.to_python(value)
    if isinstance(value, Decimal):
        # 1.0, 1.00 and 1 are one number, and one key.
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc).isoformat()
    return str(value)


_FRACTIONS = (models.DecimalField, models.FloatField)
