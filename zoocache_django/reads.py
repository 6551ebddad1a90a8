"""What a cached computation reads from the database becomes what it depends on."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.query import Query

from zoocache_core.deps import Scope
from zoocache_core.statements import Statement
from zoocache_django.database import tables
from zoocache_django.database.rows import rows_by_table
from zoocache_django.transactions import Transaction

__all__ = ["note"]


def note(
    scope: Scope,
    connection: BaseDatabaseWrapper,
    transaction: Transaction | None,
    statement: Statement,
    query: Query | None,
) -> None:
    """Make ``scope`` depend on what ``statement`` is about to read.

    That is the rows of a table whose primary keys the query's conditions name, or else any row of
    it. ``query`` is what the statement was compiled from, unless it is a raw one.
    """
    using = connection.alias
    known = {} if query is None else rows_by_table(query, connection.vendor)
    tags: set[str] = set()
    for table in statement.reads:
        # A table that is named twice is also read in another way than by its key.
        if table in known and statement.relations.get(table) == 1:
            tags.update(tables.rows(*known[table], using))
        else:
            tags.add(tables.any_row(table, using))
    for name in statement.unknown:
        tags.add(tables.unknown(name, using))
    scope.add(tags)
    if transaction is not None:
        transaction.note_read(scope, tags)
