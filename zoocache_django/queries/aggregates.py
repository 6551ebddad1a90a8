"""What identifies the values of aggregates: ``Product.cached.filter(…).aggregate(Sum("price"))``.

Plain aggregates of columns are known by their names. Any other expression is known by its SQL,
which says all of it: what it was constructed from may not, since it can be changed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.db.models import Avg, Count, Max, Min, StdDev, Sum, Variance
from django.db.models.sql.query import Query

from zoocache_core.encoding import encode
from zoocache_core.naming import class_label
from zoocache_django.queries import plans
from zoocache_django.queries.columns import field_text
from zoocache_django.queries.recipes import Recipe

__all__ = ["key_for"]

_PLAIN: Final = frozenset({Avg, Count, Max, Min, StdDev, Sum, Variance})


def key_for(
    owner: Any,
    query: Query,
    using: str,
    recipe: Recipe | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> str | None:
    """The key of the aggregates' values, or ``None`` if they are not cached."""
    plain = _plain_text(query.get_meta(), args, kwargs)
    if plain is not None:
        return plans.key_for(owner, query, using, recipe, f"aggregate {plain}")
    try:
        named = {**kwargs, **{expression.default_alias: expression for expression in args}}
        text = _sql_text(query.chain(), using, named)
    except Exception:  # noqa: BLE001
        # It is no aggregate, and Django will say so; or nothing identifies a parameter.
        return None
    return text and plans.key_for(owner, query, using, None, f"aggregate {text}")


def _plain_text(options: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    texts = []
    for alias, expression in (*((None, one) for one in args), *kwargs.items()):
        kind = type(expression)
        if kind not in _PLAIN:
            return None
        written, options_given = expression._constructor_args
        if options_given or len(written) != 1 or not _is_column(options, name := written[0]):
            return None
        if not _is_untouched(expression, kind, name):
            return None
        texts.append((alias, kind.__name__, name))
    return encode(texts)


def _is_column(options: Any, name: object) -> bool:
    return type(name) is str and any(
        name == field.name and not field.is_relation and field_text(field) is not None
        for field in options.concrete_fields
    )


def _is_untouched(expression: Any, kind: Any, name: str) -> bool:
    state = vars(expression).copy()
    state.pop("_constructor_args")
    return bool(state == _state_of(kind, name))


@lru_cache(maxsize=1024)
def _state_of(kind: Any, name: str) -> dict[str, Any]:
    state: dict[str, Any] = vars(kind(name)).copy()
    state.pop("_constructor_args")
    return state


def _sql_text(query: Any, using: str, expressions: Mapping[str, Any]) -> str | None:
    compiler = query.get_compiler(using)
    texts = []
    for alias, written in expressions.items():
        expression = written.resolve_expression(query, allow_joins=True, reuse=None, summarize=True)
        query.append_annotation_mask([alias])
        query.annotations[alias] = expression
        conversion = _conversion(expression)
        made = compiler.compile(expression)
        if conversion is None or plans.is_volatile(*made):
            return None
        texts.append((alias, *made, conversion))
    query.get_initial_alias()
    # The joins that the expressions add are in no other text.
    return encode((texts, compiler.get_from_clause()))


def _conversion(expression: Any) -> tuple[Any, ...] | None:
    """What decides the type of an expression's value in Python."""
    field = expression.output_field
    text = field_text(field)
    if text is None:
        if type(field).__module__.partition(".")[0] != "django" or getattr(field, "decoder", None):
            return None
        _, path, args, kwargs = field.deconstruct()
        text = encode((path, args, kwargs))
    return class_label(type(expression)), text
