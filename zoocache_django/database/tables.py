"""Tables of the database, and the tags that reading and writing them stands for.

What a statement reads or writes is a table, by its name in the database; what a tag names is a
model. Several models may lie on one table, a row of a multi-table model is spread over several, and
a trigger may write where no statement does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.signals import class_prepared

from zoocache_core.tags import tag
from zoocache_django.tags import in_database, key_parts, same_database

__all__ = [
    "INTEGER",
    "MAX_ROWS",
    "Model",
    "any_row",
    "anything",
    "appearing",
    "configure",
    "everything",
    "known_tables",
    "name_of",
    "outdated_by",
    "rows",
    "triggered",
    "unknown",
    "unwatch_models",
    "watch_models",
    "written",
]

Model = type[models.Model]

MAX_ROWS: Final = 100
"""A statement about more rows counts as one about the whole table: a page that depends on a
thousand rows is outdated by almost every write, and costs a thousand checks until then."""


INTEGER: Final = frozenset({int})


@dataclass(frozen=True, slots=True)
class Outdated:
    """What a write to one table outdates: labels with the model whose key their rows have, and
    labels and names of tables of which any row may have changed. ``numbered``: an integer key is
    an integer."""

    rows: tuple[tuple[str, Model], ...]
    tables: tuple[str, ...]
    others: tuple[str, ...]
    numbered: bool


_tables: dict[str, tuple[Model, ...]] = {}
_written: dict[str, Outdated] = {}
_appearing: dict[tuple[str, str], list[str]] = {}
_ignores: Callable[[str], bool] = bool
_triggers: Mapping[str, Sequence[str]] = {}
_check: Callable[[], object] = bool


def configure(
    ignores: Callable[[str], bool],
    triggers: Mapping[str, Sequence[str]],
    check: Callable[[], object],
) -> None:
    """Say which models' writes count for nothing, and which tables are written by triggers.

    Both name models by their labels in lower case, ``triggers`` also other tables by their names.
    ``check`` raises if that is not to be relied on; then nothing is written.
    """
    global _ignores, _triggers, _check
    _ignores, _triggers, _check = ignores, triggers, check
    _written.clear()
    _appearing.clear()


def known_tables() -> Mapping[str, tuple[Model, ...]]:
    """The models by the name of their table; usually it is one."""
    global _tables
    if not _tables and apps.models_ready:
        found: dict[str, tuple[Model, ...]] = {}
        for model in apps.get_models(include_auto_created=True, include_swapped=True):
            if not model._meta.proxy:
                name = name_of(model._meta.db_table)
                found[name] = (*found.get(name, ()), model)
        _tables = found
    return _tables


def name_of(db_table: str) -> str:
    """A table's name as statements are searched for it: ``schema"."Table`` is ``table``."""
    found = _names.get(db_table)
    if found is None:
        found = _names[db_table] = db_table.rpartition(".")[2].strip('"`').lower()
    return found


_names: Final[dict[str, str]] = {}


def any_row(table: str, using: str) -> str:
    """What a query depends on that may see any row of a known table."""
    return in_database(using, f"{known_tables()[table][0]._meta.label_lower}:*")


def rows(model: Model, keys: Iterable[Any], using: str) -> Iterator[str]:
    """What a query depends on that sees only the rows of ``model`` with these primary keys.

    They are invalidated by these tags, too.
    """
    return _rows(model._meta.label_lower, model, keys, using)


def anything(using: str) -> str:
    """What a query depends on that may see any table of a database."""
    return in_database(using, "*")


def everything(using: str) -> list[str]:
    """The tags to invalidate when any table of a database may have been written."""
    whole = in_database(using, "*")
    if whole != "*":
        return [whole]
    _check()
    # Not the root of all tags: values that have nothing to do with the database stay.
    labels = {model._meta.label_lower for found in known_tables().values() for model in found}
    return [tag("db", DEFAULT_DB_ALIAS), *sorted(label for label in labels if not _ignores(label))]


def outdated_by(table: str) -> Outdated:
    """What a write to ``table`` outdates; the same object until the models or settings change."""
    found = _written.get(table)
    if found is None:
        found = _written[table] = _outdated_by(table)
    return found


