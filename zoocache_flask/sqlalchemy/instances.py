"""Objects that are loaded already: reading them sends no statement, and yet is a read.

A session gives out an object it holds without asking the database, and the attributes of an object
are simply there, whoever loaded it: a view that shows ``current_user.name`` depends on a row that
was read before it began. So two methods of SQLAlchemy are replaced while anything is tracked, the
lookup in a session's identity map and the reading of a mapped attribute. Outside of cached
computations that adds one function call to each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Table
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import ColumnProperty, InstanceState, Mapper, RelationshipProperty, Session
from sqlalchemy.orm.attributes import InstrumentedAttribute, instance_state
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.sql import visitors

from zoocache_core import isolation
from zoocache_core.deps import Scope, current_scope
from zoocache_flask.sqlalchemy.databases import Database, all_databases
from zoocache_flask.sqlalchemy.rows import MAX_ROWS, key_text
from zoocache_flask.sqlalchemy.schema import table_name
from zoocache_flask.sqlalchemy.sessions import age_of, unit_of

__all__ = ["PATCHES", "rows_of"]

Method = Callable[..., Any]


def _lookup(original: Method) -> Method:
    def _identity_lookup(self: Session, mapper: Mapper[Any], *args: Any, **kwargs: Any) -> Any:
        found = original(self, mapper, *args, **kwargs)
        scope = current_scope()
        if scope is not None and found is not None:
            state = getattr(found, "_sa_instance_state", None)
            if state is not None:
                isolation.join(unit_of(self))
                _note(scope, state)
        return found

    return _identity_lookup


def _get(original: Method) -> Method:
    def get(self: InstrumentedAttribute[Any], instance: object, owner: Any) -> Any:
        if instance is not None:
            scope = current_scope()
            if scope is not None:
                _note_attribute(scope, self, instance)
        return original(self, instance, owner)

    return get


PATCHES: Final[tuple[tuple[type, str, Callable[[Method], Method]], ...]] = (
    (Session, "_identity_lookup", _lookup),
    (InstrumentedAttribute, "__get__", _get),
)


def rows_of(mapper: Mapper[Any], key: Iterable[Any], database: Database) -> list[str]:
    """The tags of the rows that make up the object of ``mapper`` with the primary key ``key``.

    What cannot be named by it counts as any row of its table.
    """
    exact = [
        key_text(*pair, database.dialect) for pair in zip(mapper.primary_key, key, strict=True)
    ]
    tags: list[str] = []
    for name, positions in _shape(mapper):
        parts = [exact[position] for position in positions]
        if parts and None not in parts:
            tags.append(database.row(name, [part for part in parts if part is not None]))
        else:
            tags.append(database.any_row(name))
    return tags or [database.anything]


_Shape = tuple[tuple[str, tuple[int, ...]], ...]
_shapes: Final[WeakKeyDictionary[Mapper[Any], _Shape]] = WeakKeyDictionary()


def _shape(mapper: Mapper[Any]) -> _Shape:
    """The tables of a mapper, and where the columns of a table's own primary key are in the one of
    the mapper, which may be another; empty if they are not there."""
    found = _shapes.get(mapper)
    if found is None:
        found = _shapes[mapper] = tuple(
            (table_name(table), _positions(table, mapper)) for table in _tables(mapper)
        )
    return found


def _positions(table: Table, mapper: Mapper[Any]) -> tuple[int, ...]:
    own = {one.local_table for one in mapper.iterate_to_root()}
    found = [
        _position(column, list(mapper.primary_key), own) for column in table.primary_key.columns
    ]
    return () if None in found else tuple(position for position in found if position is not None)


def _position(column: Any, key: list[Any], own: set[Any]) -> int | None:
    """Where ``column`` is in ``key``, itself or as what refers to it from the table of a subclass
    to that of the class that it inherits from."""
    for position, one in enumerate(key):
        if one is column:
            return position
    if column.table in own:
        for reference in column.foreign_keys:
            try:
                target = reference.column
            except NoReferenceError:
                continue
            found = None if target.table is column.table else _position(target, key, own)
            if found is not None:
                return found
    return None


def _tables(mapper: Mapper[Any]) -> Iterator[Table]:
    for table in mapper.tables:
        if isinstance(table, Table):
            yield table


def _note(scope: Scope, state: InstanceState[Any]) -> None:
    """Make ``scope`` depend on the rows of an object, and be no newer than the object is."""
    if state.key is None:
        # Not in the database, or not yet.
        return
    mapper, key = state.mapper, state.key[1]
    for database in _databases(state):
        wild = [database.any_row(name) for name, _ in _shape(mapper)] or [database.anything]
        if not scope.deps.issuperset(wild):
            if len(scope.deps) > MAX_ROWS:
                scope.add(wild)
            else:
                scope.add(rows_of(mapper, key, database))
    if state.modified:
        scope.forbid("it was computed from an object with changes that are not flushed")
    age = age_of(state)
    if age is None:
        scope.forbid("it was computed from an object that may show what was never committed")
        return
    one: Scope | None = scope
    while one is not None:
        for moment in age:
            one.lower_stamp(moment.position(one.engine))
        one = one.parent


def _databases(state: InstanceState[Any]) -> Iterable[Database]:
    session = state.session
    # One with an identity token is in the shard of that name, as its session knows.
    if session is not None and state.identity_token is None:
        found = unit_of(session).database(session, state.mapper)
        if found is not None:
            return (found,)
    return all_databases()


def _note_attribute(scope: Scope, attribute: InstrumentedAttribute[Any], instance: object) -> None:
    state = instance_state(instance)
    if state.key is not None:
        _note(scope, state)
        _note_loaded(scope, state, attribute.prop)


def _note_loaded(scope: Scope, state: InstanceState[Any], prop: Any) -> None:
    """Depend on what an attribute says that is not in the object's own row."""
    if prop.key not in state.dict:
        # If it is loaded, then by statements that are noticed.
        return
    if isinstance(prop, RelationshipProperty):
        _note_related(scope, state, prop)
    elif isinstance(prop, ColumnProperty) and not _is_own(prop, state.mapper):
        scope.add(database.anything for database in _databases(state))


