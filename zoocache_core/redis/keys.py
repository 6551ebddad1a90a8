"""Names of the keys of one prefix.

All of them share a hash tag (``{prefix}``), so a Redis Cluster keeps them in one slot, where a
script may use them together. Braces are not allowed in a prefix, so ``app`` and ``app:blue`` have
no key in common.
"""

from __future__ import annotations

__all__ = ["Keys", "tag_of", "text"]

_NO_PREFIX = "~"
"""Stands for no prefix: an empty hash tag would not count as one. It is not a legal prefix."""


def text(value: str) -> bytes:
    """``value`` as bytes, injectively also for lone surrogates, which plain UTF-8 refuses."""
    return value.encode("utf-8", "surrogatepass")


def tag_of(name: bytes) -> str:
    """The inverse of :func:`text`."""
    return name.decode("utf-8", "surrogatepass")


class Keys:
    """Names of the authority's keys and of the keys that belong to entries."""

    __slots__ = ("authority", "entries", "leases", "log", "meta", "tags", "turns")

    def __init__(self, prefix: str | None) -> None:
        base = b"zoocache:{%b}:" % text(prefix or _NO_PREFIX)
        self.log = base + b"log"
        self.tags = base + b"tags"
        self.meta = base + b"meta"
        self.authority = (self.log, self.tags, self.meta)
        self.entries = base + b"e:"
        self.leases = base + b"lease:"
        self.turns = base + b"turn:"
