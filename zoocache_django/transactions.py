"""Database transactions: what they wrote is invalidated when they commit, and private until then.

A transaction is noticed at its first statement, which is also when it may begin to read a snapshot.
Its end is noticed in the methods of ``BaseDatabaseWrapper`` that end one, since Django has no hook
for "the outermost transaction has committed" that comes before the callbacks of ``on_commit``, and
none for a rollback.

While a transaction of this process has uncommitted writes, or began before the newest invalidation,
every engine asks a guard on each read and store what the transactions of the current thread forbid.
At other times a hit costs nothing extra.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final
from weakref import WeakSet, ref

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

from zoocache_core import Engine, default_engine
from zoocache_core.deps import Scope
from zoocache_core.runtime import Runtime
from zoocache_core.transactions import WriteBuffer
from zoocache_django.publishing import Publishing, followed, invalidate

__all__ = [
    "Transaction",
    "attach",
    "begin",
    "committing",
    "current",
    "end",
    "follow",
    "of",
    "published",
    "read_in",
    "unfollow",
]

_ATTRIBUTE: Final = "_zoocache_transaction"


class Transaction:
    """An open transaction of one connection: what it wrote, and since when it reads."""

    __slots__ = (
        "__weakref__",
        "_connection",
        "_savepoints",
        "buffer",
        "published",
        "stamps",
        "started",
    )

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        # Weak, lest it should keep open a connection that a thread has left behind.
        self._connection = ref(connection)
        self.buffer = WriteBuffer()
        self.published = WriteBuffer()
        self._savepoints: dict[str, tuple[int, int]] = {}
        self.stamps: dict[Runtime, int] = {}
        self.started = False

    def in_test_only(self) -> bool:
        """Whether nothing but the transaction that a ``TestCase`` wraps around a test is open.

        To a test, that one does not exist: what is written counts as committed. So does what a
        block of the test wrote, once the block has ended.
        """
        connection = self._connection()
        blocks: list[Atomic] = [] if connection is None else connection.atomic_blocks
        return bool(blocks) and bool(getattr(blocks[-1], "_from_testcase", False))

    def start(self) -> None:
        """Take the engines' positions, before the first statement."""
        with _lock:
            if not _open:
                for engine in followed:
                    _watch(engine)
            _open.add(self)
        _thread.transactions.append(self)
        _context.set((*_context.get(), self))
        self.started = True
        # Being watched comes first: a move that falls in between only makes the stamp higher.
        self.stamps = {engine: engine.present() for engine in followed if engine.configured}

    def touch(self, tags: Iterable[str]) -> None:
        """Record what was written, to be invalidated at the commit."""
        if self.buffer:
            self.buffer.touch(*tags)
            return
        # At once with the guard, lest a transaction that ends meanwhile should find it superfluous.
        with _lock:
            self.buffer.touch(*tags)
            for engine in followed:
                engine.add_guard(_guards[engine])

    def savepoint(self, name: str) -> None:
        """Remember what had been written before the savepoint ``name``."""
        self._savepoints[name] = self.buffer.savepoint(), self.published.savepoint()

    def undo(self, name: str | None = None) -> None:
        """Forget what was written, all of it or since the savepoint ``name``; it did not happen.

        Of a savepoint that is not known nothing is forgotten, which is always right, if late.
        """
        if name is not None and name not in self._savepoints:
            return
        written, published = (0, 0) if name is None else self._savepoints[name]
        self.buffer.rollback_to(written)
        tags = self.published.pending()
        if self.published.rollback_to(published):
            # A test is over, and what it saw as committed has never been.
            invalidate(tags)

    def settle(self) -> None:
        """Publish what a block of a test wrote, and has ended."""
        if self.buffer:
            tags = self.buffer.commit()
            self.published.touch(*tags)
            invalidate(tags)
        if self.started:
            _stop(self)

    def stamp(self, engine: Engine) -> int:
        """The position of ``engine`` before the first statement."""
        return self.stamps.get(engine, 0)


class _Thread(threading.local):
    """The open transactions of the current thread, over all its connections."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []


class _Guard:
    """What the open transactions of the current thread forbid (see ``zoocache_core.guards``)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hides(self, deps: Collection[str], stamp: int) -> bool:
        """Whether one of them wrote what a value depends on, or began before the value was read.

        The second matters to transactions that read a snapshot. Which ones do depends on the
        database, on its settings and on ``SET TRANSACTION``; recomputing a value that is newer
        than the transaction is right for all of them, and happens rarely.
        """
        hidden = False
        for transaction in _mine():
            hidden = hidden or transaction.buffer.touches_any(deps)
            if transaction.in_test_only():
                transaction.settle()
            elif stamp > transaction.stamp(self._engine):
                hidden = True
        return hidden

    def uncommitted(self) -> bool:
        """Whether one of them has written anything."""
        return any(transaction.buffer for transaction in _settled())

    def stamp(self) -> int | None:
        """The position before the oldest of them began to read."""
        return min((transaction.stamp(self._engine) for transaction in _settled()), default=None)


