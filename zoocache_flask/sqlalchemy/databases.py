"""Databases, and how what is in them is named as tags: ``db:shop:product:7``.

``shop`` is the name of the database, ``product`` the table without its schema, ``7`` the primary
key, or several parts for one of several columns. Engines of one name share their tags: a primary
and its replica, or a blocking and an asynchronous engine. Two databases of one name would only be
forgotten together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from sqlalchemy.engine import Dialect, Engine

from zoocache_core import ConfigurationError, isolation
from zoocache_core import Engine as Cache
from zoocache_core.tags import tag

__all__ = [
    "ROOT",
    "Database",
    "all_caches",
    "all_databases",
    "default_name",
    "forget",
    "mark",
    "named",
    "of_dialect",
    "of_engine",
]

ROOT: Final = "db"
"""The tag above everything in every database."""

_ATTRIBUTE: Final = "_zoocache_database"


class Database:
    """A tracked database: its tags, and the caches that hold what was read from it.

    ``triggers`` tells, for a table, which others change or show something else when it is written:
    tables that a trigger of the database writes to, and views.
    """

    __slots__ = (
        "_tables",
        "anything",
        "caches",
        "dialect",
        "name",
        "prefix",
        "prepared",
        "triggers",
        "users",
    )

    def __init__(self, name: str, dialect: str) -> None:
        self.name = name
        self.dialect = dialect
        self.prefix = tag(ROOT, name)
        self.anything = f"{self.prefix}:*"
        self.caches: tuple[Cache, ...] = ()
        self.triggers: dict[str, frozenset[str]] = {}
        self.users: list[tuple[object, Cache]] = []
        # What transactions wrote that were prepared for a commit in two phases, by their xid.
        self.prepared: dict[object, tuple[str, ...]] = {}
        self._tables: dict[str, str] = {}

    def table(self, name: str) -> str:
        """The tag of a table, which every row lies below."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = tag(ROOT, self.name, name)
        return found

    def any_row(self, name: str) -> str:
        """What a query depends on that may see any row of a table."""
        return f"{self.table(name)}:*"

    def row(self, name: str, key: Sequence[str]) -> str:
        """The tag of the row with this primary key, given as text."""
        if len(key) == 1 and key[0].isascii() and key[0].isdigit():
            # The most frequent case by far.
            return f"{self.table(name)}:{key[0]}"
        return tag(ROOT, self.name, name, *key)

    def triggered(self, names: Iterable[str]) -> set[str]:
        """``names``, and the tables that triggers write to when those are written."""
        found: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.triggers.get(name, ())
        return found

    def serve(self, cache: Cache, user: object, triggers: Mapping[str, Iterable[str]]) -> None:
        """Invalidate in ``cache``, too, until :meth:`dismiss` for the same ``user``."""
        _databases[self.name] = self
        self.users.append((user, cache))
        if cache not in self.caches:
            self.caches = (*self.caches, cache)
            isolation.reconsider(cache)
        for name, targets in triggers.items():
            wanted = frozenset(map(str.lower, targets))
            self.triggers[name.lower()] = self.triggers.get(name.lower(), frozenset()) | wanted
        _collect_caches()

    def dismiss(self, user: object) -> bool:
        """Take back :meth:`serve`; whether nobody is served any more."""
        self.users = [pair for pair in self.users if pair[0] is not user]
        wanted = [cache for _, cache in self.users]
        left = [cache for cache in self.caches if cache not in wanted]
        self.caches = tuple(cache for cache in self.caches if cache in wanted)
        for cache in left:
            isolation.reconsider(cache)
        _collect_caches()
        return not self.users


_databases: Final[dict[str, Database]] = {}
_caches: tuple[Cache, ...] = ()


def named(name: str, dialect: str, others: Mapping[str, Database]) -> Database:
    """The database of this name that is tracked, or among ``others``; a new one if there is none.

    Raises:
        ConfigurationError: the one of this name is of another kind.
    """
    found = _databases.get(name) or others.get(name) or Database(name, dialect)
    if found.dialect != dialect:
        raise ConfigurationError(
            f"name={name!r} is the name of a {found.dialect} database already, and this is a "
            f"{dialect} one. Give it another name: track(engine, name='{name}_{dialect}')."
        )
    return found


def all_databases() -> tuple[Database, ...]:
    """Every database that is tracked."""
    return tuple(_databases.values())


def all_caches() -> tuple[Cache, ...]:
    """Every cache that is told of some database's writes."""
    return _caches


def _collect_caches() -> None:
    global _caches
    _caches = tuple(dict.fromkeys(cache for one in all_databases() for cache in one.caches))


def forget(database: Database) -> None:
    """The database is not tracked any more."""
    _databases.pop(database.name, None)


def mark(dialect: Dialect, database: Database | None) -> None:
    """Remember, or forget, which database the engines of ``dialect`` connect to."""
    if database is None:
        dialect.__dict__.pop(_ATTRIBUTE, None)
    else:
        dialect.__dict__[_ATTRIBUTE] = database


def of_dialect(dialect: Dialect) -> Database | None:
    found: Database | None = dialect.__dict__.get(_ATTRIBUTE)
    return found


def of_engine(engine: Any) -> Database | None:
    """The tracked database of an engine or a connection, if it is tracked."""
    return of_dialect(engine.dialect)


def default_name(engine: Engine) -> str:
    """The database's own name. Every process must call it the same, and so must every driver."""
    name = engine.url.database
    if not name or ":memory:" in name:
        return "memory" if engine.dialect.name == "sqlite" else engine.dialect.name
    return PurePath(name).name if engine.dialect.name == "sqlite" else name
