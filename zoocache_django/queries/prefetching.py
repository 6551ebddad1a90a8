"""``prefetch_related()`` on a cached queryset: what it fetches comes from the cache, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP
from django.db.models.fields.related import ForeignObject, ForeignObjectRel

if TYPE_CHECKING:
    from zoocache_django.querysets import Caching

    _Base = models.Prefetch[Any, Any, Any]
else:
    _Base = models.Prefetch

__all__ = ["through_the_cache"]

Model = type[models.Model]


def through_the_cache(model: Model, lookups: Iterable[Any], caching: Caching) -> list[Any]:
    """``lookups`` of ``prefetch_related()``, each with querysets that are cached as ``caching``
    says. What follows no relation of ``model`` (a ``GenericForeignKey``) is left as it is."""
    return [_Prefetch(model, lookup, caching) for lookup in lookups]


class _Prefetch(_Base):
    def __init__(self, model: Model, lookup: Any, caching: Caching) -> None:
        given = isinstance(lookup, models.Prefetch)
        super().__init__(lookup.prefetch_through if given else lookup)
        if given:
            self.__dict__.update(lookup.__dict__)
        self._model = model
        self._caching = caching
        self._skipped = 0

    def add_prefix(self, prefix: str) -> None:
        # Django does so with the lookups of a queryset that is fetched on the way: from then on
        # the path begins at another model than the queryset's.
        super().add_prefix(prefix)
        self._skipped += len(prefix.split(LOOKUP_SEP))

    def get_current_querysets(self, level: int) -> list[Any] | None:
        found = self._given(level)
        if found is None:
            names = self.prefetch_through.split(LOOKUP_SEP)[self._skipped : level + 1]
            default = _followed(self._model, names)
            found = None if default is None else [default]
        return None if found is None else [self._caching.applied_to(one) for one in found]

    def get_current_queryset(self, level: int) -> Any:
        """What Django 4.2 asks for."""
        found = self.get_current_querysets(level)
        return None if found is None else found[0]

    def _given(self, level: int) -> list[Any] | None:
        queryset: Any = self.queryset
        if self.get_current_prefetch_to(level) != self.prefetch_to:
            return None
        if queryset is not None:
            return [queryset]
        # GenericPrefetch has several.
        several: list[Any] | None = getattr(self, "querysets", None)
        return several


def _followed(model: Model, names: Iterable[str]) -> models.QuerySet[Any, Any] | None:
    """What Django fetches at the end of a path of relations."""
    queryset = None
    for name in names:
        relation = _relation(model, name)
        if relation is None or relation.related_model is None:
            return None
        single = relation.many_to_one or relation.one_to_one
        model = relation.related_model
        manager = model._base_manager if single else model._default_manager
        queryset = manager.all()
    return queryset


def _relation(model: Model, name: str) -> Any:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        # Reverse relations are prefetched by their accessor, which may have another name.
        for relation in model._meta.related_objects:
            if relation.get_accessor_name() == name:
                return relation
        return None
    return (
        field
        if isinstance(field, (ForeignObject, ForeignObjectRel)) or field.many_to_many
        else None
    )
