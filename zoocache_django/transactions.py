"""Database transactions: what they wrote is invalidated when they commit, and private until then.

A transaction is noticed at its first statement, which is also when it may begin to read a snapshot.
Its end is noticed in the methods of ``BaseDatabaseWrapper`` that end one, since Django has no hook
for "the outermost transaction has committed" that comes before the callbacks of ``on_commit``, and
none for a rollback.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import ref

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

from zoocache_core import Engine, isolation, transactions
from zoocache_core.transactions import WriteBuffer
from zoocache_django.database.publishing import followers, invalidate, publishing

__all__ = [
    "Transaction",
    "begin",
    "committing",
    "current",
    "end",
    "inherited",
    "of",
    "published",
    "watch",
    "watched",
]

_ATTRIBUTE: Final = "_zoocache_transaction"

_EXACT: Final = ("sqlite", "postgresql")
"""Databases in which a rollback undoes everything, tables that are created included. Elsewhere what
was rolled back is invalidated all the same."""


class Transaction(transactions.Transaction):
    """An open transaction of one of Django's connections."""

    __slots__ = ("_connection", "_published", "_seen", "alias", "exact")

    by_thread = True

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__()
        # Weak, lest it should keep open a connection that a thread has left behind.
        self._connection = ref(connection)
        self.alias = connection.alias
        self.exact = connection.vendor in _EXACT
        # What a test has seen as committed, from one savepoint to the next: the same may be written
        # before and after one. And how many of these came before which savepoint.
        self._published: list[WriteBuffer] = []
        self._seen: dict[str, int] = {}

    @property
    def engines(self) -> tuple[Engine, ...]:
        return followers()

    def in_test_only(self) -> bool:
        """Whether nothing but the transaction that a ``TestCase`` wraps around a test is open.

        To a test, that one does not exist: what is written counts as committed. So does what a
        block of the test wrote, once the block has ended.
        """
        connection = self._connection()
        blocks: list[Atomic] = [] if connection is None else connection.atomic_blocks
        return bool(blocks) and bool(getattr(blocks[-1], "_from_testcase", False))

    def savepoint(self, name: str) -> None:
        super().savepoint(name)
        if self._published:
            if self._published[-1]:
                self._published.append(WriteBuffer())
            self._seen[name] = len(self._published) - 1

    def undo(self, name: str) -> bool:
        undone = self.exact and super().undo(name)
        if name in self._savepoints:
            self._unsee(self._seen.get(name, 0))
        return undone

    def undo_all(self) -> None:
        """Nothing of it happened."""
        if not self.exact:
            invalidate(self.written.pending())
        self._unsee(0)

    def _unsee(self, savepoint: int) -> None:
        undone = self._published[savepoint:]
        if undone:
            self._published[savepoint:] = [WriteBuffer()]
            # A test is over, and what it saw as committed has never been.
            invalidate(list(dict.fromkeys(tag for one in undone for tag in one.pending())))

    def publish(self, tags: Collection[str]) -> None:
        """A test sees ``tags`` as committed."""
        if not self._published:
            self._published.append(WriteBuffer())
        self._published[-1].touch(*tags)

    def settle(self) -> None:
        """Publish what a block of a test wrote, and has ended."""
        if self.written:
            tags = self.written.commit()
            self.publish(tags)
            invalidate(tags)
        if self.owners:
            self.stop()

    def hides(self, engine: Engine, deps: Collection[str], stamp: int) -> bool:
        if self.in_test_only():
            hidden = self.written.touches_any(deps)
            self.settle()
            return hidden
        return super().hides(engine, deps, stamp)

    def uncommitted(self) -> bool:
        return not self._settled() and super().uncommitted()

    def stamp(self, engine: Engine) -> int | None:
        return None if self._settled() else super().stamp(engine)

    def _settled(self) -> bool:
        # A block without a savepoint has ended unnoticed.
        if self.in_test_only():
            self.settle()
            return True
        return False


_watched = False


def watch(watched: bool) -> None:
    """Say whether the beginnings and ends of transactions are noticed."""
    global _watched
    _watched = watched


def watched() -> bool:
    """Whether the beginnings and ends of transactions are noticed."""
    return _watched


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
        # Before it is opened, and when it was lost, nothing is in a transaction, although
        # `autocommit` is still, or again, False.
        if (
            connection.autocommit
            or connection.connection is None
            or connection.closed_in_transaction
        ):
            return None
        transaction = begin(connection)
    if transaction.in_test_only():
        transaction.settle()
        return None
    if transaction.owners:
        isolation.join(transaction)
    else:
        transaction.start()
    return transaction


def inherited(using: str) -> Iterator[Transaction]:
    """The transactions of the database ``using`` in which the current context was made, wherever
    their connections are: Django lets synchronous code call asynchronous code and the other way
    round in another thread, with the same context."""
    for one in isolation.inherited():
        if isinstance(one, Transaction) and one.alias == using and not one.in_test_only():
            yield one


def begin(connection: BaseDatabaseWrapper) -> Transaction:
    """A transaction that has run no statement yet."""
    transaction = connection.__dict__[_ATTRIBUTE] = Transaction(connection)
    return transaction


def end(connection: BaseDatabaseWrapper, undone: bool) -> None:
    """The transaction of ``connection`` is over, rolled back or committed and published."""
    transaction: Transaction | None = connection.__dict__.pop(_ATTRIBUTE, None)
    if transaction is not None:
        if undone:
            transaction.undo_all()
        if transaction.owners:
            isolation.end(transaction)


@contextmanager
def committing(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Around a commit: publishes what was written, before anything else can run."""
    transaction = of(connection)
    if transaction is None:
        yield
        return
    with publishing(transaction.written.pending()):
        yield
        # Not reached if the commit fails; the database may have committed all the same.
        end(connection, undone=False)


def published(connection: BaseDatabaseWrapper, tags: Collection[str]) -> None:
    """Remember what was written in a test outside of its blocks, to be forgotten after it."""
    transaction = of(connection)
    if transaction is not None:
        transaction.publish(tags)
