"""Database transactions: what they wrote is invalidated when they commit, and private until then.

A transaction is kept with the driver's connection and not with SQLAlchemy's, because it is the
former that commits: two connections of a ``StaticPool`` are in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol
from weakref import ref

from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection

from zoocache_core import Engine as Cache
from zoocache_core import isolation, transactions
from zoocache_core.deps import Scope
from zoocache_core.moments import Moment
from zoocache_core.publishing import Publishing
from zoocache_core.transactions import WriteBuffer
from zoocache_flask.sqlalchemy.databases import Database

__all__ = [
    "UNOBSERVED",
    "Transaction",
    "autocommits",
    "begun",
    "commits_alone",
    "committing",
    "dirty",
    "doubt",
    "drop",
    "enter",
    "in_progress",
    "info_of",
    "isolation_level",
    "join",
    "lost",
    "of",
    "publish",
    "read_older",
    "release",
    "undo",
    "use",
]

_KEY: Final = "zoocache"
_BEGUN: Final = "zoocache_begun"
_UNITS: Final = "zoocache_units"

UNOBSERVED: Final = "zoocache_unobserved"
"""Kept with a connection on which a dialect executes statements for itself."""

# As libpq numbers them.
_IDLE: Final = 0
_UNKNOWN_STATUS: Final = 4

_EXACT: Final = ("sqlite", "postgresql")
"""Databases in which a rollback undoes everything, tables that are created included. Elsewhere what
was rolled back is invalidated all the same."""


class Transaction(transactions.Transaction):
    """An open transaction of a driver's connection."""

    __slots__ = ("database", "exact", "inserting", "manual", "shows_uncommitted", "unclear")

    def __init__(self, database: Database, dialect: str) -> None:
        super().__init__()
        self.database = database
        self.exact = dialect in _EXACT
        # Begun by a statement of the application, on a connection that commits by itself.
        self.manual = False
        # Statements have begun or ended transactions on the connection that nobody can tell apart.
        self.unclear = False
        self.shows_uncommitted = False
        self.inserting: tuple[object, Callable[[], Iterable[str]]] | None = None

    @property
    def engines(self) -> tuple[Cache, ...]:
        return self.database.caches

    @property
    def written(self) -> WriteBuffer:
        if self.inserting is not None:
            _, tags = self.inserting
            self.inserting = None
            self._written.touch(*tags())
        return self._written

    def expect(self, context: object, tags: Callable[[], Iterable[str]]) -> None:
        """``context`` has inserted rows whose keys SQLAlchemy is about to fetch; by the time that
        somebody asks, ``tags()`` will tell what was written."""
        if self.inserting is None or self.inserting[0] is not context:
            self.written  # noqa: B018  settles what an earlier statement has inserted
            self.inserting = (context, tags)
            isolation.rouse(self)

    def ended_unseen(self, connection: PoolProxiedConnection, context: object) -> bool:
        """Whether somebody has ended it by means of the driver, after it had written something.

        ``context`` is about to execute a statement, perhaps the next part of one that inserts.
        """
        if self.inserting is not None and self.inserting[0] is context:
            return False
        return bool(self.written) and in_progress(connection) is False

    def quiet(self, engine: Cache) -> bool:
        return self.inserting is None and super().quiet(engine)

    def undo(self, name: str) -> bool:
        return self.exact and super().undo(name)

    def note_read(self, scope: Scope, tags: Collection[str]) -> None:
        if self.shows_uncommitted:
            scope.forbid("it was computed from rows that are not committed")
        super().note_read(scope, tags)


def info_of(connection: PoolProxiedConnection) -> dict[Any, Any]:
    """What is kept with a driver's connection for as long as it is open."""
    try:
        return connection.info
    except NotImplementedError:
        # A dialect looks at the database for the first time.
        return {UNOBSERVED: True}


def of(connection: PoolProxiedConnection) -> Transaction | None:
    """The open transaction of a driver's connection, if it has one."""
    found: Transaction | None = info_of(connection).get(_KEY)
    return found


def begun(connection: PoolProxiedConnection, database: Database) -> None:
    """A transaction begins, which may read a snapshot from now on.

    It is declared when it executes something: many never do.
    """
    info_of(connection)[_BEGUN] = Moment(database.caches)


def enter(connection: Connection, database: Database, manual: bool = False) -> Transaction:
    """The transaction of ``connection``, which is about to execute its first statement.

    ``manual``: it is begun by that statement. If it is in progress and its beginning was not
    noticed, who knows what snapshot it reads.
    """
    dialect, info = connection.dialect.name, info_of(connection.connection)
    transaction = info[_KEY] = Transaction(database, dialect)
    transaction.manual = manual
    transaction.shows_uncommitted = dialect != "postgresql" and (
        isolation_level(connection) == "READ UNCOMMITTED"
    )
    since: Moment | None = info.pop(_BEGUN, None)
    if since is None and connection.in_transaction():
        since = Moment(())
    # Listeners to the beginning of transactions execute statements before they begin.
    transaction.start(None if manual else since)
    return transaction


class Unit(isolation.Activity, Protocol):
    """The unit of work of a session."""

    places: list[dict[Any, Any]]
    since: Moment

    def doubt(self) -> None:
        """Something was rolled back that objects of the session may show."""


