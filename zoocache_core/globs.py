"""Keys forgotten by pattern: ``delete_pattern("user:42:*")`` without looking at any key.

A pattern is one more thing that can be invalidated. It is numbered by the sequence like a tag and
kept in the trie, as the internal tag ``=:~:<pattern>``; an entry older than the number of a pattern
that its key matches is outdated. So it costs the same however many entries there are, reaches other
processes like any invalidation, and cannot miss an entry that is stored a moment later but was
computed before. (Looking through the keys, as Redis' ``SCAN`` does, has none of these properties.)

Patterns are found by their *literal start*, the part before the first wildcard: a key is compared
only with patterns that begin as it does.

The language is that of Redis' ``KEYS``: ``*`` any characters, ``?`` any one, ``[abc]``, ``[a-z]``
and ``[^abc]`` one of these or none of these, a backslash before a character to mean itself.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from zoocache_core.trie import Node

__all__ = ["GLOBS", "Globs", "escape", "matches", "name_of", "pattern_of"]

GLOBS: Final = "~"
"""The segment below ``=`` under which the patterns are."""

_SPECIAL: Final = re.compile(r"[*?\[\\]")
_DIFFERENT: Final = re.compile(r"\\(.)|\[\^", re.DOTALL)


class Globs:
    """The patterns that were invalidated, each with its node in the trie.

    Written under the trie's lock and read without it: what a reader may be looking at is replaced,
    never changed. ``floor`` stands in for patterns that were pruned.
    """

    __slots__ = ("_by_start", "_lengths", "floor")

    def __init__(self) -> None:
        self.floor = 0
        self._by_start: dict[str, tuple[tuple[str, Node], ...]] = {}
        self._lengths: tuple[int, ...] = ()

    def add(self, pattern: str, node: Node) -> None:
        """Keep ``pattern``; adding it again replaces its node."""
        start = _literal_start(pattern)
        others = [other for other in self._by_start.get(start, ()) if other[0] != pattern]
        self._by_start[start] = (*others, (pattern, node))
        self._lengths = tuple(sorted({*self._lengths, len(start)}))

    def outdate(self, key: str, stamp: int) -> bool:
        """Whether a pattern that ``key`` matches was invalidated after ``stamp``."""
        if self.floor > stamp:
            return True
        for length in self._lengths:
            for pattern, node in self._by_start.get(key[:length], ()):
                if node.number > stamp and matches(pattern, key):
                    return True
        return False


def matches(pattern: str, key: str) -> bool:
    """Whether ``key`` matches ``pattern`` from its first character to its last."""
    return _compiled(pattern).match(key) is not None


def escape(text: str) -> str:
    """A pattern that only ``text`` itself matches."""
    return _SPECIAL.sub(lambda found: f"\\{found.group()}", text)


def name_of(pattern: str) -> str:
    """The internal tag of a pattern."""
    return f"=:{GLOBS}:{quote(pattern, safe='', errors='surrogatepass')}"


def pattern_of(name: str) -> str | None:
    """The pattern of an internal tag, ``None`` if it is the tag of something else."""
    start = f"=:{GLOBS}:"
    if not name.startswith(start):
        return None
    return unquote(name[len(start) :], errors="surrogatepass")


def _literal_start(pattern: str) -> str:
    found = _SPECIAL.search(pattern)
    return pattern if found is None else pattern[: found.start()]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # fnmatch knows no escapes and negates with another sign. What it makes of several wildcards in
    # one pattern takes no more than quadratic time.
    return re.compile(translate(_DIFFERENT.sub(_in_terms_of_fnmatch, pattern)))


def _in_terms_of_fnmatch(found: re.Match[str]) -> str:
    character: str | None = found[1]
    if character is None:
        return "[!"
    return f"[{character}]" if character in "*?[" else character
