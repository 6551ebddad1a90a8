"""Every statement passes through here, whoever wrote it: the wrappers of Django's cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.sql.compiler import SQLCompiler

from zoocache_core.deps import current_scope
from zoocache_core.statements import Statement, control, parse
from zoocache_django import reads, transactions
from zoocache_django.database.compilers import at_work
from zoocache_django.database.publishing import publishing
from zoocache_django.database.tables import everything, known_tables
from zoocache_django.transactions import Transaction
from zoocache_django.writes import REFUSALS, CompiledWrite, tags_of, touch

__all__ = ["PATCHES", "forget_models"]

Method = Callable[..., Any]

_MOST_STATEMENTS: Final = 2048
_LONGEST_STATEMENT: Final = 20_000

_statements: Final[dict[str, Statement]] = {}


def forget_models() -> None:
    """Read every statement anew: more tables are known now."""
    _statements.clear()


def _execute(original: Method) -> Method:
    def execute(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        compiled = at_work(self.db)
        if type(compiled) is CompiledWrite:
            compiled.begin()
            result = original(self, sql, params)
            compiled.rowcount += self.cursor.rowcount
            return result
        return _run(self, original, compiled, sql, params, many=False)

    return execute


def _executemany(original: Method) -> Method:
    def executemany(self: CursorWrapper, sql: Any, param_list: Any) -> Any:
        return _run(self, original, at_work(self.db), sql, param_list, many=True)

    return executemany


def _callproc(original: Method) -> Method:
    def callproc(self: CursorWrapper, *args: Any, **kwargs: Any) -> Any:
        # What a procedure does cannot be seen.
        transactions.current(self.db)
        try:
            return original(self, *args, **kwargs)
        finally:
            touch(self.db, everything(self.db.alias))

    return callproc


def _run(
    cursor: CursorWrapper,
    original: Method,
    compiled: CompiledWrite | SQLCompiler | None,
    sql: Any,
    params: Any,
    many: bool,
) -> Any:
    connection = cursor.db
    text = sql if type(sql) is str else _text(cursor, sql)
    scope = current_scope()
    if text[:6] in ("SELECT", "select"):
        steering = None
        # A second statement in the text may do anything.
        if scope is None and ";" not in text:
            transactions.current(connection)
            return original(cursor, sql, params)
    else:
        steering = control(text)
    if steering is not None:
        if steering[0] == "begin" and transactions.of(connection) is None:
            # On the path of every transaction.
            result = original(cursor, sql, params)
            transactions.begin(connection)
            return result
        return _steer(connection, steering, lambda: original(cursor, sql, params))
    statement = _statement(text)
    transaction = transactions.current(connection)
    if scope is not None:
        query = compiled.query if isinstance(compiled, SQLCompiler) else None
        reads.note(scope, connection, transaction, statement, query)
    if not statement.writes and not statement.opaque:
        return original(cursor, sql, params)
    return _write(cursor, statement, transaction, many, lambda: original(cursor, sql, params))


def _write(
    cursor: CursorWrapper,
    statement: Statement,
    transaction: Transaction | None,
    many: bool,
    execute: Callable[[], Any],
) -> Any:
    connection = cursor.db
    tags = tags_of(statement, connection.alias)
    if transaction is not None:
        if statement.ddl and not connection.features.can_rollback_ddl:
            # It commits what was written before.
            transaction.touch(tags)
            with transactions.committing(connection):
                return execute()
        refused = False
        try:
            return execute()
        except REFUSALS:
            refused = not many
            raise
        finally:
            if tags and not refused and not _no_rows(cursor, statement):
                transaction.touch(tags)
                if _committed_by_itself(connection):
                    with transactions.committing(connection):
                        pass
    with publishing(tags) as outdating:
        try:
            result = execute()
        except REFUSALS:
            if not many:
                outdating.tags = ()
            raise
        if _no_rows(cursor, statement):
            outdating.tags = tags = []
    transactions.published(connection, tags)
    return result


def _no_rows(cursor: CursorWrapper, statement: Statement) -> bool:
    # SQLite counts what a statement with RETURNING wrote only when its rows have been fetched.
    unknown = statement.returning and cursor.db.vendor == "sqlite"
    return statement.counted and not unknown and cursor.cursor.rowcount == 0


def _steer(
    connection: BaseDatabaseWrapper, steering: tuple[str, str], execute: Callable[[], Any]
) -> Any:
    """Execute a statement that begins or ends a transaction or a part of it."""
    kind, name = steering
    if kind == "commit":
        with transactions.committing(connection):
            return execute()
    if kind == "snapshot":
        mine = transactions.current(connection)
        result = execute()
        if mine is not None:
            mine.read_older()
        return result
    result = execute()
    transaction = transactions.of(connection)
    if kind == "rollback":
        transactions.end(connection, undone=True)
        return result
    if transaction is None:
        if kind != "begin" and connection.autocommit and not _inside(connection):
            return result
        transaction = transactions.begin(connection)
    if kind == "savepoint":
        if transaction.in_test_only():
            transaction.settle()
        transaction.savepoint(name)
    elif kind == "undo":
        transaction.undo(name)
    elif kind == "release" and transaction.in_test_only():
        transaction.settle()
    elif kind == "release" and connection.vendor == "sqlite" and not _inside(connection):
        # It was the outermost one, outside of any transaction: releasing it has committed.
        with transactions.committing(connection):
            pass
    return result


def _inside(connection: BaseDatabaseWrapper) -> bool:
    """Whether SQLite is in a transaction, which a savepoint begins if there is none."""
    return bool(connection.vendor == "sqlite" and connection.connection.in_transaction)


def _committed_by_itself(connection: BaseDatabaseWrapper) -> bool:
    """Whether what has just been written is in no transaction, although autocommit is off: SQLite's
    driver begins one before INSERT, UPDATE, DELETE and REPLACE, not before WITH or DDL."""
    driver = connection.connection
    return connection.vendor == "sqlite" and driver is not None and not driver.in_transaction


def _statement(text: str) -> Statement:
    found = _statements.get(text)
    if found is None:
        found = parse(text, known_tables())
        if len(text) <= _LONGEST_STATEMENT:
            if len(_statements) >= _MOST_STATEMENTS:
                _statements.clear()
            _statements[text] = found
    return found


def _text(cursor: CursorWrapper, sql: Any) -> str:
    """The text of what a driver takes for a statement: ``str``, ``bytes``, ``psycopg.sql``."""
    if isinstance(sql, (bytes, bytearray)):
        return sql.decode()
    as_string = getattr(sql, "as_string", None)
    return str(sql if as_string is None else as_string(cursor.cursor))


PATCHES: Final = (
    (CursorWrapper, "execute", _execute),
    (CursorWrapper, "executemany", _executemany),
    (CursorWrapper, "callproc", _callproc),
)
