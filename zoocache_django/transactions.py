"""Database transactions: what they wrote is invalidated when they commit, and private until then.

Django has no hook for "the outermost transaction has committed" that comes before the callbacks of
``on_commit``, none for a rollback, and none for savepoints. So this module wraps the methods of
``BaseDatabaseWrapper`` through which Django begins and ends transactions, whatever the database.
Nothing else of Django is replaced, and :func:`install` does it once.

A transaction belongs to a connection, and a connection to one thread. While any transaction is
open, the engine asks a guard on every read and store what those of the current thread forbid.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, Final
from weakref import WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from zoocache_core import default_engine
from zoocache_core.deps import current_scope
from zoocache_core.transactions import WriteBuffer

__all__ = ["attach", "install", "touch"]

Method = Callable[..., Any]

_ATTRIBUTE: Final = "_zoocache_transaction"
_WRAPPED: Final = "_zoocache_wrapped"


class Transaction:
    """An open transaction of one connection: what it wrote, and since when it reads."""

    __slots__ = ("__weakref__", "buffer", "savepoints", "stamp")

    def __init__(self, stamp: int) -> None:
        self.buffer = WriteBuffer()
        self.savepoints: dict[str, int] = {}
        self.stamp = stamp
        """The engine's position before the first statement."""

    def begin_again(self) -> None:
        """Become the next transaction of a connection that is not in autocommit mode."""
        self.savepoints.clear()
        self.stamp = _position()

    def publish(self) -> None:
        """Invalidate what was written: it is committed now."""
        if self.buffer:
            default_engine.invalidate(*self.buffer.commit())

    def undo(self, savepoint: int = 0) -> None:
        """Forget what was written since ``savepoint``; it did not happen.

        A cached computation under way may have read it before, so its result is not stored.
        """
        if self.buffer.rollback_to(savepoint):
            scope = current_scope()
            if scope is not None:
                scope.forbid("it may have read what a transaction wrote and then rolled back")


