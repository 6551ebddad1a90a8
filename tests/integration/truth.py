"""What is true, in memory that several processes share, and whether a cached answer agrees.

The data are *items*; every *writer* has a counter of its own in each item, so that any number of
processes write the same items without a lock. A write counts up, invalidates, and then notes when
the invalidation returned. An answer is a copy of an item's counters. It is stale if a counter in it
had been passed, and the invalidation that told so had returned, before the question was asked:
that, and nothing weaker or stronger, is what the cache promises.
"""

from __future__ import annotations

import mmap
import time
from dataclasses import dataclass
from pathlib import Path

Answer = tuple[int, ...]
"""The item's number, then the counter of each writer."""


@dataclass(frozen=True)
class Shape:
    items: int = 12
    group: int = 4
    """Items per group; a group is the unit of the larger reads and invalidations."""
    writers: int = 12
    writes: int = 8192
    """Room for this many writes of one writer to one item."""

    def group_of(self, item: int) -> int:
        return item // self.group

    def items_of(self, group: int) -> range:
        return range(group * self.group, (group + 1) * self.group)

    @property
    def groups(self) -> int:
        return self.items // self.group


class Truth:
    """The shared counters, and the moments at which invalidations returned.

    Moments are readings of CLOCK_MONOTONIC, which is one clock for all processes of the host.
    Aligned eight-byte loads and stores are atomic, and each cell has one writer.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        self.shape = shape
        cells = shape.items * shape.writers
        size = 8 * cells * (1 + shape.writes)
        with path.open("a+b") as file:
            if file.tell() < size:
                file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        view = memoryview(self._memory)
        self._counters = view[: 8 * cells].cast("q")
        self._returned = view[8 * cells :].cast("d")

    def read(self, item: int) -> Answer:
        first = item * self.shape.writers
        return (item, *self._counters[first : first + self.shape.writers])

    def write(self, item: int, writer: int) -> int:
        """Count up; the new count is what :meth:`note_returned` is told later."""
        cell = item * self.shape.writers + writer
        count = self._counters[cell] + 1
        if count >= self.shape.writes:
            raise OverflowError(f"writer {writer} has written item {item} {count} times")
        self._counters[cell] = count
        return count

    def note_returned(self, item: int, writer: int, count: int) -> None:
        """The invalidation that followed write number ``count`` has returned."""
        cell = item * self.shape.writers + writer
        self._returned[cell * self.shape.writes + count] = time.monotonic()

    def staleness(self, answer: Answer, writer: int, asked: float) -> float:
        """For how long the answer had been outdated by ``writer`` when it was ``asked`` for."""
        item, count = answer[0], answer[1 + writer]
        cell = item * self.shape.writers + writer
        worst = 0.0
        for later in range(count + 1, self._counters[cell] + 1):
            moment = self._returned[cell * self.shape.writes + later]
            if moment and asked - moment > worst:
                worst = asked - moment
        return worst

    def objection(
        self, item: int, answer: object, asked: float, allowed: float, own: range
    ) -> str | None:
        """What is wrong with ``answer`` to a question about ``item``, or ``None``.

        It may lag by ``allowed`` seconds behind writers other than ``own``, which are those of the
        asking process.
        """
        now = self.read(item)
        if type(answer) is not tuple or len(answer) != len(now) or answer[0] != item:
            return f"asked for item {item}, got {answer!r}"
        for writer in range(self.shape.writers):
            if answer[1 + writer] > now[1 + writer]:
                return f"item {item}: writer {writer} is at {now[1 + writer]}, got {answer!r}"
            lag = self.staleness(answer, writer, asked)
            if lag > (0.0 if writer in own else allowed):
                return (
                    f"item {item}: write {answer[1 + writer] + 1} of writer {writer} was announced "
                    f"{lag * 1000:.3f} ms before the read began, got {answer!r}"
                )
        return None
