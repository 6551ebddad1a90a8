"""Cached querysets: what Django's give, from the cache.

::

    class Product(models.Model):
        cached = ZooCacheManager(ttl=600)

    Product.cached.filter(price__lt=10)

Rows are cached, and not instances: of the rows, every caller gets instances of its own. What a
query depends on is noticed while it runs, as everywhere (:mod:`zoocache_django.reads`).

``query`` is the seam that makes the short way safe. A queryset made by plain calls remembers its
recipe; anybody who takes the query out, to change it or not, makes the queryset forget it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import lru_cache, partial, wraps
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from asgiref.sync import sync_to_async
from django.db import models
from django.db.models.query import ModelIterable, prefetch_related_objects

from zoocache_core.settings import seconds
from zoocache_django import conf, patches
from zoocache_django.queries import aggregates, overriding, plans
from zoocache_django.queries.prefetching import through_the_cache
from zoocache_django.queries.recipes import METHODS, Recipe, followed_by
from zoocache_django.queries.replays import executed, play
from zoocache_django.queries.values import value_of

__all__ = ["CachedQuerySet", "Caching", "Ttl", "cached_class"]

_M = TypeVar("_M", bound=models.Model, covariant=True)
Ttl = float | timedelta | None

_query: Any = models.QuerySet.query
_MOST_INSTANCES_OF_GET: Final = 21
"""How many rows ``get()`` asks for, to say how many there were."""


class Caching(NamedTuple):
    """How a queryset is cached."""

    ttl: float | None = None
    prefix: str = ""

    @classmethod
    def of(cls, ttl: Ttl, prefix: str) -> Caching:
        """Judge what was written.

        Raises:
            ValueError: the ttl is not above 0.
            TypeError: the ttl is no number, or the prefix no text.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"prefix={prefix!r} is not allowed: expected a str.")
        return cls(None if ttl is None else seconds(ttl), prefix)

    def applied_to(self, queryset: Any) -> Any:
        """``queryset`` of any class, cached, unless it says how it is cached itself."""
        if getattr(queryset, "_caching", None) is not None:
            return queryset
        cached = queryset._chain()
        kind: Any = type(queryset)
        cached.__class__ = cached_class(kind)
        cached._caching = self
        cached._prefetch_related_lookups = tuple(
            through_the_cache(queryset.model, queryset._prefetch_related_lookups, self)
        )
        return cached