_thread: Final = _Thread()
# Django lets asynchronous code call synchronous code in another thread and the other way round,
# with the same context; so the open transactions travel in it, too.
_context: Final[ContextVar[tuple[Transaction, ...]]] = ContextVar("zoocache_django", default=())
# Weak, because a thread may end without closing its connections.
_open: Final[WeakSet[Transaction]] = WeakSet()
_lock: Final = threading.Lock()
_guards: Final[dict[Engine, _Guard]] = {}
_watchers: Final[dict[Engine, Callable[[], None]]] = {}


def follow(engine: Engine) -> None:
    """Invalidate in ``engine``, too, what is written through Django."""
    with _lock:
        if engine not in followed:
            _guards[engine] = _Guard(engine)
            _watchers[engine] = partial(engine.add_guard, _guards[engine])
            followed.append(engine)
            if _open:
                _watch(engine)


def unfollow(engine: Engine) -> None:
    """Take back :func:`follow`."""
    with _lock:
        if engine in followed:
            followed.remove(engine)
            engine.unwatch(_watchers.pop(engine))
            engine.remove_guard(_guards.pop(engine))


def attach() -> None:
    """Put the default engine, configured anew, under the transactions that are already open."""
    follow(default_engine)
    with _lock:
        if not default_engine.configured or not _open:
            return
        _watch(default_engine)
        for transaction in _open:
            # Its position was another engine's. For this one, it began before everything.
            transaction.stamps[default_engine] = 0
        default_engine.add_guard(_guards[default_engine])


def of(connection: BaseDatabaseWrapper) -> Transaction | None:
    """The transaction of ``connection`` that has run a statement and has not ended, if any."""
    transaction: Transaction | None = connection.__dict__.get(_ATTRIBUTE)
    return transaction


def current(connection: BaseDatabaseWrapper) -> Transaction | None:
    """The transaction in which ``connection`` is about to run a statement.

    ``None`` means that the statement will be committed by itself.
    """
    transaction: Transaction | None = connection.__dict__.get(_ATTRIBUTE)
    if transaction is None:
        if connection.autocommit:
            return None
        transaction = begin(connection)
    if transaction.in_test_only():
        transaction.settle()
        return None
    if not transaction.started:
        transaction.start()
    return transaction


def begin(connection: BaseDatabaseWrapper) -> Transaction:
    """A transaction that has run no statement yet."""
    transaction = connection.__dict__[_ATTRIBUTE] = Transaction(connection)
    return transaction


def end(connection: BaseDatabaseWrapper, undone: bool) -> None:
    """The transaction of ``connection`` is over, rolled back or committed and published."""
    transaction = of(connection)
    if transaction is not None:
        del connection.__dict__[_ATTRIBUTE]
        if undone:
            transaction.undo()
        if transaction.started:
            _stop(transaction)


@contextmanager
def committing(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Around a commit: publishes what was written, before anything else can run."""
    transaction = of(connection)
    if transaction is None:
        yield
        return
    with Publishing(transaction.buffer.pending()):
        yield
        # Not reached if the commit fails; the database may have committed all the same.
        end(connection, undone=False)


def published(connection: BaseDatabaseWrapper, tags: Collection[str]) -> None:
    """Remember what was written in a test outside of its blocks, to be forgotten after it."""
    transaction = of(connection)
    if transaction is not None:
        transaction.published.touch(*tags)


def read_in(transaction: Transaction, scope: Scope | None, tags: Collection[str]) -> None:
    """What ``scope`` depends on was read in a transaction: it is as old as the transaction, and
    private if the transaction wrote it."""
    private = transaction.buffer.touches_any(tags)
    while scope is not None:
        if private:
            scope.forbid("it was computed from rows that are not committed")
        scope.lower_stamp(transaction.stamps.get(scope.engine, 0))
        scope = scope.parent


def _mine() -> Iterator[Transaction]:
    yield from _thread.transactions
    for transaction in _context.get():
        if transaction.started and transaction not in _thread.transactions:
            yield transaction


def _settled() -> Iterator[Transaction]:
    for transaction in list(_mine()):
        if transaction.in_test_only():
            transaction.settle()
        else:
            yield transaction


def _watch(engine: Engine) -> None:
    if engine.configured:
        engine.watch(_watchers[engine])
        if not engine.direct:
            # Its position moves wherever it is shared, and it has no short way to lose.
            engine.add_guard(_guards[engine])


def _stop(transaction: Transaction) -> None:
    """Forget a transaction that forbids nothing any more."""
    # Connections can be shared by threads, so it may have been started by another one.
    if transaction in _thread.transactions:
        _thread.transactions.remove(transaction)
    mine = _context.get()
    if transaction in mine:
        _context.set(tuple(one for one in mine if one is not transaction))
    transaction.started = False
    transaction.stamps = {}
    with _lock:
        _open.discard(transaction)
        for engine in followed:
            if engine.configured:
                _relax(engine)


def _relax(engine: Engine) -> None:
    """Remove what no open transaction needs."""
    if not _open:
        engine.unwatch(_watchers[engine])
        engine.remove_guard(_guards[engine])
        return
    if not engine.direct:
        return
    # Under the lock under which the position moves, lest it should do so unnoticed.
    with engine.trie.lock:
        position = engine.trie.position
        if all(not one.buffer and one.stamp(engine) >= position for one in _open):
            engine.remove_guard(_guards[engine])
