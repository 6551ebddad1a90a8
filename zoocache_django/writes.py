"""What was written to the database, and which tags that outdates.

A statement that the ORM compiled says which rows it writes, where its conditions name them by
primary key or it inserts them; any other statement writes its tables. What becomes of the tags,
and when, is the matter of :mod:`zoocache_django.transactions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import OneToOneField
from django.db.models.constants import OnConflict
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.subqueries import DeleteQuery, InsertQuery, UpdateQuery

from zoocache_core.publishing import Publishing
from zoocache_core.statements import Statement
from zoocache_django import transactions
from zoocache_django.database import tables
from zoocache_django.database.publishing import invalidate, publishing
from zoocache_django.database.relations import ends_deleted, ends_inserted, ends_of, referring
from zoocache_django.database.rows import identifies, keys_of, model_of
from zoocache_django.database.tables import INTEGER
from zoocache_django.tags import model_named, row_tag, table_tag

__all__ = ["REFUSALS", "CompiledWrite", "invalidate_model", "tags_of", "touch"]

REFUSALS: Final = (IntegrityError, ProgrammingError, DataError)
"""Errors with which a database says that it has not done what a statement asked for. After any
other one it may have, although the answer was lost."""


def invalidate_model(model: tables.Model | str, *keys: Any, using: str = DEFAULT_DB_ALIAS) -> None:
    """Declare that rows of ``model`` were written in a way that Django cannot see.

    Everything that depends on the rows with these primary keys is forgotten or, without any, on
    any row of the model; and what goes with them, as if Django had written them: their parts in the
    tables of parents and children, and what ``TRIGGERS`` names. In a transaction of the database
    ``using`` that happens when it commits, and not at all when it is rolled back.

    Raises:
        TypeError, ValueError: there is no such model, it is abstract, or a key is ``None``.
        django.core.exceptions.ValidationError: a key is not valid for the model.
        django.utils.connection.ConnectionDoesNotExist: there is no database ``using``.
    """
    concrete, connection = model_named(model), connections[using]
    # Also if its writes are ignored otherwise.
    tags = dict.fromkeys(row_tag(concrete, key, using=using) for key in keys)
    if not tags:
        tags[table_tag(concrete, using=using)] = None
    for part, shares_keys in _parts(concrete):
        table = tables.name_of(part._meta.db_table)
        tags.update(
            dict.fromkeys(tables.written(table, keys if keys and shares_keys else None, using))
        )
    if not transactions.watched():
        return _when_committed(connection, tuple(tags))
    touch(connection, tags)
    for transaction in transactions.inherited(using):
        transaction.touch(tags)
    return None


def _parts(model: tables.Model) -> Iterator[tuple[tables.Model, bool]]:
    """The models in whose tables a row of ``model`` lies, and whether its key is theirs, too."""
    yield model, True
    sharing, key = {model}, model._meta.pk
    while isinstance(key, OneToOneField) and key.remote_field.parent_link:
        parent: tables.Model = key.remote_field.model
        sharing.add(parent)
        key = parent._meta.pk
    for parent in model._meta.get_parent_list():
        yield parent, parent in sharing


def _when_committed(connection: BaseDatabaseWrapper, tags: Collection[str]) -> None:
    """Invalidate ``tags``, with nobody to notice the end of transactions but Django."""
    if connection.in_atomic_block and not connection.closed_in_transaction:
        connection.on_commit(lambda: invalidate(tags))
    else:
        # A transaction that is managed by hand has no such hook.
        invalidate(tags)


def touch(connection: BaseDatabaseWrapper, tags: Collection[str]) -> None:
    """Invalidate ``tags``: now, or when the transaction of ``connection`` commits."""
    transaction = transactions.current(connection)
    if transaction is not None:
        transaction.touch(tags)
    else:
        with publishing(tags):
            transactions.published(connection, tags)


def tags_of(statement: Statement, using: str) -> list[str]:
    """What a raw statement outdates."""
    if statement.opaque:
        return tables.everything(using)
    return [
        tag
        for table in statement.writes
        for tag in (*tables.written(table, None, using), *referring(table, using))
    ]


class CompiledWrite:
    """An INSERT, UPDATE or DELETE of the ORM, from its first statement until all are done."""

    __slots__ = ("_begun", "_compiler", "_publishing", "_table", "_transaction", "rowcount")

    def __init__(self, compiler: SQLCompiler) -> None:
        self._compiler = compiler
        self._table = tables.name_of(compiler.query.get_meta().db_table)
        self._begun = False
        self._publishing: Publishing | None = None
        self._transaction: transactions.Transaction | None = None
        self.rowcount = 0

    def begin(self) -> None:
        """A statement is about to be executed."""
        if self._begun:
            return
        self._begun = True
        connection = self._compiler.connection
        self._transaction = transactions.current(connection)
        if self._transaction is None:
            if isinstance(self._compiler.query, InsertQuery):
                expected = tables.appearing(self._table, connection.alias)
            else:
                expected = self._changed()
            self._publishing = publishing(expected)
            self._publishing.__enter__()

    def end(self, returned: Sequence[Any] | None, returning: Sequence[Any]) -> None:
        """All statements have been executed and the cursor is closed.

        ``returned`` are the rows that came back, if the statement asked for the fields
        ``returning``.
        """
        if not self._begun:
            return
        connection, query = self._compiler.connection, self._compiler.query
        nothing = (
            not returned
            if returning and isinstance(query, UpdateQuery)
            else (self.rowcount == 0 and not returning)
        )
        if nothing:
            self._publish(tables.triggered(self._table, connection.alias))
        elif isinstance(query, InsertQuery):
            labels = _labels(query, self._table, connection)
            key = _key_of_one(query, returned, returning) if labels else None
            if key is not None:
                self._publish([f"{label}:{key}" for label in labels])
                return
            keys = _inserted(query, connection.vendor, returned or (), returning)
            tags = tables.written(self._table, keys, connection.alias)
            self._publish([*tags, *ends_inserted(query, connection.alias)])
        elif self._publishing is not None:
            self._publish(self._publishing.tags)
        else:
            self._publish(self._changed())

    def fail(self, error: BaseException) -> None:
        """A statement was not executed, or it cannot be told whether it was."""
        if not self._begun:
            return
        refused = isinstance(error, REFUSALS) and self.rowcount == 0
        tags: list[str] = []
        if not refused:
            tags = tables.written(self._table, None, self._compiler.connection.alias)
            if not isinstance(self._compiler.query, InsertQuery):
                tags += self._changed()
        self._publish(tags)

    def _publish(self, tags: Collection[str]) -> None:
        if self._publishing is not None:
            self._publishing.tags = tags
            self._publishing.__exit__()
            transactions.published(self._compiler.connection, tags)
        elif self._transaction is not None and tags:
            self._transaction.touch(tags)

    def _changed(self) -> list[str]:
        """What an UPDATE or DELETE outdates."""
        query, connection = self._compiler.query, self._compiler.connection
        keys = keys_of(query, connection.vendor)
        if isinstance(query, UpdateQuery):
            changes: Any = getattr(query, "values")  # noqa: B009  the stubs do not know it
            for field, _, _ in changes:
                if field.primary_key:
                    keys = None
            return tables.written(self._table, keys, connection.alias)
        tags = tables.written(self._table, keys, connection.alias)
        if isinstance(query, DeleteQuery):
            tags += ends_deleted(query, connection.alias)
            tags += referring(self._table, connection.alias)
        return tags


class _Plain(NamedTuple):
    """What inserting rows of a model outdates, as long as ``outdated`` is what its table outdates:
    the ``labels``, each with the integer key of a row. Without any, there is more to it."""

    outdated: tables.Outdated
    model: tables.Model | None
    labels: tuple[str, ...]


# Inserting one row is so frequent that what can be known of its tags is worked out once.
_plain: Final[dict[tuple[Any, str], _Plain]] = {}


def _labels(query: InsertQuery, table: str, connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    place, outdated = (query.model, connection.alias), tables.outdated_by(table)
    known = _plain.get(place)
    if known is None or known.outdated is not outdated:
        model, labels = model_of(query), tuple(label for label, _ in outdated.rows)
        if (
            model is None
            or connection.alias != DEFAULT_DB_ALIAS
            or not outdated.numbered
            or outdated.tables
            or outdated.others
            or not identifies(model, connection.vendor)
        ):
            labels = ()
        known = _plain[place] = _Plain(outdated, model, labels)
    return () if ends_of(known.model) else known.labels


def _key_of_one(
    query: InsertQuery, returned: Sequence[Any] | None, returning: Sequence[Any]
) -> int | None:
    """The primary key, 0 or above, of the only row that was inserted; ``None`` if it may be
    something else."""
    if len(query.objs) != 1 or getattr(query, "on_conflict", None) is not None:
        return None
    field = query.get_meta().pk
    if returned and returning[0] is field:
        key = returned[0][0]
    elif field is not None:
        key = getattr(query.objs[0], field.attname)
    # A sign is no part of a plain tag.
    return key if type(key) is int and key >= 0 else None


def _inserted(
    query: InsertQuery, vendor: str, returned: Sequence[Any], returning: Sequence[Any]
) -> list[Any] | None:
    """The primary keys of the rows that were inserted, or ``None`` if they cannot be told."""
    key, model = query.get_meta().pk, model_of(query)
    if model is None or not identifies(model, vendor):
        return None
    if len(returned) == len(query.objs) and key in returning:
        place = list(returning).index(key)
        keys = [row[place] for row in returned]
    elif getattr(query, "on_conflict", None) == OnConflict.UPDATE:
        # It may have changed rows with other keys than those that were to be inserted.
        return None
    else:
        keys = [obj.pk for obj in query.objs]
    if INTEGER.issuperset(map(type, keys)):
        return keys
    parts = [part for key in keys for part in (key if isinstance(key, tuple) else (key,))]
    if any(part is None or hasattr(part, "resolve_expression") for part in parts):
        return None
    return keys
