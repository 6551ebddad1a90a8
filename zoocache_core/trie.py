"""The PrefixTrie: which tags were invalidated, and at which number.

Tags are paths (``org:1:user:42``). A node keeps the number of the last invalidation of exactly its
tag (``number``), the highest number at or below it (``highest``, which answers wildcard deps) and
a ``floor`` that stands in for children that were pruned. Only invalidated tags have nodes, so the
size follows the invalidations and not the number of cached entries, and ``invalidate`` of a branch
costs its depth.

Reading takes no lock. That is sound because every writer publishes in the same order: numbers on
the nodes first, then ``position``, then ``epoch``. A reader that sees an epoch sees every number
that belongs to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from zoocache_core.doubts import concerned
from zoocache_core.globs import GLOBS, Globs, pattern_of

__all__ = ["CALLS", "Node", "PrefixTrie"]

CALLS = "="
"""First segment of the internal tags that stand for cached calls (``=:<key>``). It is not a legal
character of a user's tag, so the two can never meet; they are kept in a tree of their own, which
wildcard deps and floors of the user's tags do not reach."""

_LEAF: dict[str, Node] = {}
"""Shared by all nodes without children; never written to."""


_PATHS = 4096
"""Paths remembered, so that invalidating a tag again need not walk to it."""


class Node:
    """One segment of a tag that was invalidated, or lies on the path to one."""

    __slots__ = ("children", "floor", "highest", "number", "touched")

    def __init__(self, floor: int, touched: float) -> None:
        # A node that is (re)created below a pruned parent may have had any number up to the
        # parent's floor, so it starts there.
        self.number = floor
        self.highest = floor
        self.floor = floor
        self.touched = touched
        self.children = _LEAF


