"""Writes that Django announces, turned into invalidations of rows.

Saving or deleting a row touches ``app.model:pk``; changing a many-to-many relation touches the rows
at both of its ends and the table in between. What happens to a touched tag, and when, is the matter
of :mod:`zoocache_django.transactions`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save

from zoocache_django import conf, transactions
from zoocache_django.tags import row_tag, row_tags, table_tag

__all__ = ["install", "invalidate_model"]


def invalidate_model(model: type[models.Model], *keys: Any, using: str = DEFAULT_DB_ALIAS) -> None:
    """Declare that rows of ``model`` were written in a way that Django does not announce.

    Everything that depends on the rows with these primary keys is forgotten or, without any, on
    any row of the model. In a transaction of the database ``using`` that happens when it commits,
    and not at all when it is rolled back.
    """
    _touch(using, [row_tag(model, key) for key in keys] if keys else [table_tag(model)])


def install() -> None:
    """Connect the receivers, once, ahead of all others.

    A receiver of the application may well read, through the cache, what has just been saved.
    """
    for signal, receiver in _RECEIVERS:
        uid = f"{__name__}.{receiver.__name__}"
        signal.connect(receiver, weak=False, dispatch_uid=uid)
        with signal.lock:
            signal.receivers.sort(key=lambda entry: entry[0][0] != uid)
            signal.sender_receivers_cache.clear()


def _row_written(
    sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any
) -> None:
    if _watched(sender):
        _touch(using, list(row_tags(instance)))


def _relation_changed(
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    model: type[models.Model],
    pk_set: Collection[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if action not in _CHANGES or not _watched(sender):
        return
    if pk_set is None:
        # A relation was cleared, and Django does not say which rows were at its other end.
        others = [table_tag(model)]
    elif pk_set:
        others = [row_tag(model, pk) for pk in pk_set]
    else:
        return
    _touch(using, [*row_tags(instance), table_tag(sender), *others])


def _touch(using: str, tags: Collection[str]) -> None:
    conf.engine()
    transactions.touch(using, tags)


def _watched(model: type[models.Model]) -> bool:
    options = conf.state().options
    return options.invalidate_on_write and not options.ignores(table_tag(model))


_CHANGES: Final = ("post_add", "post_remove", "post_clear")
_RECEIVERS: Final[tuple[tuple[ModelSignal, Any], ...]] = (
    (post_save, _row_written),
    (post_delete, _row_written),
    (m2m_changed, _relation_changed),
)
