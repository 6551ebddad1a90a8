"""``cached = ZooCacheManager(ttl=600)`` in a model: a manager whose querysets are cached."""

from __future__ import annotations

import copy
from typing import Any, Final

from django.db import models

from zoocache_django.queries.recipes import EMPTY
from zoocache_django.querysets import CachedQuerySet, Caching, Ttl, cached_class

__all__ = ["ZooCacheManager"]

_ALL_OBJECTS: Final = models.Manager.get_queryset


class ZooCacheManager(models.Manager.from_queryset(CachedQuerySet)):  # type: ignore[misc]
    """A manager whose querysets are cached.

    ``cached = ZooCacheManager(ttl=600)`` in a model stands beside its other managers and never
    becomes the default one, so that ``objects``, the admin and related managers stay as they are;
    unless it is named ``objects``, or by ``Meta.default_manager_name``.

    Args:
        ttl: lifetime of results in seconds, or a timedelta, if their rows do not change before;
            with ``read_extend_ttl`` each read restarts it. ``None`` takes the ``default_ttl``.
        prefix: keeps this manager's results apart from those of others.

    Raises:
        ValueError: the ttl is not above 0.
    """

    def __init__(self, ttl: Ttl = None, prefix: str = "") -> None:
        super().__init__()
        self._caching = Caching.of(ttl, prefix)

    def get_queryset(self) -> CachedQuerySet[Any]:
        """All objects, cached."""
        all_objects: Any = super().get_queryset
        queryset: Any = all_objects()
        queryset._caching = self._caching
        if "instance" in self.__dict__:
            # A manager of related objects, which Django makes of the default one's class alone.
            default = self.model._default_manager
            queryset._caching = getattr(default, "_caching", self._caching)
        # Of a manager beside this one in a class's bases nobody knows what it leaves out.
        queryset._recipe = EMPTY if all_objects.__func__ is _ALL_OBJECTS else None
        return queryset  # type: ignore[no-any-return]

    @classmethod
    def from_queryset(cls, queryset_class: Any, class_name: str | None = None) -> Any:
        """A class of managers whose querysets can do what those of ``queryset_class`` can."""
        return super().from_queryset(
            cached_class(queryset_class),
            class_name or f"{cls.__name__}From{queryset_class.__name__}",
        )

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        """Become the attribute ``name`` of the model."""
        options: Any = cls._meta
        named = (options.default_manager_name, options.base_manager_name, "objects")
        if name in named:
            super().contribute_to_class(cls, name)
            return
        self.name = name
        self.model = cls
        setattr(cls, name, _Beside(self))


class _Beside:
    """Gives each model its copy of a manager that is not among the model's managers."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._copies: dict[type, Any] = {}

    def __get__(self, instance: object, owner: type[models.Model]) -> Any:
        found = self._copies.get(owner)
        if instance is not None or found is None:
            return self._copy(instance, owner)
        return found

    def _copy(self, instance: object, owner: type[models.Model]) -> Any:
        name = self._manager.name
        if instance is not None:
            raise AttributeError(f"Manager isn't accessible via {owner.__name__} instances")
        if owner._meta.abstract or owner._meta.swapped:
            why = "is abstract" if owner._meta.abstract else "has been swapped"
            raise AttributeError(f"Manager {name!r} isn't available; {owner.__name__} {why}")
        manager = copy.copy(self._manager)
        manager.model = owner
        self._copies[owner] = manager
        return manager
