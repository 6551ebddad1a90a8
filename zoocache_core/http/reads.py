"""What a view reads of its visitor, noted while it runs, for any framework on WSGI.

A page is shown to others only if they are the same in everything that it was made from. So an
adapter puts recorders in place of what a view can look at; they behave as before and note the first
look at each thing in a :class:`Reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

__all__ = ["ADDRESS", "HOST_KEYS", "Reads", "WatchedDict", "WatchedMapping"]

ADDRESS: Final = "remote_addr"
"""The visitor's network address, as the name of a header that no client can send."""

_ADDRESS_KEYS: Final = frozenset({"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "REMOTE_USER"})

# A complete response does not depend on whether the browser would have been content with a 304.
_CONDITIONS: Final = frozenset({"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"})

HOST_KEYS: Final = frozenset({"HTTP_HOST", "SERVER_NAME", "SERVER_PORT"})
"""What the host of a request is made from, where no proxy has told another."""

_UNPREFIXED: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


class Reads(set[str]):
    """What was read, in the words of ``zoocache_core.http``: ``"user"``, ``"header:accept"``, …

    Nothing is noted unless ``active``. ``refusal`` is a reason why no page can be kept for others.
    ``known`` are keys of the WSGI environment of which the page's key says all there is to say;
    headers that a client may send and the key does not contain must not be among them. With a
    ``parent``, for a part of a page, everything is noted there as well.
    """

    def __init__(self, known: Collection[str] = (), parent: Reads | None = None) -> None:
        super().__init__()
        self.active = False
        self.refusal: str | None = None
        self.parent = parent
        self.known = frozenset(known)
        self._unrecorded = self.known | _CONDITIONS

    def note(self, read: str) -> None:
        """Record one read."""
        self.note_part(read)
        if self.active and self.parent is not None:
            self.parent.note(read)

    def note_part(self, read: str) -> None:
        """Record one read of something that the part was given by its page."""
        if self.active:
            self.add(read)

    def note_given(self, read: str) -> None:
        """Record one read of what the page has put there itself: only its parts depend on that."""
        part = self
        while part.parent is not None:
            part.note_part(read)
            part = part.parent

    def refuse(self, reason: str) -> None:
        """Record a read that no page can be kept apart by."""
        self.refuse_part(reason)
        if self.active and self.parent is not None:
            self.parent.refuse(reason)

    def refuse_part(self, reason: str) -> None:
        """Record a read of what its page has given it, that no part can be kept apart by."""
        if self.active:
            self.refusal = reason

    def note_environ(self, name: object) -> None:
        """Record the read of one key of the WSGI environment."""
        if self.parent is not None:
            # Its key may say less.
            self.parent.note_environ(name)
        if not self.active or not isinstance(name, str) or name in self._unrecorded:
            return
        if name in _ADDRESS_KEYS:
            self.note(f"header:{ADDRESS}")
        elif name.startswith("HTTP_") and len(name) > 5:
            self.note(f"header:{name[5:].replace('_', '-').lower()}")
        elif name in _UNPREFIXED:
            self.note(f"header:{name.replace('_', '-').lower()}")
        elif name in HOST_KEYS:
            self.note(f"header:environ_{name}")

    def is_known(self, name: str) -> bool:
        """Whether every page that is being made has all of an environment's key in its own key."""
        return name in self.known and (self.parent is None or self.parent.is_known(name))

    def note_everything(self) -> None:
        """Record a look at all headers at once, which are never the same twice."""
        self.refuse("the view read all request headers at once")


class WatchedMapping:
    """Goes before a mapping among a class's bases: tells which keys are looked at, or all."""

    def one(self, key: Any) -> None:
        """A look at one key."""
        raise NotImplementedError

    def everything(self) -> None:
        """A look at all of them."""
        raise NotImplementedError


def _telling(name: str, of_one_key: bool) -> Callable[..., Any]:
    def method(self: WatchedMapping, *args: Any, **kwargs: Any) -> Any:
        if of_one_key:
            self.one(args[0])
        else:
            self.everything()
        return getattr(super(WatchedMapping, self), name)(*args, **kwargs)

    return method


for _name in ("__getitem__", "__contains__", "get", "pop", "setdefault", "getlist"):
    setattr(WatchedMapping, _name, _telling(_name, of_one_key=True))
for _name in (
    *("__iter__", "__len__", "__eq__", "__ne__", "__or__", "__ror__", "__reversed__", "__repr__"),
    *("copy", "items", "keys", "values", "lists", "listvalues", "to_dict", "popitem"),
):
    setattr(WatchedMapping, _name, _telling(_name, of_one_key=False))


class WatchedDict(WatchedMapping, dict[str, Any]):
    """A copy of a dict that tells which of its keys are looked at.

    The copy of another ``WatchedDict``, made for a part of a page, tells that one as well.
    """

    def __init__(
        self, content: dict[str, Any], one: Callable[[Any], None], everything: Callable[[], None]
    ) -> None:
        self.tell_one = one
        self.tell_everything = everything
        self._outer = content if isinstance(content, WatchedDict) else None
        super().__init__(content if self._outer is None else self._outer.unwatched())

    def one(self, key: Any) -> None:
        self.tell_one(key)
        if self._outer is not None:
            self._outer.one(key)

    def everything(self) -> None:
        self.tell_everything()
        if self._outer is not None:
            self._outer.everything()

    def unwatched(self) -> dict[str, Any]:
        """A plain copy, made without telling anybody."""
        # Even dict's own copy() asks an overridden keys().
        return dict(dict.items(self))

    def copied_back(self, content: dict[str, Any]) -> dict[str, Any]:
        """``content``, with what was written here meanwhile."""
        now = self.unwatched()
        if dict.__ne__(now, content):
            dict.clear(content)
            dict.update(content, now)
        return content
