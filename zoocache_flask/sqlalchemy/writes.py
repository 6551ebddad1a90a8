"""What was written to the database, and which tags that outdates.

A statement that was compiled says which rows it writes, where its conditions name them by primary
key or it inserts them; any other statement writes its tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.sql.dml import Insert

from zoocache_flask.sqlalchemy import rows
from zoocache_flask.sqlalchemy.databases import Database
from zoocache_flask.sqlalchemy.plans import Plan
from zoocache_flask.sqlalchemy.rows import Context, Key
from zoocache_flask.sqlalchemy.schema import known_tables, replaces_rows, swept_along

__all__ = ["awaits_keys", "by_returned", "outdated", "outdated_tables"]


def outdated(database: Database, plan: Plan, context: Context | None) -> list[str]:
    """The tags that executing ``plan`` outdates."""
    statement = plan.statement
    if (
        statement.opaque
        or plan.unclear
        or (plan.deletes and not statement.writes <= known_tables().keys())
    ):
        # Nobody knows what refers to a table that is not known.
        return [database.prefix]
    keys = None
    deletes = plan.deletes or _replaces(database, statement.writes)
    if context is not None and statement.counted and len(statement.writes) == 1:
        (name,) = statement.writes
        if not context.isinsert:
            keys = rows.written(context, name)
        elif not deletes:
            keys = rows.inserted(context, name)
    if keys is None:
        return outdated_tables(database, statement.writes, deletes)
    swept = frozenset() if context and context.isinsert else swept_along(name, deletes)
    return [*_rows(database, name, keys), *_along(database, name, swept)]


def outdated_tables(database: Database, names: Iterable[str], deletes: bool) -> list[str]:
    """The tags to invalidate when any row of these tables may have been written."""
    written = set(names)
    for name in names:
        written |= swept_along(name, deletes)
    return [database.table(name) for name in sorted(database.triggered(written))]


def awaits_keys(database: Database, plan: Plan, context: Context | None) -> bool:
    """Whether the rows that a statement inserts are known only when it has been executed."""
    if context is None or not context.isinsert or not plan.statement.counted or plan.deletes:
        return False
    (name,) = plan.statement.writes
    if _replaces(database, (name,)):
        return False
    statement = None if context.compiled is None else context.compiled.statement
    return isinstance(statement, Insert) and rows.inserted(context, name) is None


def by_returned(database: Database, plan: Plan, context: Context) -> list[str]:
    """The tags that an INSERT outdates, now that its rows have keys."""
    (name,) = plan.statement.writes
    keys = rows.returned(context, name)
    if keys is None:
        return outdated_tables(database, (name,), deletes=False)
    return [*_rows(database, name, keys), *_along(database, name, ())]


def _rows(database: Database, name: str, keys: Iterable[Key]) -> list[str]:
    return [database.row(name, key) for key in keys]


def _along(database: Database, name: str, swept: Iterable[str]) -> list[str]:
    """What is outdated besides rows of ``name`` that were written: other rows of that table, too,
    if they refer to these or a trigger writes to them."""
    others = database.triggered({*swept, *database.triggers.get(name, ())})
    return [database.table(other) for other in sorted(others)]


def _replaces(database: Database, names: Iterable[str]) -> bool:
    """Whether rows that are written may make others of the same table go."""
    return database.dialect == "sqlite" and any(map(replaces_rows, names))
