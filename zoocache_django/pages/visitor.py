"""What a view reads of its visitor: the user, the session, cookies, headers, the environment.

A page is shown to others only if they are the same in everything that it was made from. So each
look at these is noted while the view runs. Passing ``request.user`` around unread is not a look.

Middleware that looks up who is there leaves the answer in an attribute of the request
(``request.tenant``), and then the view reads nothing else. So looks at such attributes are noted
too: the page is kept apart by their values, and depends on their rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.db import models
from django.utils.functional import LazyObject, empty

from zoocache_core import UnsupportedValue
from zoocache_core.deps import add_deps
from zoocache_core.http.reads import ADDRESS, Reads, WatchedDict
from zoocache_core.missing import MISSING
from zoocache_django.pages.arrivals import read_since_arrival
from zoocache_django.pages.identities import identify
from zoocache_django.pages.made_from import rows_of

__all__ = ["Watch", "not_noticing", "user_text"]

_TOLD_OTHERWISE: Final = re.compile(
    "(HTTP|CONTENT|REMOTE)_|SERVER_(NAME|PORT|PROTOCOL|SOFTWARE)$"
    "|(GATEWAY_INTERFACE|PATH_INFO|REQUEST_METHOD|SCRIPT_NAME|CSRF_COOKIE_NEEDS_UPDATE)$"
    r"|(wsgi|zoocache)\."
)
"""Keys of the WSGI environment that say nothing of a visitor, or that are told in another way."""

_OF_ASGI: Final = frozenset(
    {
        *("type", "asgi", "http_version", "method", "scheme", "path", "root_path", "server"),
        *("extensions", "app", "zoocache.position"),
    }
)
"""Keys of the ASGI scope that say nothing of a visitor, or that are part of every key."""

_PERMISSION_CACHES: Final = ("_perm_cache", "_user_perm_cache", "_group_perm_cache")

_unnoticed: ContextVar[bool] = ContextVar("zoocache_unnoticed", default=False)
"""Whether who the user is, is being found out, which reads the session. Known by context, since
other tasks of the view go on meanwhile."""


@contextmanager
def not_noticing() -> Iterator[None]:
    before = _unnoticed.get()
    _unnoticed.set(True)
    try:
        yield
    finally:
        _unnoticed.set(before)


class Watch:
    """One request under observation. ``reads`` changes while a part of the page is made."""

    def __init__(self, request: Any, reads: Reads) -> None:
        self.reads = reads
        self.request = request
        self.values: dict[str, Any] = {}
        """What was read, as it was at the first look: the view may change it."""
        self.own: set[str] = set()
        """Attributes of the request that the view itself has set."""
        self.given: frozenset[str] = frozenset()
        """Those that a page has set, while a part of it is made."""
        self._lazy: dict[str, Any] = {}
        self.environ = WatchedDict(request.META, self.note_environ, self.note_everything)
        scope = getattr(request, "scope", {})
        self.scope = WatchedDict(scope, self.note_scope, self.note_everything)

    def note(self, read: str) -> None:
        """Record a look."""
        if not _unnoticed.get():
            self.reads.note(read)

    def note_everything(self) -> None:
        """Record a look at all headers at once."""
        if not _unnoticed.get():
            self.reads.note_everything()

    def note_environ(self, name: object) -> None:
        """Record a look at one key of the WSGI environment."""
        if _unnoticed.get():
            return
        self.reads.note_environ(name)
        if not isinstance(name, str) or _TOLD_OTHERWISE.match(name):
            return
        content = dict.get(self.environ, name, MISSING)
        # Parameters are part of the key in one order and spelling, whatever they were sent in.
        if name != "QUERY_STRING" or (content and not self.reads.is_known(name)):
            self.note_value(f"environ_{name}", content)

    def note_scope(self, name: object) -> None:
        """Record a look at one key of the ASGI scope."""
        if name == "headers":
            self.note_everything()
        elif name == "client":
            self.note(f"header:{ADDRESS}")
        elif name == "query_string":
            self.note_environ("QUERY_STRING")
        elif isinstance(name, str) and name not in _OF_ASGI:
            self.note_value(f"scope_{name}", dict.get(self.scope, name, MISSING))

    def note_value(self, read: str, value: Any) -> None:
        """Record a look at something of which only its value tells whom it belongs to."""
        if _unnoticed.get() or not self.reads.active:
            return
        if isinstance(value, LazyObject) and value._wrapped is empty:
            # Passed on, maybe, and not looked at.
            self._lazy[read] = value
            return
        if read not in self.values:
            try:
                text, rows = (None, frozenset[str]()) if value is MISSING else identify(value)
            except UnsupportedValue as error:
                self.reads.refuse(f"the view read {read.replace('_', ' ', 1)}, and {error}")
                return
            self.values[read] = text
            if rows:
                add_deps(rows)
                read_since_arrival(self.request)
        self.note(f"header:{read}")

    def finish(self) -> None:
        """Record those lazy objects that were looked at after all."""
        for read, value in list(self._lazy.items()):
            if value._wrapped is not empty:
                self.note_value(read, value)

    def note_user(self, user: Any) -> Any:
        """Record a look at the user, whose row the page depends on; maybe read earlier."""
        self.reads.note("user")
        if isinstance(user, models.Model) and user.pk is not None:
            for name in _PERMISSION_CACHES:
                # Read before the view ran; read again, it is noticed.
                vars(user).pop(name, None)
            add_deps(rows_of(user))
            read_since_arrival(self.request)
        if "user" not in self.values:
            self.values["user"] = user_text(user)
        return user


def user_text(user: Any) -> str | None:
    """What identifies a user, or ``None`` for somebody anonymous of whom nothing is known.

    Raises:
        UnsupportedValue: nothing does.
    """
    if not user.is_authenticated and not vars(user):
        return None
    return identify(user)[0]