class _Thread(threading.local):
    """The open transactions of the current thread, over all its connections."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []


class _Guard:
    """What the open transactions of the current thread forbid (see ``zoocache_core.guards``)."""

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        """Whether one of them wrote what a value depends on, or began before the value was read.

        The second matters to transactions that read a snapshot. Which ones do depends on the
        database, on its settings and on ``SET TRANSACTION``; recomputing a value that is newer
        than the transaction is right for all of them, and happens rarely.
        """
        return any(
            stamp > transaction.stamp or transaction.buffer.touches_any(deps)
            for transaction in _thread.transactions
        )

    def uncommitted(self) -> bool:
        """Whether one of them has written anything."""
        return any(transaction.buffer for transaction in _thread.transactions)

    def stamp(self) -> int | None:
        """The position before the oldest of them began to read."""
        return min((transaction.stamp for transaction in _thread.transactions), default=None)


_thread: Final = _Thread()
_guard: Final = _Guard()
# Weak, because a thread may end without closing its connections.
_open: Final[WeakSet[Transaction]] = WeakSet()
_lock: Final = threading.Lock()


def touch(using: str, tags: Collection[str]) -> None:
    """Invalidate ``tags``, which were just written through the database alias ``using``.

    At once, or when the transaction that they were written in commits.
    """
    transaction = _of(connections[using])
    if transaction is None:
        default_engine.invalidate(*tags)
    else:
        transaction.buffer.touch(*tags)


def attach() -> None:
    """Put an engine that was configured anew under the transactions that are already open."""
    with _lock:
        for transaction in _open:
            # Its position was another engine's. For this one, it began before everything.
            transaction.stamp = 0
        default_engine.remove_guard(_guard)
        if _open:
            default_engine.add_guard(_guard)


def install() -> None:
    """Wrap the methods that begin and end transactions; doing it again has no effect."""
    for name, wrapper in _WRAPPERS.items():
        original: Method = getattr(BaseDatabaseWrapper, name)
        if not hasattr(original, _WRAPPED):
            wrapped = wraps(original)(wrapper(original))
            setattr(wrapped, _WRAPPED, True)
            setattr(BaseDatabaseWrapper, name, wrapped)


def _of(connection: BaseDatabaseWrapper) -> Transaction | None:
    return connection.__dict__.get(_ATTRIBUTE)


def _position() -> int:
    # With settings that cannot be used nothing is stored, and the application may still read.
    return default_engine.stamp() if default_engine.configured else 0


def _begin(connection: BaseDatabaseWrapper, stamp: int) -> None:
    transaction = Transaction(stamp)
    connection.__dict__[_ATTRIBUTE] = transaction
    _thread.transactions.append(transaction)
    with _lock:
        if not _open:
            default_engine.add_guard(_guard)
        _open.add(transaction)


def _end(connection: BaseDatabaseWrapper) -> None:
    transaction: Transaction | None = connection.__dict__.pop(_ATTRIBUTE, None)
    if transaction is None:
        return
    # Connections can be shared by threads. One that ends a transaction of another thread cannot
    # reach that thread's list, so what stays there must forbid nothing.
    transaction.undo()
    transaction.stamp = sys.maxsize
    if transaction in _thread.transactions:
        _thread.transactions.remove(transaction)
    with _lock:
        _open.discard(transaction)
        if not _open:
            default_engine.remove_guard(_guard)


def _commit(original: Method) -> Method:
    def commit(self: BaseDatabaseWrapper) -> None:
        transaction = _of(self)
        try:
            original(self)
        except BaseException:
            # The database may have committed although its answer was lost.
            if transaction is not None and transaction.buffer:
                default_engine.invalidate(*transaction.buffer.pending())
            raise
        if transaction is not None:
            transaction.publish()
            transaction.begin_again()

    return commit


def _rollback(original: Method) -> Method:
    def rollback(self: BaseDatabaseWrapper) -> None:
        original(self)
        transaction = _of(self)
        if transaction is not None:
            transaction.undo()
            transaction.begin_again()

    return rollback


def _close(original: Method) -> Method:
    def close(self: BaseDatabaseWrapper) -> None:
        # The database rolls back by itself.
        try:
            original(self)
        finally:
            _end(self)

    return close


def _set_autocommit(original: Method) -> Method:
    def set_autocommit(
        self: BaseDatabaseWrapper, autocommit: bool, *args: Any, **kwargs: Any
    ) -> None:
        if not autocommit:
            stamp = _position()
            # May connect first, which switches autocommit on and off again.
            original(self, autocommit, *args, **kwargs)
            if _of(self) is None:
                _begin(self, stamp)
            return
        transaction = _of(self)
        if transaction is not None and not transaction.buffer:
            # Before the callbacks of on_commit, which run in here, outside the transaction.
            _end(self)
        original(self, autocommit, *args, **kwargs)
        transaction = _of(self)
        if transaction is not None:
            # Some databases commit what is pending when autocommit is switched on.
            transaction.publish()
            _end(self)

    return set_autocommit


def _savepoint(original: Method) -> Method:
    def savepoint(self: BaseDatabaseWrapper) -> str | None:
        sid: str | None = original(self)
        transaction = _of(self)
        if sid is not None and transaction is not None:
            transaction.savepoints[sid] = transaction.buffer.savepoint()
        return sid

    return savepoint


def _savepoint_rollback(original: Method) -> Method:
    def savepoint_rollback(self: BaseDatabaseWrapper, sid: str) -> None:
        original(self, sid)
        transaction = _of(self)
        if transaction is not None and sid in transaction.savepoints:
            transaction.undo(transaction.savepoints[sid])

    return savepoint_rollback


def _savepoint_commit(original: Method) -> Method:
    def savepoint_commit(self: BaseDatabaseWrapper, sid: str) -> None:
        original(self, sid)
        transaction = _of(self)
        if transaction is not None:
            transaction.savepoints.pop(sid, None)

    return savepoint_commit


_WRAPPERS: Final[dict[str, Callable[[Method], Method]]] = {
    "commit": _commit,
    "rollback": _rollback,
    "close": _close,
    "set_autocommit": _set_autocommit,
    "savepoint": _savepoint,
    "savepoint_rollback": _savepoint_rollback,
    "savepoint_commit": _savepoint_commit,
}