class PrefixTrie:
    """Numbers of invalidated tags, and the verdict on entries that depend on them.

    ``position``: every invalidation numbered up to here has been applied. It is what a computation
    that starts now takes as its stamp. ``epoch`` changes whenever a verdict may change; an entry
    judged valid in the current epoch needs no second look. ``lock`` is held by writers.
    ``watchers`` are called just before the position moves.
    """

    __slots__ = (
        "_doubts",
        "calls",
        "epoch",
        "globs",
        "lock",
        "paths",
        "position",
        "root",
        "watchers",
    )

    def __init__(self) -> None:
        self.root = Node(0, 0.0)
        self.calls = Node(0, 0.0)
        self.globs: Globs | None = None
        self.position = 0
        self.epoch = 0
        self.lock = threading.RLock()
        self.watchers: tuple[Callable[[], None], ...] = ()
        self._doubts: dict[str, int] = {}
        # The paths of tags that are invalidated again and again. Emptied whenever a node is
        # dropped, since a path must never lead to a node that is no longer in the tree.
        self.paths: dict[str, tuple[Node, ...]] = {}

    def mark(self, number: int, tags: Iterable[str], now: float) -> None:
        """Record that ``tags`` were invalidated at ``number``. ``""`` is the root: everything.

        Marking is idempotent and order does not matter, so a number that arrives twice or late is
        harmless. The caller holds ``lock`` and calls :meth:`advance` afterwards.
        """
        for tag in tags:
            path = self.path(tag, now)
            for node in path:
                node.touched = now
                if number > node.highest:
                    node.highest = number
            if number > node.number:
                node.number = number

    def path(self, tag: str, now: float) -> tuple[Node, ...]:
        """The nodes from the root to ``tag``, made where there are none. Holds ``lock``."""
        found = self.paths.get(tag)
        if found is not None:
            return found
        parent, _, segment = tag.rpartition(":")
        # Rows are inserted below what has been written before.
        above = self.paths.get(parent) if parent else None
        if above is None or above[0] is self.calls:
            return self._walk(tag, now)
        node = above[-1]
        child = node.children.get(segment)
        if child is None:
            found = (*above, self._grow(node, segment, now))
        else:
            found = self._remember(tag, (*above, child))
        return found

    def _walk(self, tag: str, now: float) -> tuple[Node, ...]:
        node, segments = self._start(tag)
        path = [node]
        new = False
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                new = True
                child = self._grow(node, segment, now)
            path.append(child)
            node = child
        if path[0] is self.calls:
            if (pattern := pattern_of(tag)) is not None:
                self._all_globs().add(pattern, node)
        elif len(path) > 2:
            self._remember(tag.rpartition(":")[0], tuple(path[:-1]))
        found = tuple(path)
        # The second time: many tags, such as those of rows that are inserted, never come again.
        return found if new else self._remember(tag, found)

    @staticmethod
    def _grow(node: Node, segment: str, now: float) -> Node:
        child = Node(node.floor, now)
        if node.children is _LEAF:
            node.children = {segment: child}
        else:
            node.children[segment] = child
        return child

    def _remember(self, tag: str, path: tuple[Node, ...]) -> tuple[Node, ...]:
        if len(self.paths) >= _PATHS:
            self.paths.clear()
        self.paths[tag] = path
        return path

    def _all_globs(self) -> Globs:
        if self.globs is None:
            self.globs = Globs()
        return self.globs

    def _start(self, tag: str) -> tuple[Node, list[str]]:
        """The tree that ``tag`` belongs to, and the segments to walk in it."""
        segments = tag.split(":") if tag else []
        if segments and segments[0] == CALLS:
            return self.calls, segments[1:]
        return self.root, segments

    def raise_floor(self, tag: str, number: int, now: float) -> None:
        """Require stamps of at least ``number`` where a path ends at a missing child of ``tag``.

        Used when tag numbers that were pruned elsewhere are loaded. The caller holds ``lock``.
        """
        for node in self.path(tag, now):
            node.highest = max(node.highest, number)
        node.floor = max(node.floor, number)
        if tag in (CALLS, f"{CALLS}:{GLOBS}"):
            globs = self._all_globs()
            globs.floor = max(globs.floor, number)

    def advance(self, position: int) -> None:
        """Declare that every number up to ``position`` has been marked. Holds ``lock``."""
        for moving in self.watchers:
            moving()
        if position > self.position:
            self.position = position
        self.epoch += 1

    def restart(self, position: int) -> None:
        """Forget every number and begin anew at ``position``. Holds ``lock``.

        For a sequence whose history broke (another server, an older state). Entries of the old
        history must not be judged by the new numbers: the caller drops or outdates them.
        """
        self.root = Node(0, 0.0)
        self.calls = Node(0, 0.0)
        self.globs = None
        self.paths.clear()
        for moving in self.watchers:
            moving()
        self.position = position
        self.epoch += 1

    def adopt(self, newer: PrefixTrie) -> None:
        """Take over the numbers and the position of ``newer``, which covers more. Holds ``lock``.

        For a sequence whose log no longer reaches back to this position. ``newer`` is complete
        before it takes over, so that no reader ever judges by half of it.
        """
        self.root = newer.root
        self.calls = newer.calls
        self.globs = newer.globs
        self.paths = {}
        for moving in self.watchers:
            moving()
        self.position = newer.position
        self.epoch += 1

    def valid(self, deps: Iterable[str], stamp: int, key: str | None = None) -> bool:
        """Whether nothing that ``deps`` name was invalidated after ``stamp``.

        ``key`` is the entry's own key: the call it stands for may have been invalidated by itself.
        Cost: the depth of each dep, or nothing when no number at all is above the stamp.
        """
        root, calls = self.root, self.calls
        if self._doubts:
            paths = deps if key is None else (*deps, f"{CALLS}:{key}")
            if concerned(paths, key, self._doubts):
                return False
        if root.highest <= stamp and calls.highest <= stamp:
            return True
        if root.number > stamp:
            return False
        for dep in deps:
            segments = dep.split(":")
            node = root
            if segments[0] == CALLS:
                node = calls
                del segments[0]
            for segment in segments:
                child = node.children.get(segment)
                if child is None:
                    if (node.highest if segment == "*" else node.floor) > stamp:
                        return False
                    break
                node = child
                if node.number > stamp:
                    return False
        if key is not None and calls.highest > stamp:
            if self.globs is not None and self.globs.outdate(key, stamp):
                return False
            node = calls
            for segment in key.split(":"):
                child = node.children.get(segment)
                if child is None:
                    return node.floor <= stamp
                node = child
                if node.number > stamp:
                    return False
        return True

    def number_of(self, tag: str) -> int:
        """The number of the newest invalidation that reaches ``tag``: its own or an ancestor's."""
        node, segments = self._start(tag)
        number = max(self.root.number, node.number)
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                return max(number, node.floor)
            node = child
            number = max(number, node.number)
        return number

    def doubt(self, tags: Iterable[str]) -> None:
        """Treat every entry that depends on ``tags`` as invalid until :meth:`settle`.

        For invalidations whose number is not known yet: made while the authority is out of reach,
        or belonging to a database commit under way. Doubts are counted, so they may overlap.
        """
        with self.lock:
            for tag in tags:
                self._doubts[tag] = self._doubts.get(tag, 0) + 1
            self.epoch += 1

    def settle(self, tags: Iterable[str]) -> None:
        """Take back one :meth:`doubt` of each of ``tags``."""
        with self.lock:
            for tag in tags:
                left = self._doubts.get(tag, 0) - 1
                if left > 0:
                    self._doubts[tag] = left
                else:
                    self._doubts.pop(tag, None)
            self.epoch += 1

    def prune(self, before: float) -> list[tuple[str, int]]:
        """Drop branches not touched since ``before`` (clock seconds).

        Returns what was dropped: each branch's tag and the highest number in it. The parent's
        floor is raised to that number first, so that an entry which depended on a dropped tag
        needs a stamp at least as new; pruning may cost a miss, never a stale hit.
        """
        dropped: list[tuple[str, int]] = []
        with self.lock:
            self._prune(self.root, "", before, dropped)
            self._prune(self.calls, CALLS, before, dropped)
            if dropped:
                self.paths.clear()
                self._prune_globs(dropped)
                self.epoch += 1
        return dropped

    def _prune_globs(self, dropped: list[tuple[str, int]]) -> None:
        if self.globs is None:
            return
        branch = f"{CALLS}:{GLOBS}"
        numbers = [number for tag, number in dropped if f"{tag}:".startswith(f"{branch}:")]
        left = Globs()
        left.floor = max(self.globs.floor, *numbers, 0)
        if GLOBS in self.calls.children:
            for name, node in self.calls.children[GLOBS].children.items():
                left.add(pattern_of(f"{branch}:{name}") or "", node)
        self.globs = left

    def _prune(self, node: Node, path: str, before: float, dropped: list[tuple[str, int]]) -> None:
        for segment, child in list(node.children.items()):
            tag = f"{path}:{segment}" if path else segment
            if child.touched < before:
                node.floor = max(node.floor, child.highest)
                del node.children[segment]
                dropped.append((tag, child.highest))
            else:
                self._prune(child, tag, before, dropped)

    def __len__(self) -> int:
        """How many nodes there are, the roots not counted."""
        with self.lock:
            count, todo = -2, [self.root, self.calls]
            while todo:
                count += 1
                todo.extend(todo.pop().children.values())
            return count
