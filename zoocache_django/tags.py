"""How rows and tables are named as tags: ``shop.product:7`` and ``shop.product:*``.

That is how they are named in the database ``default``. Those of another alias lie below a tag of
its own: ``db:archive:shop.product:7``. Proxies have the name of the model that they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models

from zoocache_core.deps import add_deps
from zoocache_core.tags import tag

__all__ = [
    "as_deps",
    "depends_on",
    "forget_databases",
    "in_database",
    "key_parts",
    "model_named",
    "model_tag",
    "row_tag",
    "same_database",
    "table_tag",
]

Model = type[models.Model]


def model_named(model: object) -> Model:
    """A model, given as itself or by its label (``"shop.product"``), without its proxies.

    Raises:
        TypeError: it is neither.
        ValueError: there is no such model, or it is abstract and has no rows.
    """
    if isinstance(model, str):
        try:
            return _concrete(apps.get_model(model))
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"there is no model {model!r}: expected a model, or a label like 'shop.product' of "
                "one in INSTALLED_APPS"
            ) from error
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        raise TypeError(
            f"expected a model or its label ('shop.product'), not {type(model).__name__}: "
            f"{model!r:.80}. A row is named by its model and its key: Product, 7."
        )
    if model._meta.abstract:
        raise ValueError(
            f"{model.__name__} is abstract and has no rows: name the models that inherit from it"
        )
    return _concrete(model)


def table_tag(model: Model | str, *, using: str = DEFAULT_DB_ALIAS) -> str:
    """The tag of a model's whole table, ``shop.product``: invalidating it takes every row along.

    Raises:
        TypeError, ValueError: there is no such model (see :func:`model_named`).
    """
    return in_database(using, model_named(model)._meta.label_lower)


def model_tag(model: Model | str, *, using: str = DEFAULT_DB_ALIAS) -> str:
    """The dependency on any row of a model, ``shop.product:*``.

    It also goes where a tag is invalidated, and there means every row. The model may be given by
    its label.

    Raises:
        TypeError, ValueError: there is no such model, or it is abstract.
    """
    return f"{table_tag(model, using=using)}:*"


def row_tag(row: models.Model | Model | str, pk: Any = None, *, using: str | None = None) -> str:
    """The tag of one row, ``shop.product:7``, from an instance or from a model, or its label, and a
    primary key.

    The key may be of any type that the model's primary key accepts, in any of its spellings: for a
    ``UUIDField``, a ``UUID`` and its text give the same tag. Without ``using`` it is a row of the
    database that the instance came from, or else of the default one.

    Raises:
        TypeError: it is neither an instance nor a model.
        ValueError: the instance has no primary key yet, or a model was given without one, or there
            is no such model.
        django.core.exceptions.ValidationError: the key is not valid for the model.
    """
    if isinstance(row, models.Model):
        model: Model = type(row)
        pk = row.pk
        using = using or row._state.db
    else:
        model = model_named(row)
    if pk is None:
        raise ValueError(
            f"row_tag({row!r}) has no primary key to name the row by: save the instance first, or "
            f"give the key, as in row_tag({model.__name__}, 7)"
        )
    concrete = _concrete(model)
    return in_database(
        using or DEFAULT_DB_ALIAS, tag(concrete._meta.label_lower, *key_parts(concrete, pk))
    )


def depends_on(*sources: models.Model | Model | str, using: str | None = None) -> None:
    """Make what is being computed depend on rows, on any row of models, or on tags.

    For data that is not read through Django's ORM or cursors; those reads are noticed. Outside a
    cached computation it does nothing.

    Raises:
        ValueError: an instance has no primary key yet.
        InvalidTag: a tag is malformed.
    """
    for source in sources:
        if isinstance(source, str):
            add_deps(as_deps(source))
        elif isinstance(source, models.Model):
            add_deps(row_tag(source, using=using))
        else:
            add_deps(model_tag(source, using=using or DEFAULT_DB_ALIAS))


def as_deps(deps: str | Iterable[str]) -> list[str]:
    """Dependencies as written by hand, where a model's bare label means any row of it."""
    written = (deps,) if isinstance(deps, str) else deps
    return [f"{dep}:*" if _is_label(dep) else dep for dep in written]


def in_database(using: str, name: str) -> str:
    """The tag ``name`` as a tag of the database alias ``using``."""
    if using == DEFAULT_DB_ALIAS:
        return name
    using = same_database(using)
    return name if using == DEFAULT_DB_ALIAS else f"{tag('db', using)}:{name}"


def same_database(using: str) -> str:
    """The first alias with the same database as ``using``: what is written through one of them is
    read through the other."""
    found = _same.get(using)
    if found is None:
        found = _same[using] = next(
            (alias for alias in connections if _place(alias) == _place(using)), using
        )
    return found


_same: Final[dict[str, str]] = {}


def forget_databases() -> None:
    """Look at ``settings.DATABASES`` again."""
    _same.clear()


def _place(using: str) -> object:
    written = connections[using].settings_dict
    name = written["NAME"]
    if not name or ":memory:" in str(name):
        return using
    return written["ENGINE"], str(name), written["HOST"], str(written["PORT"])


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


def key_parts(model: Model, pk: Any) -> list[str]:
    """A primary key as the parts of a tag, the same ones for every spelling of one key."""
    pk_fields: list[models.Field[Any, Any]] = getattr(model._meta, "pk_fields", [model._meta.pk])
    values = pk if len(pk_fields) > 1 else (pk,)
    return [_key_text(field, value) for field, value in zip(pk_fields, values, strict=True)]


def _key_text(field: models.Field[Any, Any], value: Any) -> str:
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    if type(value) is int and isinstance(field, models.IntegerField):
        return str(value)
    value = field.to_python(value)
    if isinstance(value, Decimal):
        # 1.0, 1.00 and 1 are one number, and one key.
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc).isoformat()
    return str(value)
