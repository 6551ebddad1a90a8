"""Every statement and every end of a transaction passes through here: the methods of a dialect.

A dialect belongs to its engine and to those made of it by ``execution_options()``. Its methods are
where SQLAlchemy calls the driver, whoever asked for it (a flush, a query, ``Connection.execute``,
the pool), and asynchronous engines use them as well. They are replaced on the one instance. Events
of connections would not do: there is none after a commit, and with the first listener everything
that is executed on the engine becomes slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from zoocache_core.publishing import Publishing
from zoocache_flask.sqlalchemy import execution, transactions
from zoocache_flask.sqlalchemy.databases import Database, mark
from zoocache_flask.sqlalchemy.rows import Context

__all__ = ["install", "uninstall"]

Method = Callable[..., Any]

_OURS: Final = "_zoocache"


def _execute(original: Method, database: Database) -> Method:
    def do_execute(
        cursor: Any, statement: str, parameters: Any, context: Context | None = None
    ) -> None:
        execution.execute(
            database,
            cursor,
            statement,
            context,
            False,
            lambda: original(cursor, statement, parameters, context),
        )

    return do_execute


def _executemany(original: Method, database: Database) -> Method:
    def do_executemany(
        cursor: Any, statement: str, parameters: Any, context: Context | None = None
    ) -> None:
        execution.execute(
            database,
            cursor,
            statement,
            context,
            True,
            lambda: original(cursor, statement, parameters, context),
        )

    return do_executemany


def _execute_no_params(original: Method, database: Database) -> Method:
    def do_execute_no_params(cursor: Any, statement: str, context: Context | None = None) -> None:
        execution.execute(
            database,
            cursor,
            statement,
            context,
            False,
            lambda: original(cursor, statement, context),
        )

    return do_execute_no_params


def _begin(original: Method, database: Database) -> Method:
    def do_begin(dbapi_connection: PoolProxiedConnection) -> None:
        transactions.begun(dbapi_connection, database)
        original(dbapi_connection)

    return do_begin


def _begin_twophase(original: Method, database: Database) -> Method:
    def do_begin_twophase(connection: Connection, xid: Any) -> None:
        transactions.begun(connection.connection, database)
        original(connection, xid)

    return do_begin_twophase


def _commit(original: Method, database: Database) -> Method:
    def do_commit(dbapi_connection: PoolProxiedConnection) -> None:
        with transactions.committing(dbapi_connection):
            original(dbapi_connection)

    return do_commit


def _rollback(original: Method, database: Database) -> Method:
    def do_rollback(dbapi_connection: PoolProxiedConnection) -> None:
        in_vain = transactions.dirty((transactions.info_of(dbapi_connection),)) and (
            transactions.in_progress(dbapi_connection) is False
        )
        original(dbapi_connection)
        transactions.undo(dbapi_connection, in_vain)

    return do_rollback


def _prepare(original: Method, database: Database) -> Method:
    def do_prepare_twophase(connection: Connection, xid: Any) -> None:
        transaction = transactions.of(connection.connection)
        # Before, because it may be committed by somebody else as soon as it is prepared.
        if transaction is not None:
            database.prepared[xid] = transaction.written.pending()
        original(connection, xid)

    return do_prepare_twophase


def _commit_prepared(original: Method, database: Database) -> Method:
    def do_commit_twophase(
        connection: Connection, xid: Any, is_prepared: bool = True, recover: bool = False
    ) -> None:
        transaction = transactions.of(connection.connection)
        tags = database.prepared.get(xid)
        if tags is None:
            known = transaction is not None and not recover
            tags = transaction.written.pending() if known and transaction else (database.prefix,)
        with Publishing(database.caches, tags), execution.unobserved(connection):
            original(connection, xid, is_prepared, recover)
            database.prepared.pop(xid, None)
            transactions.drop(transactions.info_of(connection.connection))

    return do_commit_twophase


def _rollback_prepared(original: Method, database: Database) -> Method:
    def do_rollback_twophase(
        connection: Connection, xid: Any, is_prepared: bool = True, recover: bool = False
    ) -> None:
        with execution.unobserved(connection):
            original(connection, xid, is_prepared, recover)
        database.prepared.pop(xid, None)
        transactions.undo(connection.connection)

    return do_rollback_twophase


_METHODS: Final[dict[str, Callable[[Method, Database], Method]]] = {
    "do_execute": _execute,
    "do_executemany": _executemany,
    "do_execute_no_params": _execute_no_params,
    "do_begin": _begin,
    "do_begin_twophase": _begin_twophase,
    "do_commit": _commit,
    "do_rollback": _rollback,
    "do_prepare_twophase": _prepare,
    "do_commit_twophase": _commit_prepared,
    "do_rollback_twophase": _rollback_prepared,
}


def _close(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    transactions.lost(record.info)


def install(engine: Engine, database: Database) -> None:
    """Notice what is executed on ``engine``, which is none that is tracked already."""
    dialect = engine.dialect
    mark(dialect, database)
    for name, wrapper in _METHODS.items():
        original = getattr(dialect, name)
        ours = wraps(original)(wrapper(original, database))
        setattr(ours, _OURS, True)
        setattr(dialect, name, ours)
    event.listen(engine, "close", _close)


def uninstall(engine: Engine) -> None:
    """Restore ``engine`` as it was.

    Raises:
        RuntimeError: somebody else has replaced the same method since, and would be undone, too.
    """
    dialect = engine.dialect
    for name in _METHODS:
        if not getattr(dialect.__dict__.get(name), _OURS, False):
            raise RuntimeError(
                f"{type(dialect).__name__}.{name} of {engine!r} was replaced after ZooCache had "
                "wrapped it; undo that first."
            )
    for name in _METHODS:
        delattr(dialect, name)
    event.remove(engine, "close", _close)
    mark(dialect, None)
