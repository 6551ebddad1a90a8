"""What a cached computation reads from the database becomes what it depends on."""

from __future__ import annotations

from sqlalchemy.sql import visitors
from sqlalchemy.sql.schema import Table

from zoocache_core.deps import Scope
from zoocache_flask.sqlalchemy import rows
from zoocache_flask.sqlalchemy.databases import Database
from zoocache_flask.sqlalchemy.plans import Plan, plan_of
from zoocache_flask.sqlalchemy.rows import Context
from zoocache_flask.sqlalchemy.schema import learn, learn_mapped
from zoocache_flask.sqlalchemy.transactions import Transaction

__all__ = ["note", "planned"]


def note(
    scope: Scope,
    database: Database,
    transaction: Transaction | None,
    plan: Plan,
    context: Context | None,
) -> None:
    """Make ``scope`` depend on what is about to be read.

    That is the rows of a table whose primary keys the conditions name, or else any row of it.
    """
    statement = plan.statement
    known = {} if context is None else rows.selected(context)
    tags: set[str] = set()
    for table in statement.reads:
        # A table that is named twice is also read in another way than by its key.
        if table in known and statement.relations.get(table) == 1:
            tags.update(database.row(table, key) for key in known[table])
        else:
            tags.add(database.any_row(table))
    if statement.unknown:
        tags.add(database.anything)
    scope.add(tags)
    if transaction is not None:
        transaction.note_read(scope, tags)


def planned(text: str, context: Context | None) -> Plan:
    """The plan of a statement, after getting to know the tables that it is made of."""
    plan = plan_of(text)
    names = plan.statement.unknown or plan.statement.writes - plan.statement.reads
    if names and context is not None and context.compiled is not None:
        learn_mapped()
        for element in visitors.iterate(context.compiled.statement):
            if isinstance(element, Table):
                learn(element.metadata)
        plan = plan_of(text)
    return plan