def use(connection: PoolProxiedConnection, unit: Unit) -> None:
    """A session uses ``connection``, until :func:`release`."""
    info = info_of(connection)
    info[_UNITS] = (*info.get(_UNITS, ()), ref(unit))
    unit.places.append(info)


def release(unit: Unit) -> None:
    """The session with this ``unit`` has let go of its connections."""
    for info in unit.places:
        info[_UNITS] = tuple(one for one in info.get(_UNITS, ()) if one() not in (None, unit))
    unit.places.clear()


def dirty(places: Iterable[dict[Any, Any]]) -> bool:
    """Whether an open transaction of one of these connections has written something."""
    for info in places:
        transaction: Transaction | None = info.get(_KEY)
        if transaction is not None and transaction.uncommitted():
            return True
    return False


def join(connection: PoolProxiedConnection, transaction: Transaction) -> None:
    """The current thread or task uses ``transaction``, and with it the sessions that do."""
    isolation.join(transaction)
    for unit in _units(info_of(connection)):
        isolation.join(unit)


def _units(info: Mapping[Any, Any]) -> Iterator[Unit]:
    for one in info.get(_UNITS, ()):
        unit: Unit | None = one()
        if unit is not None:
            yield unit


def doubt(connection: PoolProxiedConnection) -> None:
    """What was written on ``connection`` is undone, but objects may show it."""
    _doubt(info_of(connection))


def _doubt(info: Mapping[Any, Any]) -> None:
    for unit in _units(info):
        unit.doubt()


def read_older(connection: PoolProxiedConnection, transaction: Transaction) -> None:
    """The transaction of ``connection`` goes on to read the snapshot of another one."""
    transaction.read_older()
    for unit in _units(info_of(connection)):
        unit.since = transaction.since


def drop(info: dict[Any, Any]) -> None:
    """The transaction of the connection with this ``info`` is over."""
    info.pop(_BEGUN, None)
    transaction: Transaction | None = info.pop(_KEY, None)
    if transaction is not None:
        transaction.stop()


@contextmanager
def committing(connection: PoolProxiedConnection) -> Iterator[None]:
    """Around a COMMIT: publishes what was written, before anything else can run."""
    transaction = of(connection)
    if transaction is None:
        yield
        return
    with Publishing(transaction.engines, transaction.written.pending()):
        yield
        # Not reached if the commit fails; the database may have committed all the same.
        drop(info_of(connection))


def undo(connection: PoolProxiedConnection, in_vain: bool = False) -> None:
    """The transaction of ``connection`` has been rolled back.

    ``in_vain``: somebody had ended it before, by means of the driver. It may have been committed.
    """
    info = info_of(connection)
    transaction: Transaction | None = info.get(_KEY)
    if transaction is not None:
        if transaction.uncommitted():
            _doubt(info)
        if in_vain or not transaction.exact:
            publish(transaction)
        drop(info)


def lost(info: dict[Any, Any]) -> None:
    """The connection with this ``info`` is closed, and the database rolls back by itself."""
    if dirty((info,)):
        _doubt(info)
    drop(info)


def publish(transaction: Transaction) -> None:
    """What was written until now has been committed, whatever becomes of the transaction."""
    with Publishing(transaction.engines, transaction.written.pending()):
        transaction.commit()


def isolation_level(connection: Connection) -> str | None:
    """The isolation level that the application has asked for."""
    level: str | None = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return level


def autocommits(connection: Connection) -> bool:
    """Whether the driver commits each statement by itself."""
    if isolation_level(connection) == "AUTOCOMMIT":
        return True
    driver = connection.connection.dbapi_connection
    asked: Callable[[], object] | None = getattr(driver, "get_autocommit", None)
    return (asked() if callable(asked) else getattr(driver, "autocommit", False)) is True


def in_progress(connection: PoolProxiedConnection) -> bool | None:
    """Whether the driver has a transaction open; ``None`` if it cannot tell."""
    driver: Any = connection.driver_connection
    # sqlite3 and aiosqlite, psycopg, asyncpg
    found = getattr(driver, "in_transaction", None)
    if found is None:
        status = getattr(getattr(driver, "info", None), "transaction_status", None)
        if status is not None:
            return None if status == _UNKNOWN_STATUS else status != _IDLE
        asked: Callable[[], object] | None = getattr(driver, "is_in_transaction", None)
        found = asked() if callable(asked) else None
    return found if isinstance(found, bool) else None


def commits_alone(
    connection: Connection, transaction: Transaction | None, opens: bool, ddl: bool
) -> bool:
    """Whether a statement that writes is committed as soon as it has been executed.

    ``opens``: Python's sqlite3 opens a transaction for it, where it does that at all. ``ddl``: it
    changes definitions, which many databases commit at once, with all that went before.
    """
    proxied = connection.connection
    if connection.dialect.name == "sqlite":
        if in_progress(proxied):
            return False
        driver = proxied.driver_connection
        setting = getattr(driver, "autocommit", None)
        if isinstance(setting, bool):
            return setting
        return not opens or getattr(driver, "isolation_level", "") is None
    if ddl and connection.dialect.name not in (*_EXACT, "mssql"):
        return True
    return not (transaction is not None and transaction.manual) and autocommits(connection)