class CachedQuerySet(models.QuerySet[_M, Any]):
    """A queryset that takes what it gives from the cache, once it was told to: by a
    :class:`~zoocache_django.managers.ZooCacheManager`, or by :meth:`cached`."""

    _caching: Caching | None = None
    _recipe: Recipe | None = None
    _beneath: ClassVar[frozenset[str]] = frozenset()
    """What a class of the application does in its own way, and this one must not do instead."""
    _remembers: ClassVar[bool] = True
    """Whether calls mean to every instance what they mean to Django's class."""

    # Django's own, which its stubs leave out.
    _prefetch_related_lookups: tuple[Any, ...]
    _prefetch_done: bool
    _known_related_objects: dict[Any, Any]
    _for_write: bool
    _result_cache: list[Any] | None
    _query: Any
    _deferred_filter: Any
    _sticky_filter: bool

    def cached(self, ttl: Ttl = None, prefix: str = "") -> CachedQuerySet[_M]:
        """This queryset, its results cached until its rows change.

        Args:
            ttl: lifetime in seconds, or a timedelta; with ``read_extend_ttl`` each read restarts
                it. ``None`` takes the ``default_ttl``.
            prefix: keeps the results apart from those cached with another prefix.

        Raises:
            ValueError: the ttl is not above 0.
        """
        recipe = self._recipe
        clone: CachedQuerySet[_M] = self._chain()  # type: ignore[attr-defined]
        clone._caching, clone._recipe = Caching.of(ttl, prefix), recipe
        return clone

    def uncached(self) -> CachedQuerySet[_M]:
        """This queryset, read from the database."""
        clone: CachedQuerySet[_M] = self._chain()  # type: ignore[attr-defined]
        clone._caching = None
        return clone

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._beneath, cls._remembers = overriding.judge(cls, CachedQuerySet)

    @property
    def query(self) -> Any:
        """The query, which the caller may change; what the queryset knew of it is void."""
        self._recipe = None
        return _query.fget(self)

    @query.setter
    def query(self, value: Any) -> None:
        self._recipe = None
        _query.fset(self, value)

    def _clone(self) -> Any:
        recipe = self._recipe
        clone = super()._clone()  # type: ignore[misc]
        # Being copied does not change it.
        self._recipe = recipe
        clone._caching = self._caching
        return clone

    # Results

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            found = self._cached_results()
            if found is not None:
                self._result_cache = list(found)
        results = self._result_cache
        if results is not None and self._caching is not None and not self._prefetch_done:
            if self._prefetch_related_lookups:
                prefetch_related_objects(results, *self._cached_lookups())
            self._prefetch_done = True
        super()._fetch_all()

    def _iterator(self, use_chunked_fetch: bool, chunk_size: int | None) -> Iterator[Any]:
        found = self._cached_results()
        if found is None:
            yield from super()._iterator(use_chunked_fetch, chunk_size)  # type: ignore[misc]
        elif not self._prefetch_related_lookups or chunk_size is None:
            yield from found
        else:
            while results := list(islice(found, chunk_size)):
                prefetch_related_objects(results, *self._cached_lookups())
                yield from results

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Any]:
        """:meth:`iterator` for asynchronous callers."""
        if chunk_size <= 0:
            raise ValueError("Chunk size must be strictly positive.")
        found = await sync_to_async(self._cached_results)()
        if found is None:
            async for item in super().aiterator(chunk_size):
                yield item
            return
        while results := await sync_to_async(lambda: list(islice(found, chunk_size)))():
            if self._prefetch_related_lookups:
                await sync_to_async(prefetch_related_objects)(results, *self._cached_lookups())
            for item in results:
                yield item

    def _cached_lookups(self) -> list[Any]:
        caching = self._caching or Caching()
        return through_the_cache(self.model, self._prefetch_related_lookups, caching)

    def _cached_results(
        self, recipe: Recipe | None = None, asked: Callable[[], Any] | None = None
    ) -> Iterator[Any] | None:
        """The results, from the cache or not; ``None`` if they are none of its business.

        ``asked`` gives the queryset whose results they are, if it is another one, with ``recipe``.
        """
        caching = self._caching
        if caching is None or not self._may_be_cached() or "_fetch_all" in self._beneath:
            return None
        engine, using, owner = conf.engine(), self.db, (self.model, caching)
        recipe = recipe or self._known()
        plan, key = plans.remembered(owner, using, recipe, "rows")
        found = None
        if plan is None:
            query = plans.resolved(asked() if asked else self)
            if (found := plans.compiled(query, using)) is None:
                return None
            if (planned := plans.plan_for(owner, query, using, recipe, found)) is None:
                return None
            plan, key = planned

        def read() -> Any:
            query = plans.resolved(asked() if asked else self)
            return executed(found or query, using, plan.converted, engine.direct)

        rows = value_of(engine, key, read, caching.ttl)
        if (
            plan.make is not None
            and self._iterable_class is ModelIterable
            and not self._known_related_objects
        ):
            made: list[Any] | None = plan.make(rows, using)
            if made is not None:
                return iter(made)
        return play(self, plans.resolved(self), self._iterable_class, plan, rows, found)

    def _may_be_cached(self) -> bool:
        # What is read in order to be written is read afresh; and where nobody notices what is read
        # and written, nothing would ever be forgotten.
        return self._caching is not None and not self._for_write and patches.installed()

    def _known(self) -> Recipe | None:
        """The recipe, if it says all."""
        return self._recipe if self._remembers and not self._sticky_filter else None

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """The one object that matches."""
        known = self._known()
        if known is not None and kwargs and not args:
            recipe = followed_by(known, "get", args, kwargs)
            if recipe is not None:
                found = self._got(recipe, kwargs)
                if found is not None:
                    return found
        return super().get(*args, **kwargs)

    def _got(self, recipe: Recipe, kwargs: dict[str, Any]) -> Any:
        """What ``get()`` is to return, or ``None`` if it has to say that there are several."""

        def asked() -> Any:
            return self.filter(**kwargs).order_by()[:_MOST_INSTANCES_OF_GET]

        results = self._cached_results(recipe, asked)
        if results is None:
            return None
        found = list(results)
        if not found:
            raise self.model.DoesNotExist(
                f"{self.model._meta.object_name} matching query does not exist."
            )
        return found[0] if len(found) == 1 else None

    # Summaries

    def count(self) -> int:
        """How many objects there are."""
        if self._result_cache is not None:
            return len(self._result_cache)
        return self._summary("count", super().count)  # type: ignore[no-any-return]

    def exists(self) -> bool:
        """Whether there is an object."""
        if self._result_cache is not None:
            return bool(self._result_cache)
        return self._summary("exists", super().exists)  # type: ignore[no-any-return]

    def _summary(self, kind: str, compute: Callable[[], Any]) -> Any:
        if self._caching is None or not self._may_be_cached() or kind in self._beneath:
            return compute()
        owner, recipe = (self.model, self._caching), self._recipe
        key = plans.key_for(owner, plans.resolved(self), self.db, self._known(), kind)
        if key is None:
            return compute()
        try:
            return value_of(conf.engine(), key, compute, self._caching.ttl)
        finally:
            self._recipe = recipe

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The values of aggregates over the objects."""
        compute = partial(super().aggregate, *args, **kwargs)
        if self._caching is None or not self._may_be_cached() or "aggregate" in self._beneath:
            return compute()
        owner, recipe = (self.model, self._caching), self._recipe
        key = aggregates.key_for(owner, plans.resolved(self), self.db, self._known(), args, kwargs)
        if key is None:
            return compute()
        try:
            found: dict[str, Any] = value_of(conf.engine(), key, compute, self._caching.ttl)
        finally:
            self._recipe = recipe
        return found


def _followed_by_recipe(name: str) -> Callable[..., Any]:
    original = getattr(models.QuerySet, name)

    @wraps(original)
    def method(self: CachedQuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        recipe, known = self._recipe, self._known()
        # Not the original itself, which is the next class's: a custom queryset may override it.
        result = getattr(super(CachedQuerySet, self), name)(*args, **kwargs)
        if recipe is not None:
            self._recipe = recipe
            if known is not None and result is not self and isinstance(result, CachedQuerySet):
                result._recipe = followed_by(known, name, args, kwargs)
        return result

    return method


for _name in METHODS:
    if _name not in vars(CachedQuerySet):
        setattr(CachedQuerySet, _name, _followed_by_recipe(_name))


@lru_cache(maxsize=1024)
def cached_class(kind: Any) -> Any:
    """A class of cached querysets that can do what those of ``kind`` can."""
    if issubclass(kind, CachedQuerySet):
        return kind
    if kind is models.QuerySet:
        return CachedQuerySet
    made = type(f"Cached{kind.__name__}", (CachedQuerySet, kind), {"__reduce__": _reduced})
    made._kind = kind  # type: ignore[attr-defined]
    return made


def _reduced(queryset: Any) -> Any:
    """How to pickle a queryset of a class that was made here and cannot be imported."""
    return _made_of, (queryset._kind,), queryset.__getstate__()


def _made_of(kind: Any) -> Any:
    made = cached_class(kind)
    return made.__new__(made)
