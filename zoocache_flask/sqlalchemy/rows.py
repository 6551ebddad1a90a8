"""Which rows a compiled statement is about, where its conditions name them by primary key.

Everything here may say "I cannot tell" (``None``): then the statement counts as one about the whole
table.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Table, types
from sqlalchemy.engine import default
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList
from sqlalchemy.sql.selectable import Join, Select

from zoocache_flask.sqlalchemy.schema import table_name

__all__ = [
    "MAX_ROWS",
    "Context",
    "Key",
    "inserted",
    "key_text",
    "returned",
    "selected",
    "written",
]

Context = default.DefaultExecutionContext

Key = tuple[str, ...]
"""A primary key as parts of a tag."""

MAX_ROWS: Final = 100
"""A statement about more rows counts as one about the whole table: a page that depends on a
thousand rows is outdated by almost every write, and costs a thousand checks until then."""

_INTEGERS: Final = (types.Integer, types.BigInteger, types.SmallInteger)
_TEXTS: Final = (types.String, types.Text, types.Unicode, types.UnicodeText)
_EXACT_TEXT: Final = ("sqlite", "postgresql")
"""Databases that take texts for equal only if they are the same, unless told otherwise."""


def selected(context: Context) -> dict[str, list[Key]]:
    """The primary keys that the conditions of a SELECT allow, by the tables they belong to.

    It is for the caller to see that a table is not named anywhere else in the statement.
    """
    compiled = context.compiled
    if not isinstance(compiled, SQLCompiler) or compiled.isinsert:
        return {}
    state: Any = compiled.compile_state
    statement = compiled.statement if state is None else state.statement
    if not isinstance(statement, Select):
        return {}
    conditions = list(_conditions(statement._where_criteria))
    tables = {
        column.table.fullname: column.table
        for column, _ in conditions
        if column.primary_key and isinstance(column.table, Table)
    }
    found: dict[str, list[Key]] = {}
    for table in tables.values():
        keys = _pinned(conditions, table, compiled, context)
        if keys is not None:
            found[table_name(table)] = keys
    for one, other in _same_keys(statement):
        for here, there in ((one, other), (other, one)):
            if table_name(here.table) in found:
                found.setdefault(table_name(there.table), found[table_name(here.table)])
    return found


def written(context: Context, name: str) -> list[Key] | None:
    """The primary keys of the only rows of table ``name`` that an UPDATE or DELETE changes."""
    compiled = context.compiled
    if not isinstance(compiled, SQLCompiler):
        return None
    state: Any = compiled.compile_state
    statement: Any = compiled.statement if state is None else state.statement
    table = getattr(statement, "table", None)
    if not isinstance(table, Table) or table_name(table) != name:
        return None
    if isinstance(statement, Update) and _changes_key(context, table):
        return None
    conditions = list(_conditions(statement._where_criteria))
    found: list[Key] = []
    for parameters in context.compiled_parameters:
        keys = _pinned(conditions, table, compiled, context, parameters)
        if keys is None or len(found) + len(keys) > MAX_ROWS:
            return None
        found += keys
    return found


def inserted(context: Context, name: str) -> list[Key] | None:
    """The primary keys of the rows that an INSERT is given."""
    table = _target(context, name)
    if table is None or not table.primary_key.columns:
        return None
    names = [column.key for column in table.primary_key.columns]
    rows = [[row.get(name) for name in names] for row in context.compiled_parameters]
    return _keys(table, rows, context)


def returned(context: Context, name: str) -> list[Key] | None:
    """The primary keys of the rows that an INSERT has made, once SQLAlchemy has fetched them."""
    table = _target(context, name)
    if table is None or context.is_text or _explicitly_returning(context):
        return None
    # Not as an attribute, which would make them up while they have not been fetched.
    keys = _keys(table, context.__dict__.get("inserted_primary_key_rows"), context)
    return keys if keys is not None and len(keys) == len(context.compiled_parameters) else None


def key_text(column: ColumnElement[Any], value: Any, dialect: str) -> str | None:
    """A primary key's value as it is named in tags, or ``None`` if the database may take it for
    equal to one that is named differently."""
    kind = column.type
    if type(kind).__module__.startswith("sqlalchemy."):
        if isinstance(kind, _INTEGERS):
            return str(value) if type(value) is int else None
        if isinstance(kind, types.Uuid):
            return str(value) if isinstance(value, uuid.UUID) else None
        if isinstance(kind, _TEXTS) and not isinstance(kind, (types.CHAR, types.NCHAR)):
            exact = kind.collation is None and dialect in _EXACT_TEXT and type(value) is str
            return value if exact and type(kind).__name__ in _PLAIN_TEXT else None
    return None


_PLAIN_TEXT: Final = frozenset(
    {"String", "Text", "Unicode", "UnicodeText", "VARCHAR", "TEXT", "NVARCHAR"}
)


def _target(context: Context, name: str) -> Table | None:
    """The table of an INSERT that adds rows and does nothing else."""
    compiled = context.compiled
    statement = None if compiled is None else compiled.statement
    if not isinstance(statement, Insert):
        return None
    table = statement.table
    plain = (
        isinstance(table, Table)
        and table_name(table) == name
        and statement._post_values_clause is None
        and not statement._prefixes
        and statement.select is None
    )
    return table if plain and isinstance(table, Table) else None


def _explicitly_returning(context: Context) -> bool:
    statement: Any = None if context.compiled is None else context.compiled.statement
    return bool(statement._returning)


def _keys(table: Table, rows: Sequence[Any] | None, context: Context) -> list[Key] | None:
    columns = list(table.primary_key.columns)
    if not rows or not columns or len(rows) > MAX_ROWS:
        return None
    found: list[Key] = []
    for row in rows:
        if row is None or len(row) != len(columns):
            return None
        key = _key(columns, list(row), context)
        if key is None:
            return None
        found.append(key)
    return found


def _key(columns: Sequence[Column[Any]], values: Sequence[Any], context: Context) -> Key | None:
    parts: list[str] = []
    for column, value in zip(columns, values, strict=True):
        part = key_text(column, value, context.dialect.name)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def _changes_key(context: Context, table: Table) -> bool:
    compiled: Any = context.compiled
    changed = {getattr(column, "key", column) for column in _assigned(compiled)}
    return any(column.key in changed for column in table.primary_key.columns)


def _assigned(compiled: SQLCompiler) -> Iterator[Any]:
    state: Any = compiled.compile_state
    yield from (state._dict_parameters or {}) if state is not None else ()
    # Those that were given with the execution.
    yield from compiled.column_keys or ()


def _pinned(
    conditions: Sequence[tuple[Column[Any], BinaryExpression[Any]]],
    table: Table,
    compiled: SQLCompiler,
    context: Context,
    parameters: Any = None,
) -> list[Key] | None:
    """The primary keys that the conditions allow for rows of ``table``."""
    columns = list(table.primary_key.columns)
    values: dict[str, list[Any]] = {}
    for column, condition in conditions:
        if column.primary_key and _same(column.table, table):
            allowed = _values(condition, compiled, context, parameters)
            if allowed is not None:
                values.setdefault(column.key, allowed)
    if not columns or len(values) < len(columns):
        return None
    if len(columns) == 1:
        rows = [[value] for value in values[columns[0].key]]
    elif all(len(allowed) == 1 for allowed in values.values()):
        rows = [[values[column.key][0] for column in columns]]
    else:
        return None
    return _keys(table, rows, context) if rows else []


def _same(one: Any, table: Table) -> bool:
    # Not identity: the ORM wraps tables in copies that carry annotations.
    return isinstance(one, Table) and one.fullname == table.fullname


def _conditions(
    criteria: Sequence[Any],
) -> Iterator[tuple[Column[Any], BinaryExpression[Any]]]:
    """Comparisons of a column, of which all hold."""
    for one in criteria:
        if isinstance(one, BooleanClauseList) and one.operator is operators.and_:
            yield from _conditions(one.clauses)
        elif isinstance(one, BinaryExpression) and isinstance(one.left, Column):
            yield one.left, one


def _same_keys(statement: Select[Any]) -> Iterator[tuple[Any, Any]]:
    """Primary keys that are equal because that is how their tables are joined, as those of a class
    and of the one that it inherits from are."""
    todo: list[Any] = list(statement.get_final_froms())
    while todo:
        join = todo.pop()
        if isinstance(join, Join):
            on = join.onclause
            todo += [join.left, join.right]
            if isinstance(on, BinaryExpression) and on.operator is operators.eq:
                sides = (on.left, on.right)
                if all(_is_whole_key(side) for side in sides):
                    yield sides


def _is_whole_key(column: Any) -> bool:
    table: Any = column.table if isinstance(column, Column) else None
    if not isinstance(table, Table):
        return False
    return [one.key for one in table.primary_key.columns] == [column.key]


def _values(
    condition: BinaryExpression[Any], compiled: SQLCompiler, context: Context, parameters: Any
) -> list[Any] | None:
    """What a condition says that its column is: one of these."""
    bind = condition.right
    name = compiled.bind_names.get(bind) if isinstance(bind, BindParameter) else None
    if name is None or condition.operator not in (operators.eq, operators.in_op):
        return None
    if parameters is None:
        if len(context.compiled_parameters) != 1:
            return None
        parameters = context.compiled_parameters[0]
    if condition.operator is operators.eq:
        return [parameters[name]] if name in parameters else None
    expanded = context._expanded_parameters.get(name)
    if expanded is None or not all(one in parameters for one in expanded):
        return None
    return [parameters[one] for one in expanded]
