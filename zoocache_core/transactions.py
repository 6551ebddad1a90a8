"""An open database transaction: what it has written and nobody else may see yet, and how old is
what it reads.

An ORM adapter keeps one :class:`Transaction` for each open one, and in it a :class:`WriteBuffer`.
Every write puts its tags in; the outermost commit takes them out to be invalidated, a rollback
drops them, and in between :meth:`WriteBuffer.touches` tells which cached results the transaction
must neither read nor store.

The buffer is a journal and a savepoint is a position in it, so rolling back to a savepoint is
cutting the journal off there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from zoocache_core import isolation
from zoocache_core.moments import Moment
from zoocache_core.tags import invalidation_target

if TYPE_CHECKING:
    from zoocache_core.deps import Scope
    from zoocache_core.engine import Engine

__all__ = ["MAX_SIBLINGS", "Transaction", "WriteBuffer"]

MAX_SIBLINGS: Final = 1000
"""So many tags below one parent are kept one by one; from then on the parent stands for them. A
transaction that saves a million rows must neither hold nor send a million tags."""


_UNKNOWN: Final = Moment(())


class WriteBuffer:
    """The tags that one transaction has written, in order, with savepoints.

    Not thread-safe: a database transaction belongs to one thread at a time, and so does this.
    """

    # `_above` (the ancestors of tags) and `_siblings` (how many tags lie below each parent) cover
    # the first `_indexed` and the first `_counted` tags: most transactions need neither.
    __slots__ = ("_above", "_counted", "_indexed", "_siblings", "_tags")

    def __init__(self) -> None:
        # A dict keeps the order of insertion, so it is journal and index in one.
        self._tags: dict[str, None] = {}
        self._above: set[str] = set()
        self._siblings: dict[str, int] = {}
        self._indexed = self._counted = 0

    def __bool__(self) -> bool:
        """Whether anything was written: if not, the transaction reads what everybody reads."""
        return bool(self._tags)

    def touch(self, *tags: str) -> None:
        """Record that the rows which `tags` stand for were written. Cost: the depth of each tag.

        ``user:*`` means ``user`` and ``*`` means everything, as they do to ``invalidate``.

        Raises:
            InvalidTag: a tag is malformed; those before it are recorded.
        """
        journal = self._tags
        for tag in tags:
            target = invalidation_target(tag)
            if target not in journal:
                if len(journal) < MAX_SIBLINGS:
                    journal[target] = None
                else:
                    self._touch_one_of_many(target)

    def _touch_one_of_many(self, target: str) -> None:
        siblings = self._siblings
        for tag in islice(self._tags, self._counted, None):
            parent = tag.rpartition(":")[0]
            if parent:
                siblings[parent] = siblings.get(parent, 0) + 1
        self._counted = len(self._tags)
        while not self._covers(target):
            parent = target.rpartition(":")[0]
            self._tags[target] = None
            # The one just added comes to those that were counted.
            if siblings.get(parent, 0) + 1 < MAX_SIBLINGS:
                break
            target = parent

    def savepoint(self) -> int:
        """Return a token for :meth:`rollback_to`. Releasing a savepoint needs no call."""
        return len(self._tags)

    def rollback_to(self, savepoint: int) -> bool:
        """Forget what was written after `savepoint`; return whether that was anything.

        The savepoint itself stays, as it does in SQL. One that lies behind the end of the journal
        was undone together with an earlier one, and nothing is left of it.
        """
        if savepoint >= len(self._tags):
            return False
        self._rebuild(islice(self._tags, savepoint))
        return True

    def pending(self) -> tuple[str, ...]:
        """What to invalidate if the transaction commits, without tags that others cover."""
        tags = self._tags
        if "" not in tags and len({tag.count(":") for tag in tags}) < 2:
            # None is above another.
            return tuple(tags)
        written = self._ancestor_written
        return tuple([tag or "*" for tag in tags if not written(tag)])

    def commit(self) -> tuple[str, ...]:
        """Empty the buffer and return what to invalidate now that the rows are committed."""
        tags = self.pending()
        self._rebuild(())
        return tags

    def rollback(self) -> bool:
        """Empty the buffer, because nothing of it happened; return whether it held anything."""
        return self.rollback_to(0)

    def touches(self, dep: str) -> bool:
        """Whether `dep` covers something that this transaction wrote.

        True exactly when ``invalidate(*pending())`` would outdate an entry that depends on `dep`.
        Cost: the depth of `dep`.
        """
        if not self._tags:
            return False
        if dep == "*":
            return True
        if dep.endswith(":*"):
            node = dep[:-2]
            return self._covers(node) or self._is_above(node)
        return self._covers(dep)

    def touches_any(self, deps: Iterable[str]) -> bool:
        """Whether one of `deps` covers something that this transaction wrote."""
        return bool(self._tags) and any(map(self.touches, deps))

    def _covers(self, tag: str) -> bool:
        return tag in self._tags or self._ancestor_written(tag)

    def _ancestor_written(self, tag: str) -> bool:
        tags = self._tags
        if len(tags) == 1 and tag in tags:
            return False
        if tag and "" in tags:
            return True
        end = tag.find(":")
        while end != -1:
            if tag[:end] in tags:
                return True
            end = tag.find(":", end + 1)
        return False

    def _is_above(self, node: str) -> bool:
        """Whether a tag below ``node`` was written."""
        above = self._above
        if self._indexed < len(self._tags):
            for tag in islice(self._tags, self._indexed, None):
                parent = tag.rpartition(":")[0]
                while parent and parent not in above:
                    above.add(parent)
                    parent = parent.rpartition(":")[0]
            self._indexed = len(self._tags)
        return node in above

    def _rebuild(self, tags: Iterable[str]) -> None:
        self._tags = dict.fromkeys(tags)
        self._above.clear()
        self._siblings.clear()
        self._indexed = self._counted = 0


class Transaction(ABC):
    """An open transaction of a database, from its first statement until it ends.

    It is an :class:`~zoocache_core.isolation.Activity` of those who use its connection: begun by
    :meth:`start`, over with :meth:`stop`. ``since`` is the moment before it began to read.
    """

    __slots__ = ("__weakref__", "_savepoints", "_written", "owners", "since")

    by_thread = False

    def __init__(self) -> None:
        self.owners: set[Any] = set()
        self.since = _UNKNOWN
        self._written = WriteBuffer()
        self._savepoints: dict[str, int] = {}

    @property
    @abstractmethod
    def engines(self) -> Collection[Engine]:
        """Those that are to forget what it writes."""

    @property
    def written(self) -> WriteBuffer:
        """What was written."""
        return self._written

    def start(self, since: Moment | None = None) -> None:
        """The first statement is about to be executed. ``since``: it may read what was committed
        at that moment, not only what is now."""
        self.since = Moment(self.engines) if since is None else since
        isolation.begin(self)

    def stop(self) -> None:
        """It is over; doing it again has no effect."""
        isolation.end(self)

    def read_older(self) -> None:
        """It goes on to read a snapshot from before it began, and nobody knows from when."""
        self.since = _UNKNOWN
        isolation.rouse(self)

    def touch(self, tags: Iterable[str]) -> None:
        """Record what was written, to be invalidated at the commit."""
        written = self.written
        if written:
            written.touch(*tags)
        else:
            written.touch(*tags)
            isolation.rouse(self)

    def savepoint(self, name: str) -> None:
        """Remember what had been written before the savepoint ``name``."""
        self._savepoints[name] = self.written.savepoint()

    def undo(self, name: str) -> bool:
        """Forget what was written since the savepoint ``name``, because it did not happen; return
        whether that was anything.

        Of a savepoint that is not known nothing is forgotten, which is always right, if late.
        """
        return name in self._savepoints and self.written.rollback_to(self._savepoints[name])

    def commit(self) -> None:
        """What was written is public now. The transaction may go on."""
        self.written.commit()
        self._savepoints.clear()

    def quiet(self, engine: Engine) -> bool:
        """Whether it has written nothing and reads what everybody reads."""
        return not self.written and self.since.position(engine) >= engine.trie.position

    def hides(self, engine: Engine, deps: Collection[str], stamp: int) -> bool:
        """Whether it wrote what a value depends on, or may read an older snapshot.

        Whether there is a snapshot depends on the database, on its settings and on statements such
        as ``SET TRANSACTION``. Recomputing a value that is newer than the transaction is right for
        all of them, and happens rarely.
        """
        return stamp > self.since.position(engine) or self.written.touches_any(deps)

    def uncommitted(self) -> bool:
        """Whether it has written anything."""
        return bool(self.written)

    def stamp(self, engine: Engine) -> int | None:
        """The position before its first statement; 0 if nobody took it."""
        return self.since.position(engine)

    def note_read(self, scope: Scope, tags: Collection[str]) -> None:
        """What ``scope`` depends on is being read here: it is as old as the transaction, and
        private if the transaction wrote it."""
        if self.written.touches_any(tags):
            scope.forbid("it was computed from rows that are not committed")
        engines = self.engines
        one: Scope | None = scope
        while one is not None:
            if one.engine in engines:
                one.lower_stamp(self.since.position(one.engine))
            one = one.parent
