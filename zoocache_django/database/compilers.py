"""Queries that the ORM compiles and executes: which rows they are about.

The compiler that is at work is kept with its connection for as long as it executes, so that the
statement can be told from a raw one where the cursor is given it (see ``cursors``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import compiler
from django.db.models.sql.subqueries import DeleteQuery, UpdateQuery

from zoocache_core.deps import current_scope
from zoocache_django.writes import CompiledWrite

__all__ = ["PATCHES", "at_work"]

Method = Callable[..., Any]

_ATTRIBUTE: Final = "_zoocache_compiler"


def at_work(connection: BaseDatabaseWrapper) -> CompiledWrite | compiler.SQLCompiler | None:
    """What the ORM executes on ``connection``: a write, or the compiler of a query; ``None`` if the
    statement is a raw one."""
    found: CompiledWrite | compiler.SQLCompiler | None = connection.__dict__.get(_ATTRIBUTE)
    return found


def _execute_sql(original: Method) -> Method:
    def execute_sql(self: compiler.SQLCompiler, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.query, (UpdateQuery, DeleteQuery)):
            return _write(self, original, (), args, kwargs)
        state = self.connection.__dict__
        outer = state.get(_ATTRIBUTE)
        if outer is None and current_scope() is None:
            return original(self, *args, **kwargs)
        state[_ATTRIBUTE] = self
        try:
            return original(self, *args, **kwargs)
        finally:
            state[_ATTRIBUTE] = outer

    return execute_sql


def _returning(original: Method) -> Method:
    def execute_sql(self: compiler.SQLCompiler, returning_fields: Any = None) -> Any:
        return _write(self, original, returning_fields or (), (returning_fields,), {})

    return execute_sql


def _write(
    self: compiler.SQLCompiler, original: Method, returning: Any, args: Any, kwargs: Any
) -> Any:
    state = self.connection.__dict__
    outer = state.get(_ATTRIBUTE)
    write = state[_ATTRIBUTE] = CompiledWrite(self)
    try:
        result = original(self, *args, **kwargs)
    except BaseException as error:
        write.fail(error)
        raise
    finally:
        state[_ATTRIBUTE] = outer
    write.end(result if returning else None, returning)
    return result


PATCHES: Final = (
    (compiler.SQLCompiler, "execute_sql", _execute_sql),
    (compiler.SQLInsertCompiler, "execute_sql", _returning),
    # Since Django 6.0.
    (compiler.SQLUpdateCompiler, "execute_returning_sql", _returning),
)
