"""Invalidations that the authority does not have yet.

While they wait, this process treats everything that depends on them as invalid (see
``PrefixTrie.doubt``), so an invalidation counts here at once and everywhere else as soon as it can
be delivered. Beyond a limit they are replaced by an invalidation of everything, so that an outage
of any length needs little memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from zoocache_core.trie import PrefixTrie

__all__ = ["Outbox"]

_LIMIT = 1000
"""Every read is held against each of them."""


class Outbox:
    """Tags to be delivered, each once, however often it is added meanwhile."""

    def __init__(self, trie: PrefixTrie) -> None:
        self.lock = threading.Lock()
        self._trie = trie
        self._tags: dict[str, object] = {}

    def __bool__(self) -> bool:
        return bool(self._tags)

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tags: Iterable[str]) -> None:
        """Keep ``tags`` until they are delivered."""
        with self.lock:
            for tag in tags:
                if "" in self._tags and tag:
                    self._put("")
                elif tag == "" or len(self._tags) >= _LIMIT:
                    # The doubt about everything first: there is no moment without any.
                    specific = [other for other in self._tags if other]
                    self._put("")
                    for other in specific:
                        del self._tags[other]
                    self._trie.settle(specific)
                else:
                    self._put(tag)

    def _put(self, tag: str) -> None:
        if tag not in self._tags:
            self._trie.doubt((tag,))
        # A new object says that it was added again since somebody took it.
        self._tags[tag] = object()

    def take(self) -> dict[str, object]:
        """What is to be delivered now. It stays until it has been :meth:`delivered`."""
        with self.lock:
            return dict(self._tags)

    def delivered(self, taken: dict[str, object]) -> None:
        """Let go of what was taken, except for what was added again since."""
        with self.lock:
            done = [tag for tag, mark in taken.items() if self._tags.get(tag) is mark]
            for tag in done:
                del self._tags[tag]
            self._trie.settle(done)

    def after_fork(self) -> None:
        """In a forked child, which delivers what it inherited as its parent does: twice is fine."""
        self.lock = threading.Lock()
