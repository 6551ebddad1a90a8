"""Sessions: changes that are not flushed yet, and how old the objects are that a session holds.

What an application has changed on its objects is in no database, but its own queries would flush it
first and then see it. So while a session has such changes, cached values of its databases are not
for those who use it, and nothing that they compute is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction
from sqlalchemy.orm.attributes import instance_state

from zoocache_core import Engine as Cache
from zoocache_core import isolation
from zoocache_core.moments import Moment
from zoocache_flask.sqlalchemy import transactions
from zoocache_flask.sqlalchemy.databases import ROOT, Database, all_caches, of_engine

__all__ = ["LISTENERS", "Unit", "unit_of"]

_ANY: Final = "*"


class Unit:
    """The unit of work of one session.

    ``since`` is the moment before the oldest object that it holds was loaded.
    """

    by_thread = False

    __slots__ = ("__weakref__", "_databases", "_session", "adopted", "owners", "since")

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._databases: dict[Mapper[Any], Database | None] = {}
        self.owners: set[Any] = set()
        self.since = Moment(())
        # Objects that came from elsewhere: nobody knows when they were loaded.
        self.adopted: WeakSet[InstanceState[Any]] = WeakSet()

    @property
    def engines(self) -> tuple[Cache, ...]:
        return all_caches()

    def quiet(self, engine: Cache) -> bool:
        """It does not tell when an object is changed, so it has to be asked each time."""
        return False

    def uncommitted(self) -> bool:
        """Whether there are changes that no query has seen."""
        session = self._session()
        return session is not None and bool(session.dirty or session.new or session.deleted)

    def hides(self, engine: Cache, deps: Collection[str], stamp: int) -> bool:
        """Whether a value comes from a database, and the session sees something else there.

        That is so while there are such changes. A flush may write far more than the objects that
        were changed: keys that refer to them, tables between them, what they own. So all of it
        counts. And a session gives out the objects that it holds as they were when it loaded them.
        """
        session = self._session()
        if session is None or not any(_is_in_database(dep) for dep in deps):
            return False
        older = stamp > self.since.position(engine) and bool(session.identity_map.keys())
        return older or self.uncommitted()

    def stamp(self, engine: Cache) -> int | None:
        """Reading an object lowers the stamp of what is computed, not having it."""
        return None

    def begin(self, session: Session) -> None:
        """A transaction of the session begins."""
        isolation.begin(self)
        # Ended transactions leave nothing loaded behind, unless the session is told otherwise.
        if session.expire_on_commit or not session.identity_map.keys():
            self.since = Moment(all_caches())
            self._databases.clear()

    def database(self, session: Session, mapper: Mapper[Any]) -> Database | None:
        """The database in which the session has the rows of ``mapper``, if it is tracked."""
        if mapper not in self._databases:
            try:
                self._databases[mapper] = of_engine(session.get_bind(mapper))
            except SQLAlchemyError:
                # The application binds its sessions in another way, which cannot be told here.
                self._databases[mapper] = None
        return self._databases[mapper]


def _is_in_database(dep: str) -> bool:
    return dep == _ANY or dep.partition(":")[0] == ROOT


_units: Final[WeakKeyDictionary[Session, Unit]] = WeakKeyDictionary()


def unit_of(session: Session) -> Unit:
    """The unit of work of ``session``."""
    unit = _units.get(session)
    if unit is None:
        unit = _units.setdefault(session, Unit(session))
    return unit


def _created(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        unit_of(session).begin(session)


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        isolation.end(unit_of(session))


def _begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    transactions.use(connection.connection, unit_of(session))


def _adopted(session: Session, instance: object) -> None:
    unit_of(session).adopted.add(instance_state(instance))


LISTENERS: Final[dict[str, Callable[..., None]]] = {
    "after_transaction_create": _created,
    "after_transaction_end": _ended,
    "after_begin": _begun,
    "detached_to_persistent": _adopted,
}
