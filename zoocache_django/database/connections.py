"""The methods of a database connection that end its transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from zoocache_django.database.publishing import publishing
from zoocache_django.transactions import committing, end, of

__all__ = ["PATCHES"]

Method = Callable[..., Any]


def _commit(original: Method) -> Method:
    def commit(self: BaseDatabaseWrapper) -> None:
        transaction = of(self)
        if transaction is None:
            original(self)
        elif not transaction.written:
            original(self)
            end(self, undone=False)
        else:
            # What `committing` does, on the path of every transaction.
            with publishing(transaction.written.pending()):
                original(self)
                end(self, undone=False)

    return commit


def _rollback(original: Method) -> Method:
    def rollback(self: BaseDatabaseWrapper) -> None:
        original(self)
        end(self, undone=True)

    return rollback


def _close(original: Method) -> Method:
    def close(self: BaseDatabaseWrapper) -> None:
        try:
            original(self)
        finally:
            # It stays open if it belongs to another thread. Otherwise the database rolls back.
            if self.connection is None or self.closed_in_transaction:
                end(self, undone=True)

    return close


def _connect(original: Method) -> Method:
    def connect(self: BaseDatabaseWrapper) -> None:
        end(self, undone=True)
        original(self)

    return connect


def _set_autocommit(original: Method) -> Method:
    def set_autocommit(
        self: BaseDatabaseWrapper, autocommit: bool, *args: Any, **kwargs: Any
    ) -> None:
        if not autocommit or of(self) is None:
            original(self, autocommit, *args, **kwargs)
            return
        # Some databases commit what is pending when autocommit is switched on.
        with committing(self):
            original(self, autocommit, *args, **kwargs)

    return set_autocommit


PATCHES: Final = (
    (BaseDatabaseWrapper, "commit", _commit),
    (BaseDatabaseWrapper, "rollback", _rollback),
    (BaseDatabaseWrapper, "close", _close),
    (BaseDatabaseWrapper, "connect", _connect),
    (BaseDatabaseWrapper, "set_autocommit", _set_autocommit),
)
