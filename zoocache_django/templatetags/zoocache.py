"""``{% zoocache %}``: a part of a template from the cache, forgotten when its data changes.

::

    {% load zoocache %}
    {% zoocache 600 sidebar request.user.pk tags="shop.news" %} … {% endzoocache %}
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from django import template
from django.conf import settings
from django.contrib.auth.context_processors import PermWrapper
from django.db import models
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.safestring import SafeString, mark_safe

from zoocache_core import UnsupportedValue
from zoocache_core.encoding import encode
from zoocache_core.http.key import digest
from zoocache_core.http.reads import Reads
from zoocache_core.settings import seconds
from zoocache_django import conf
from zoocache_django.pages.identities import evaluated
from zoocache_django.pages.loaded import loaded, noticing
from zoocache_django.pages.observed import watched
from zoocache_django.tags import as_deps

__all__ = ["register"]

register = template.Library()

_given: Final[dict[str, frozenset[str]]] = {}
"""By the name of a fragment: the variables that were seen to give it rows. A run that finds another
one is not stored."""

_TOKEN_USED = "CSRF_COOKIE_NEEDS_UPDATE"  # noqa: S105 - a name of Django's, not a secret
_FORM = "{% zoocache TTL KEY [VARY…] [tags=TAGS] %}"


@register.tag("zoocache")
def parse(parser: template.base.Parser, token: template.base.Token) -> template.Node:
    """``{% zoocache TTL KEY [VARY…] [tags=TAGS] %}`` … ``{% endzoocache %}``.

    Args:
        TTL: lifetime in seconds, or ``None``: until the data changes.
        KEY: the fragment's name, as it is written.
        VARY: whatever else tells one rendering from another. What is made for a visitor must vary
            on them; a fragment that looks at the user without any vary is not cached.
        TAGS: a tag or several that it depends on, besides the rows that are read inside.
    """
    nodes = parser.parse(("endzoocache",))
    parser.delete_first_token()
    name, *bits = token.split_contents()
    tags = [bit for bit in bits if bit.startswith("tags=")]
    bits = [bit for bit in bits if not bit.startswith("tags=")]
    if len(bits) < 2 or len(tags) > 1:
        raise template.TemplateSyntaxError(
            f"{name!r} is written as {_FORM}, not as {token.contents!r}."
        )
    ttl, key, *vary = bits
    return _Fragment(
        nodes,
        parser.compile_filter(ttl),
        key.strip("\"'"),
        [parser.compile_filter(bit) for bit in vary],
        parser.compile_filter(tags[0].removeprefix("tags=")) if tags else None,
    )


class _Fragment(template.Node):
    def __init__(self, nodelist: Any, ttl: Any, name: str, vary: list[Any], tags: Any) -> None:
        self.nodelist = nodelist
        self._ttl = ttl
        self._name = name
        self._vary = vary
        self._tags = tags

    def render(self, context: template.Context) -> SafeString:
        ttl = self._lifetime(self._ttl.resolve(context))
        tags = () if self._tags is None else self._tags.resolve(context) or ()
        request: HttpRequest | None = context.get("request")
        seen = Reads()
        private: list[str] = []
        engine = conf.engine()
        given = _given.setdefault(self._name, frozenset())
        found: set[str] = set()

        def make() -> str:
            looking = nullcontext() if request is None else _looking(request, context, seen)
            with noticing(context) as holding, looking as token_used:
                text = str(self.nodelist.render(context))
            found.update(holding)
            if token_used and token_used():
                private.append("contains a CSRF token")
            elif seen and not self._vary:
                private.append(
                    f"looks at its visitor ({', '.join(sorted(seen))}) and varies on nothing"
                )
            return text

        try:
            rows = [(name, loaded(context.get(name))) for name in sorted(given)]
        except UnsupportedValue as error:
            text = make()
            private.append(f"is given rows in a variable, and {error}")
        else:
            text = engine.fetch(
                self._key(context, rows),
                make,
                deps=as_deps(tags),
                ttl=ttl,
                admit=lambda _: not private and found.issubset(given),
            )
        if not found.issubset(given):
            _given[self._name] = given.union(found)
        if private:
            engine.report.warn_once(
                f"fragment:{self._name}",
                f"The template fragment {self._name!r} is not cached: it {private[0]}.",
            )
        return mark_safe(text)  # noqa: S308 - as it was rendered

    def _lifetime(self, ttl: Any) -> float | None:
        if ttl is None or ttl == "":
            return None
        try:
            return seconds(int(ttl) if isinstance(ttl, str) else ttl)
        except (TypeError, ValueError) as error:
            raise template.TemplateSyntaxError(
                f"'zoocache' tag got {ttl!r} as the lifetime of {self._name!r}: expected a number "
                "of seconds above 0, or None."
            ) from error

    def _key(self, context: template.Context, rows: list[tuple[str, str | None]]) -> str:
        parts = (
            [_identity(item.resolve(context)) for item in self._vary],
            rows,
            bool(context.autoescape),
            translation.get_language() if settings.USE_I18N else None,
            timezone.get_current_timezone_name() if settings.USE_TZ else None,
        )
        return f"fragment:{encode(self._name)}:{digest([encode(parts)])}"


def _identity(value: Any) -> Any:
    """What a value that a fragment varies on is known by."""
    value = evaluated(value)
    if isinstance(value, models.Model):
        return type(value)._meta.label_lower, value._state.db, value.pk
    if getattr(value, "is_anonymous", False) is True:
        return "anonymous"
    return str(value) if isinstance(value, str) else value


@contextmanager
def _looking(request: Any, context: template.Context, seen: Reads) -> Iterator[Any]:
    """Note what is looked at of the visitor; gives how to find out if a CSRF token was made."""
    wrapper = request if hasattr(request, "_request") else None
    request = getattr(request, "_request", request)
    used = request.META.pop(_TOKEN_USED, None)
    try:
        with watched(request, seen, wrapper):
            watching: dict[str, Any] = {}
            if "user" in context and hasattr(request, "user"):
                watching["user"] = request.user
            if "perms" in context and hasattr(request, "user"):
                watching["perms"] = PermWrapper(request.user)
            with context.push(**watching):
                yield lambda: bool(request.META.get(_TOKEN_USED))
    finally:
        if used is not None:
            request.META[_TOKEN_USED] = used
