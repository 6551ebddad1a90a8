"""Sessions: changes that are not flushed yet, and how old the objects are that a session holds.

What an application has changed on its objects is in no database, but its own queries would flush it
first and then see it. So while a session has such changes, cached values of its databases are not
for those who use it, and nothing that they compute is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction

from zoocache_core import Engine as Cache
from zoocache_core import isolation
from zoocache_core.moments import Moment
from zoocache_flask.sqlalchemy import transactions
from zoocache_flask.sqlalchemy.ages import Age, PackedAge, ages, pack
from zoocache_flask.sqlalchemy.databases import ROOT, Database, all_caches, of_engine

__all__ = ["LISTENERS", "Unit", "age_of", "unit_of"]

_ANY: Final = "*"


class Unit:
    """The unit of work of one session.

    ``since`` is the moment before the oldest object was loaded that it has loaded itself and still
    holds, ``adopted`` are those of objects that came from elsewhere. ``doubtful``: some may show
    what was rolled back, or are of any age. ``places`` are what is kept with the connections that
    it uses (see ``transactions``).
    """

    by_thread = False

    __slots__ = (
        "__weakref__",
        "_databases",
        "_session",
        "adopted",
        "doubtful",
        "owners",
        "places",
        "since",
    )

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._databases: dict[Mapper[Any], Database | None] = {}
        self.owners: set[Any] = set()
        self.since = Moment(())
        self.places: list[dict[Any, Any]] = []
        self.adopted: set[Age] = set()
        self.doubtful = False

    @property
    def engines(self) -> tuple[Cache, ...]:
        return all_caches()

    def quiet(self, engine: Cache) -> bool:
        """It does not tell when an object is changed, so it has to be asked each time."""
        return False

    def uncommitted(self) -> bool:
        """Whether there are changes that no query has seen."""
        session = self._session()
        # Not `session.dirty`, which walks through a set that another thread may be changing.
        return session is not None and not session._is_clean()

    def hides(self, engine: Cache, deps: Collection[str], stamp: int) -> bool:
        """Whether a value comes from a database, and the session sees something else there.

        That is so while there are such changes. A flush may write far more than the objects that
        were changed: keys that refer to them, tables between them, what they own. So all of it
        counts. And a session gives out the objects that it holds as they were when it loaded them.
        """
        session = self._session()
        if session is None or not any(_is_in_database(dep) for dep in deps):
            return False
        older = self.doubtful or any(
            stamp > moment.position(engine) for moment in (self.since, *self.adopted)
        )
        return (older and bool(session.identity_map.keys())) or self.uncommitted()

    def stamp(self, engine: Cache) -> int | None:
        """Reading an object lowers the stamp of what is computed, not having it."""
        return None

    def begin(self, session: Session) -> None:
        """A transaction of the session begins."""
        isolation.begin(self)
        held = session.identity_map
        # Most ends of a transaction leave nothing loaded behind, but not all of them, whatever
        # `expire_on_commit` says.
        if not held.keys() or all(state.expired for state in held.all_states()):
            self.since = Moment(all_caches())
            self.adopted.clear()
            self.doubtful = False
            self._databases.clear()
            if ages:
                for state in held.all_states():
                    ages.pop(state, None)

    def end(self) -> None:
        """The session's transaction is over."""
        transactions.release(self)
        isolation.end(self)

    def doubt(self) -> None:
        """Something was rolled back that objects of the session may show."""
        session = self._session()
        if session is not None:
            self.doubtful = True
            for state in session.identity_map.all_states():
                ages[state] = None

    def adopt(self, state: InstanceState[Any]) -> None:
        """An object comes into the session that it has not loaded."""
        age = ages.setdefault(state, None)
        if age is None:
            self.doubtful = True
        else:
            self.adopted.add(age)

    def database(self, session: Session, mapper: Mapper[Any]) -> Database | None:
        """The database in which the session has the rows of ``mapper``, if it is tracked."""
        if mapper not in self._databases:
            try:
                self._databases[mapper] = of_engine(session.get_bind(mapper))
            except Exception:  # noqa: BLE001
                # The application has a `get_bind` of its own, which wants to know more than that.
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


def age_of(state: InstanceState[Any]) -> tuple[Age, ...] | None:
    """The moments before an object was loaded that has a row, of which the oldest counts; or
    ``None`` (see ``ages``). None at all if it has expired: it is going to be loaded anew."""
    known = ages.get(state) if ages else None
    session = state.session
    if session is None:
        return None if known is None else (known,)
    unit = unit_of(session)
    if transactions.dirty(unit.places):
        # It shows what was flushed, which may be rolled back before anything is stored.
        return None
    if state.expired:
        ages.pop(state, None)
        return ()
    if not ages or state not in ages:
        return (unit.since,)
    return None if known is None else (known, unit.since)


def _created(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        unit_of(session).begin(session)


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        unit_of(session).end()


def _begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    transactions.use(connection.connection, unit_of(session))


def _detached(session: Session, state: InstanceState[Any]) -> None:
    # It is in the session no more, and yet as old as the others.
    unit = unit_of(session)
    if state not in ages:
        ages[state] = None if transactions.dirty(unit.places) else unit.since


def _adopted(session: Session, state: InstanceState[Any]) -> None:
    unit_of(session).adopt(state)


def _merged(state: InstanceState[Any], context: object) -> None:
    # Given what another object said, whose age nobody knows here.
    ages[state] = None
    session = state.session
    if session is not None:
        unit_of(session).adopt(state)


_PICKLED: Final = "zoocache_age"


def _pickled(state: InstanceState[Any], content: dict[str, Any]) -> None:
    age = None if state.key is None or state.modified else age_of(state)
    if age:
        content[_PICKLED] = pack(age)


def _unpickled(state: InstanceState[Any], content: dict[str, Any]) -> None:
    packed = content.get(_PICKLED)
    if packed is not None:
        ages[state] = PackedAge(packed)


LISTENERS: Final[tuple[tuple[type, str, Callable[..., None]], ...]] = (
    (Session, "after_transaction_create", _created),
    (Session, "after_transaction_end", _ended),
    (Session, "after_begin", _begun),
    (Session, "persistent_to_detached", _detached),
    (Session, "detached_to_persistent", _adopted),
    (Mapper, "_sa_event_merge_wo_load", _merged),
    (Mapper, "pickle", _pickled),
    (Mapper, "unpickle", _unpickled),
)
"""Events, with what is told of them. All are listened to with ``raw=True``."""
