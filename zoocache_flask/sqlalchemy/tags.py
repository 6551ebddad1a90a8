"""The tags of tables and rows, for deps and invalidations that are written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import InstanceState, Mapper, object_session

from zoocache_core.deps import add_deps
from zoocache_flask.sqlalchemy import schema
from zoocache_flask.sqlalchemy.databases import Database, all_databases
from zoocache_flask.sqlalchemy.instances import rows_of
from zoocache_flask.sqlalchemy.sessions import unit_of

__all__ = ["depends_on", "row_tags", "table_tags"]


def table_tags(source: Any, *, name: str | None = None) -> list[str]:
    """The tags of the tables of a mapped class or of a ``Table``; invalidating one takes every row
    along.

    With several databases tracked, there is one for each that has not been ruled out by ``name``.

    Raises:
        TypeError: ``source`` is neither.
    """
    if isinstance(source, Table):
        tables = [source]
    else:
        tables = [one for one in _mapper(source).tables if isinstance(one, Table)]
    return [
        database.table(schema.table_name(table)) for database in _named(name) for table in tables
    ]


def row_tags(instance: object, *, name: str | None = None) -> list[str]:
    """The tags of the row that a mapped object stands for: several if it is spread over tables.

    Raises:
        TypeError: it is not a mapped object.
        ValueError: it has not been flushed, so it has no row yet.
    """
    state = inspect(instance, raiseerr=False)
    if not isinstance(state, InstanceState):
        raise TypeError(f"row_tags() expects an object of a mapped class, not {instance!r}.")
    if state.key is None:
        raise ValueError(f"row_tags({instance!r}): it has no row yet; flush the session first.")
    found: Iterable[Database] = _named(name)
    session = object_session(instance)
    if name is None and session is not None and state.identity_token is None:
        database = unit_of(session).database(session, state.mapper)
        found = found if database is None else (database,)
    tags: dict[str, None] = {}
    for one in found:
        tags.update(dict.fromkeys(rows_of(state.mapper, state.key[1], one)))
    return list(tags)


def depends_on(*sources: Any, name: str | None = None) -> None:
    """Make what is being computed depend on mapped objects, or on any row of classes or tables.

    For data that is not read through SQLAlchemy; those reads are noticed. Outside a cached
    computation it does nothing.
    """
    for source in sources:
        if isinstance(inspect(source, raiseerr=False), InstanceState):
            add_deps(row_tags(source, name=name))
        else:
            add_deps([f"{tag}:*" for tag in table_tags(source, name=name)])


def _mapper(source: Any) -> Mapper[Any]:
    found = inspect(source, raiseerr=False)
    if not isinstance(found, Mapper):
        raise TypeError(f"expected a mapped class or a Table, not {source!r}.")
    return found


def _named(name: str | None) -> tuple[Database, ...]:
    return tuple(one for one in all_databases() if name is None or one.name == name)