def _note_pickled(state: InstanceState[Any], content: object) -> None:
    """A computation returns an object as it is, without having looked at it."""
    scope = current_scope()
    if scope is not None and state.key is not None:
        _note(scope, state)
        for prop in state.mapper.iterate_properties:
            _note_loaded(scope, state, prop)


def _note_related(scope: Scope, state: InstanceState[Any], prop: RelationshipProperty[Any]) -> None:
    """Depend on which objects are at the other end."""
    if prop.direction is MANYTOONE and prop.remote_side == set(prop.mapper.primary_key):
        # The object's own row says which.
        related = state.dict[prop.key]
        if related is not None:
            _note(scope, instance_state(related))
            return
        if any(state.dict.get(name, name) is None for name in _local_names(prop)):
            return
        # It refers to somebody who is not there.
    tables = list(_tables(prop.mapper))
    if prop.secondary is not None:
        tables += [one for one in visitors.iterate(prop.secondary) if isinstance(one, Table)]
    for database in _databases(state):
        scope.add(database.any_row(table_name(table)) for table in tables)


def _local_names(prop: RelationshipProperty[Any]) -> list[str]:
    """The attributes of the columns by which a relation refers to its other end."""
    return [one.key for one in prop.parent.column_attrs if prop.local_columns & set(one.columns)]


def _is_own(prop: ColumnProperty[Any], mapper: Mapper[Any]) -> bool:
    column = prop.columns[0]
    return isinstance(column, Column) and column.table in mapper.tables


LISTENERS: Final[tuple[tuple[type, str, Callable[..., None]], ...]] = (
    (Mapper, "pickle", _note_pickled),
)

_originals: Final[dict[tuple[type, str], Method]] = {}


def install() -> None:
    """Notice what is read of objects; doing it again has no effect."""
    if not _originals:
        for owner, name, wrapper in PATCHES:
            original = owner.__dict__[name]
            _originals[owner, name] = original
            setattr(owner, name, wraps(original)(wrapper(original)))


def uninstall() -> None:
    """Restore SQLAlchemy as it was.

    Raises:
        RuntimeError: somebody else has replaced the same method since, and would be undone, too.
    """
    for (owner, name), original in _originals.items():
        if getattr(owner.__dict__[name], "__wrapped__", None) is not original:
            raise RuntimeError(
                f"{owner.__name__}.{name} was replaced after ZooCache had wrapped it; undo that "
                "first."
            )
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()
