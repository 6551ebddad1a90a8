"""``@cacheable_serializer``: what a serializer of DRF makes of an instance, from the cache.

::

    @cacheable_serializer(ttl=600)
    class ProductSerializer(serializers.ModelSerializer): ...

The key holds everything that was there before: the values of the instance and of those objects that
were loaded with it, whatever its database row says by now. What the serializer loads itself, over
``source="maker.name"`` or in a method, is noticed as everywhere. What it reads of its context
becomes part of the key when it does so the first time; its fields and its own state always are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, TypeVar, overload

from django.conf import settings
from django.db import models
from django.utils import timezone, translation

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode
from zoocache_core.http import PagePolicy
from zoocache_core.http.key import digest
from zoocache_core.http.reads import Reads, WatchedDict
from zoocache_core.settings import seconds
from zoocache_django import conf, patches
from zoocache_django.pages.exchange import DjangoRequest
from zoocache_django.pages.observed import watched
from zoocache_django.pages.portraits import portrait
from zoocache_django.pages.shapes import shape_of

try:
    from rest_framework.serializers import BaseSerializer, ListSerializer
except ImportError as error:
    raise ImportError(
        "cacheable_serializer needs Django REST framework: pip install djangorestframework"
    ) from error

__all__ = ["cacheable_serializer"]

_S = TypeVar("_S", bound=type)
_POLICY = PagePolicy.of()


@overload
def cacheable_serializer(serializer: _S, /) -> _S: ...


@overload
def cacheable_serializer(ttl: float | timedelta | None = None) -> Callable[[_S], _S]: ...


def cacheable_serializer(ttl: Any = None) -> Any:
    """Cache what a serializer class makes of model instances.

    Used as ``@cacheable_serializer`` or ``@cacheable_serializer(ttl=600)``. Lists (``many=True``)
    and nested serializers are cached instance by instance. The class must show the same for the
    same instance, related rows and context; one that shows the time of day must not be cached.

    Args:
        ttl: lifetime in seconds, or a timedelta; ``None`` takes the ``default_ttl``.

    Raises:
        TypeError: what is decorated is not a serializer class, or is one of lists.
        ValueError: the ttl is not above 0.
    """
    if isinstance(ttl, type):
        return _decorate(ttl, None)
    lifetime = None if ttl is None else seconds(ttl)
    return lambda serializer: _decorate(serializer, lifetime)


def _decorate(serializer: Any, ttl: float | None) -> Any:
    if not isinstance(serializer, type) or not issubclass(serializer, BaseSerializer):
        raise TypeError(f"@cacheable_serializer decorates serializer classes, not {serializer!r}.")
    if issubclass(serializer, ListSerializer):
        raise TypeError(
            f"@cacheable_serializer decorates the serializer of the items, not {serializer!r}."
        )
    kind: Any = serializer
    original = kind.to_representation
    name = f"{kind.__module__}.{kind.__qualname__}"
    # What any run has read of its context. It only grows, and a run that finds more is not stored.
    known: set[str] = set()

    def to_representation(self: Any, instance: Any) -> Any:
        if type(self) is not kind or not isinstance(instance, models.Model):
            return original(self, instance)
        if not patches.installed():
            return original(self, instance)
        context, reads = self.context, Reads()
        try:
            key = f"{name}:{digest([shape_of(self), *_shown(instance, context, known)])}"
        except UnsupportedValue as error:
            conf.engine().report.warn_once(name, f"What {name} shows is not cached: {error}")
            return original(self, instance)

        def make() -> Any:
            return _watched(self, context, reads, lambda: original(self, instance))

        def admit(value: Any) -> bool:
            return reads.refusal is None and known.issuperset(reads)

        made = conf.engine().fetch(key, make, ttl=ttl, admit=admit)
        known.update(reads)
        return made

    kind.to_representation = to_representation
    return serializer


def _watched(serializer: Any, context: Any, reads: Reads, make: Callable[[], Any]) -> Any:
    """Run ``make``, and note what it reads of the context."""
    root, request = serializer.root, context.get("request")
    watching = WatchedDict(
        context,
        lambda name: reads.note_part(f"context:{name}"),
        lambda: reads.refuse_part("it read all of its context"),
    )
    http = getattr(request, "_request", request)
    before = root._context
    root._context = watching
    try:
        wrapper = None if http is request else request
        with nullcontext() if http is None else watched(http, reads, wrapper):
            # Without a request, nobody else does it.
            reads.active = True
            return make()
    finally:
        root._context = before


def _shown(instance: models.Model, context: Any, known: set[str]) -> tuple[str | None, ...]:
    """What tells what is shown from what is shown for other instances and contexts."""
    request = context.get("request")
    exchange = None if request is None else DjangoRequest(request, _POLICY, (), {}, {})
    return (
        portrait(instance),
        translation.get_language() if settings.USE_I18N else None,
        timezone.get_current_timezone_name() if settings.USE_TZ else None,
        encode([(read, _seen(read, context, exchange)) for read in sorted(known)]),
    )


def _seen(read: str, context: Any, exchange: DjangoRequest | None) -> Any:
    """What would be read by a run of now."""
    kind, _, name = read.partition(":")
    if kind == "context" and name != "request":
        return (portrait(context[name]),) if name in context else None
    if exchange is None:
        return None
    if kind == "context":
        url = exchange.method, exchange.scheme, exchange.host, exchange.path, exchange.query
        return (*url, exchange.user())
    if kind == "header":
        return exchange.header(name)
    if kind == "cookie":
        return exchange.cookie(name)
    return exchange.user() if kind == "user" else exchange.session()
