"""What has to be known of a query to answer it from the cache: its key, and what its rows mean.

The key is made of the SQL and its parameters, so that it says all that the database is asked. A
queryset that was made by plain calls (see ``recipes``) need not be compiled for it
every time: the first one's SQL, with the values that were given, says as much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import django
from django.db import connections, models
from django.db.models.sql.query import Query

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode
from zoocache_django.queries.columns import field_text, fields_text, is_plain
from zoocache_django.queries.instances import Maker, maker
from zoocache_django.queries.recipes import Recipe

__all__ = [
    "Compiled",
    "Plan",
    "compiled",
    "forget",
    "is_volatile",
    "key_for",
    "plan_for",
    "remembered",
    "resolved",
]

_query: Any = models.QuerySet.query

_VOLATILE: Final = re.compile(
    r"\b(rand|random|randomblob|now|uuid\w*|gen_random_uuid|timeofday|clock_timestamp|nextval"
    r"|(statement|transaction)_timestamp|currval|lastval|last_insert_rowid|changes|total_changes"
    r"|sysdate|systimestamp|getdate|utc_\w+|unix_timestamp|txid_\w+|pg_\w+|current_setting"
    r"|current_database|current_schemas?|connection_id)\s*\("
    r"|\b(current_(date|time|timestamp|user|role|schema)|localtime|localtimestamp|session_user"
    r"|sysdate|tablesample)\b"
    r"|'now'",
    re.IGNORECASE,
)
_MOMENTS: Final = frozenset({"now", "today", "tomorrow", "yesterday", "localtime"})
_QUOTED_NAMES: Final = re.compile(r'"[^"]*"|`[^`]*`')
_LIMITS: Final = re.compile(r"\b(LIMIT|OFFSET) \d+")
_MOST_PLANS: Final = 2048


@dataclass(frozen=True, slots=True)
class Plan:
    """One query, or all those whose recipes differ in their values only."""

    base: str
    """Its key, or what the keys of all begin with."""
    select: Any
    klass_info: Any
    annotation_col_map: Any
    converted: bool
    """Whether the cached rows are as Python code sees them, and not as the database gave them."""
    make: Maker | None
    """How to make instances at once, if the query asks for those and Django need not."""


_plans: Final[dict[Any, Plan | str]] = {}


def forget() -> None:
    """Work everything out anew: a setting was changed."""
    _plans.clear()


def resolved(queryset: Any) -> Any:
    """The query of a cached queryset, for one who will not change it."""
    if queryset._deferred_filter is None:
        return queryset._query
    return _query.fget(queryset)


def remembered(owner: Any, using: str, recipe: Recipe | None, kind: str) -> tuple[Any, str]:
    """What was worked out for the recipe's shape, and the key of the query; or ``(None, "")``."""
    if recipe is None:
        return None, ""
    found = _plans.get((owner, using, recipe.shape, kind))
    if found is None:
        return None, ""
    base = found if type(found) is str else found.base  # type: ignore[union-attr]
    return found, f"{base}{encode(recipe.values)}"


def _remember(place: Any, found: Plan | str) -> None:
    if len(_plans) >= _MOST_PLANS:
        _plans.clear()
    _plans[place] = found


Made = tuple[str, tuple[Any, ...]]
"""SQL and its parameters."""

Compiled = tuple[Any, Made]
"""A compiler, and what it has made."""


def compiled(query: Query, using: str) -> Compiled | None:
    """The query's SQL, or ``None`` if there is nothing to ask the database, or it has to be asked:
    the answer may be another one every time. A query that makes no SQL is for Django to refuse, if
    it does: rows that cannot be selected may well be counted."""
    compiler: Any = query.get_compiler(using=using)
    try:
        sql, params = compiler.as_sql()
    except Exception:  # noqa: BLE001  whatever it is, Django raises it where it matters
        return None
    if not sql or is_volatile(sql, params):
        return None
    return compiler, (sql, tuple(params))


def is_volatile(sql: str, params: Sequence[Any]) -> bool:
    """Whether a query may have another answer each time although no row has changed."""
    return bool(_VOLATILE.search(_QUOTED_NAMES.sub('""', sql))) or any(
        isinstance(param, str) and param.lower() in _MOMENTS for param in params
    )


def plan_for(
    owner: Any, query: Query, using: str, recipe: Recipe | None, found: Compiled
) -> tuple[Plan, str] | None:
    """The plan for a compiled query, and its key; ``None`` if nothing identifies its parameters."""
    compiler, made = found
    columns = fields_text(compiler.select)
    plain = recipe is not None and columns is not None and is_plain(query)
    base = _key(owner, using, "rows", made, columns, recipe if plain else None)
    if base is None:
        return None
    plan = Plan(
        base,
        compiler.select,
        compiler.klass_info,
        compiler.annotation_col_map,
        columns is not None,
        None if columns is None else _maker_for(compiler),
    )
    if plain and recipe is not None:
        _remember((owner, using, recipe.shape, "rows"), plan)
        return plan, f"{base}{encode(recipe.values)}"
    return plan, base


def key_for(owner: Any, query: Query, using: str, recipe: Recipe | None, kind: str) -> str | None:
    """The key of what is computed from the rows of a query, or ``None`` if it is not cached.

    ``kind`` says all of what is computed from them.
    """
    known, key = remembered(owner, using, recipe, kind)
    if known is not None:
        return key
    found = compiled(query, using)
    if found is None:
        return None
    plain = recipe is not None and is_plain(query)
    base = _key(owner, using, kind, found[1], "", recipe if plain else None)
    if base is not None and plain and recipe is not None:
        _remember((owner, using, recipe.shape, kind), base)
        return f"{base}{encode(recipe.values)}"
    return base


def _key(
    owner: Any, using: str, kind: str, made: Made, columns: str | None, recipe: Recipe | None
) -> str | None:
    """What the key of a query begins with or, without a ``recipe``, all of it."""
    model, detail = owner
    sql, params = made
    try:
        # The values of a recipe follow, in the order in which they were written. That need not be
        # the order of the parameters, so its shape counts, which says what each value is for.
        values = encode(params if recipe is None else recipe.shape)
    except UnsupportedValue:
        return None
    text = sql if recipe is None else _LIMITS.sub(r"\1", sql)
    # Which release converts the values, by which fields and in which zone, is not in the SQL.
    connection = connections[using]
    conversion = django.get_version(), connection.vendor, connection.timezone, _fields_of(model)
    parts = (using, kind, text, values, columns, detail, conversion)
    digest = blake2b(encode(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return f"{model._meta.label_lower}.queryset:{digest}:"


@lru_cache(maxsize=1024)
def _fields_of(model: type[models.Model]) -> str:
    return ",".join(f"{field.attname}={field_text(field)}" for field in model._meta.concrete_fields)


def _maker_for(compiler: Any) -> Maker | None:
    info = compiler.klass_info
    if not info or info["select_fields"] != list(range(len(compiler.select))):
        # Columns of related objects, annotations or extras are among them.
        return None
    return maker(info["model"], [column[0].target.attname for column in compiler.select])