def written(table: str, keys: Sequence[Any] | None, using: str) -> list[str]:
    """The tags to invalidate when rows of ``table`` were written: those with the primary keys
    ``keys``, or any of them if it is ``None``."""
    found = outdated_by(table)
    if keys is None or len(keys) > MAX_ROWS:
        tags = [in_database(using, label) for label, _ in found.rows]
    elif (
        found.numbered
        and using == DEFAULT_DB_ALIAS
        and INTEGER.issuperset(map(type, keys))
        and min(keys, default=-1) >= 0
    ):
        # The most frequent case by far, on the path of every save.
        tags = [f"{label}:{key}" for label, _ in found.rows for key in keys]
    else:
        tags = [one for label, model in found.rows for one in _rows(label, model, keys, using)]
    if found.tables:
        tags += [in_database(using, label) for label in found.tables]
    if found.others:
        tags += [tag("db", same_database(using), name) for name in found.others]
    return tags


def appearing(table: str, using: str) -> list[str]:
    """What to distrust while rows with unknown keys are being inserted: what depends on any row."""
    found = _appearing.get((table, using))
    if found is None:
        found = [f"{tag}:_" for tag in written(table, None, using)]
        _appearing[table, using] = found
    return found


def unknown(name: str, using: str) -> str:
    """What a query depends on that reads from a table of no model.

    It may be a view, which shows any other table, unless the settings say what changes it.
    """
    if any(name in targets for targets in _triggers.values()):
        return tag("db", same_database(using), name)
    return anything(using)


def triggered(table: str, using: str) -> list[str]:
    """The tags to invalidate when a statement on ``table`` wrote none of its rows."""
    targets = _closure(table) - {table}
    return [one for target in sorted(targets) for one in written(target, None, using)]


def _rows(label: str, model: Model, keys: Iterable[Any], using: str) -> Iterator[str]:
    for key in keys:
        yield in_database(using, tag(label, *key_parts(model, key)))


def _outdated_by(table: str) -> Outdated:
    _check()
    by_key: dict[str, Model] = {}
    whole: dict[str, None] = {}
    others: list[str] = []
    for name in sorted(_closure(table), key=lambda name: name != table):
        models_here = known_tables().get(name, ())
        if not models_here:
            others.append(name)
        for model in models_here:
            # What inherits from it over a table shows its rows as parts of its own.
            for label, shares_key in ((model._meta.label_lower, True), *_children(model, True)):
                if _ignores(label):
                    continue
                if name == table and shares_key:
                    by_key[label] = model
                else:
                    whole[label] = None
    tables = tuple(label for label in whole if label not in by_key)
    numbered = all(isinstance(_key(model), models.IntegerField) for model in by_key.values())
    return Outdated(tuple(by_key.items()), tables, tuple(others), numbered)


def _key(model: Model) -> object:
    field: Any = model._meta.pk
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return field


def _closure(table: str) -> set[str]:
    """The table and those that triggers write when it is written, those of theirs included."""
    found: set[str] = set()
    todo = [table]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            names = {name, *(model._meta.label_lower for model in known_tables().get(name, ()))}
            todo += [_table(target) for one in names for target in _triggers.get(one, ())]
    return found


def _table(named: str) -> str:
    """The table that a label or a table's name stands for."""
    try:
        return name_of(apps.get_model(named)._meta.db_table)
    except (LookupError, ValueError):
        return named


def _children(model: Model, shares_key: bool) -> Iterator[tuple[str, bool]]:
    for relation in model._meta.related_objects:
        if isinstance(relation, models.OneToOneRel) and relation.parent_link:
            child: Model = relation.related_model
            shares = shares_key and relation.field.primary_key
            yield child._meta.label_lower, shares
            yield from _children(child, shares)


def watch_models(forget: Callable[[], None]) -> None:
    """Call ``forget`` whenever a model is defined, since more tables are known from then on."""

    def prepared(**kwargs: Any) -> None:
        _tables.clear()
        _written.clear()
        _appearing.clear()
        forget()

    class_prepared.connect(prepared, weak=False, dispatch_uid=__name__)


def unwatch_models() -> None:
    """Take back :func:`watch_models`."""
    class_prepared.disconnect(dispatch_uid=__name__)
