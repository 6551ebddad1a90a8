"""Executing a statement: what it reads and writes, and whether it begins or ends a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection

from zoocache_core.deps import current_scope
from zoocache_core.publishing import Publishing
from zoocache_flask.sqlalchemy import reads, transactions, writes
from zoocache_flask.sqlalchemy.databases import Database
from zoocache_flask.sqlalchemy.plans import Plan
from zoocache_flask.sqlalchemy.rows import Context
from zoocache_flask.sqlalchemy.transactions import UNOBSERVED, Transaction

__all__ = ["execute", "unobserved"]


@contextmanager
def unobserved(connection: Connection) -> Iterator[None]:
    """While a dialect ends a prepared transaction with statements of its own."""
    info = transactions.info_of(connection.connection)
    info[UNOBSERVED] = True
    try:
        yield
    finally:
        info.pop(UNOBSERVED, None)


def execute(
    database: Database,
    cursor: Any,
    text: str,
    context: Context | None,
    many: bool,
    call: Callable[[], None],
) -> None:
    """Execute ``text`` by ``call()``, and note what that reads and writes.

    ``many``: it is executed with several sets of parameters at once.
    """
    if context is None:
        # A dialect does this for itself.
        return call()
    connection = context.root_connection
    proxied = connection.connection
    if UNOBSERVED in transactions.info_of(proxied):
        return call()
    plan = reads.planned(text, context)
    transaction = transactions.of(proxied)
    if transaction is not None:
        transactions.join(proxied, transaction)
        if transaction.ended_unseen(proxied, context):
            transactions.publish(transaction)
    elif not transactions.autocommits(connection):
        transaction = transactions.enter(connection, database)
    if plan.steering is not None:
        return _steer(database, context, transaction, plan.steering, text, call)
    # What was compiled may not be what is executed: a listener may have changed it.
    compiled = context if context.isinsert or text == context.statement else None
    scope = current_scope()
    if scope is not None:
        reads.note(scope, database, transaction, plan, compiled)
    if not plan.writes:
        return call()
    tags = writes.outdated(database, plan, compiled)
    if plan.unclear or (transaction is not None and transaction.unclear):
        # Who knows whether it is committed now. If it is not, then another time.
        with Publishing(database.caches, tags):
            call()
        transaction = transaction or transactions.enter(connection, database)
        transaction.unclear = True
        transaction.touch(tags)
        return None
    if transactions.commits_alone(connection, transaction, plan.begins, plan.statement.ddl):
        before = () if transaction is None else transaction.written.commit()
        with Publishing(database.caches, (*before, *tags)) as publishing:
            call()
            if _no_rows(database, plan, cursor, context, many):
                publishing.tags = before
        if transactions.in_progress(proxied):
            # It was the first statement of a transaction after all.
            (transaction or transactions.enter(connection, database)).touch(tags)
        return None
    transaction = transaction or transactions.enter(connection, database)
    written = False
    try:
        call()
        written = not _no_rows(database, plan, cursor, context, many)
    except BaseException:
        written = True
        raise
    finally:
        if written:
            if scope is not None:
                # Whatever it returned, and what objects show by now, may be rolled back unseen.
                scope.forbid("it changed rows that were not committed yet")
            if writes.awaits_keys(database, plan, compiled):
                transaction.expect(context, partial(writes.by_returned, database, plan, context))
            else:
                transaction.touch(tags)
    if transactions.in_progress(proxied) is False:
        # The driver has begun no transaction for it.
        transactions.publish(transaction)
    return None


def _no_rows(database: Database, plan: Plan, cursor: Any, context: Context, many: bool) -> bool:
    """Whether it is certain that nothing was written."""
    statement = plan.statement
    # SQLite counts what a statement with RETURNING wrote only when its rows have been fetched.
    told = not many and not (statement.returning and context.dialect.name == "sqlite")
    return (
        told
        and statement.counted
        and cursor.rowcount == 0
        and not statement.writes & database.triggers.keys()
    )


def _steer(
    database: Database,
    context: Context,
    transaction: Transaction | None,
    steering: tuple[str, str],
    text: str,
    call: Callable[[], None],
) -> None:
    """Execute a statement that begins or ends a transaction or a part of it.

    A ROLLBACK that the application wrote itself is taken for nothing, which is safe.
    """
    kind, name = steering
    proxied, dialect = context.root_connection.connection, context.dialect.name
    if kind == "begin" and transaction is None:
        transactions.enter(context.root_connection, database, manual=True)
        return call()
    if transaction is None:
        return call()
    # SQLite commits when the outermost savepoint is released and no BEGIN came before it.
    if kind == "commit" or (kind == "release" and dialect == "sqlite"):
        with Publishing(transaction.engines, transaction.written.pending()) as publishing:
            call()
            if kind == "release" and transactions.in_progress(proxied) is not False:
                publishing.tags = ()
                return None
            transaction.commit()
    else:
        call()
    if kind == "savepoint":
        transaction.savepoint(name)
    elif kind == "snapshot":
        transactions.read_older(proxied, transaction)
    elif kind == "undo" and transaction.undo(name):
        transactions.doubt(proxied)
    if transaction.manual and kind in ("commit", "rollback") and "chain" not in text.lower():
        transactions.undo(proxied)
    return None
