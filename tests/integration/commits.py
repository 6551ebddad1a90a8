"""What has been committed to a database, and when, in memory that several processes share.

Each write of a row raises its *version* and leaves a *token* there that no other write leaves. So
whoever reads a row can look up who wrote what he sees, and whether that was ever committed. Of a
commit it is known when it was begun and when it had returned; the database made it visible at some
moment between the two.
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

ROWS = range(1, 7)
PARTS = {0: range(1, 4), 1: range(4, 7)}
"""Rows that are read, and written, together."""

ACTORS = 6
TOKENS = 1 << 18
"""Of one actor."""
VERSIONS = 1 << 16
"""Of one row."""

OPEN, COMMITTED, UNDONE = 1, 2, 3

Seen = Mapping[int, tuple[int, int]]
"""The version and token of each row."""


def part_of(row: int) -> int:
    return 0 if row in PARTS[0] else 1


class Commits:
    """Moments are readings of CLOCK_MONOTONIC, which is one clock for all processes of the host.
    Aligned eight-byte loads and stores are atomic, and each cell has one writer."""

    def __init__(self, path: Path) -> None:
        tokens, versions = ACTORS * TOKENS, (len(ROWS) + 1) * VERSIONS
        with path.open("a+b") as file:
            size = 8 * (3 * tokens + versions + 1)
            if file.tell() < size:
                file.truncate(size)
            view = memoryview(mmap.mmap(file.fileno(), size))
        self._state = view[: 8 * tokens].cast("q")
        self._begun = view[8 * tokens : 16 * tokens].cast("d")
        self._returned = view[16 * tokens : 24 * tokens].cast("d")
        self._written_by = view[24 * tokens : -8].cast("q")
        self._over = view[-8:].cast("q")

    @property
    def over(self) -> bool:
        """Whether there is no need to go on."""
        return bool(self._over[0])

    def end(self) -> None:
        """Tell every process that there is no need to go on."""
        self._over[0] = 1

    def open(self, token: int) -> None:
        """Somebody is about to write it."""
        self._state[token] = OPEN

    def undone(self, tokens: Iterable[int]) -> None:
        """They will never be seen by anybody, apart from those who have written them."""
        for token in tokens:
            self._state[token] = UNDONE

    def committing(self, tokens: Iterable[int]) -> None:
        """From now on others may see them."""
        for token in tokens:
            self._begun[token] = time.monotonic()
            self._state[token] = COMMITTED

    def returned(self, rows: Seen) -> None:
        """From now on others must see them, or what came later."""
        for row, (version, token) in rows.items():
            self._returned[token] = time.monotonic()
            self._written_by[row * VERSIONS + version] = token

    def _outdated(self, row: int, version: int) -> list[int]:
        """The tokens that were left in ``row`` after ``version``, by commits that have returned."""
        # The next one may have returned, or been scheduled, later than those after it.
        first = row * VERSIONS + version + 1
        found, end = [], first + 2 * ACTORS
        while first < end:
            token = self._written_by[first]
            if token:
                found.append(token)
                end = first + 2 * ACTORS
            first += 1
        return found

    def objection(
        self, seen: Seen, asked: float, allowed: float, own: Collection[int], torn: bool = False
    ) -> str | None:
        """Why the database cannot have said ``seen`` in one answer to a question ``asked`` then.

        It may be older by ``allowed`` seconds, apart from what the actors ``own`` have written, who
        are in the process that asked. ``torn``: the rows need not be of one moment.
        """
        since, until, about = -math.inf, math.inf, ""
        for row, (version, token) in seen.items():
            if token:
                if self._state[token] != COMMITTED:
                    what = "undone" if self._state[token] == UNDONE else "not committed"
                    return f"row {row}: version {version} by {token // TOKENS} is {what}"
                if self._begun[token] > since:
                    since, about = self._begun[token], f"version {version} of row {row}"
            for later in self._outdated(row, version):
                lag = asked - self._returned[later]
                if lag > (0.0 if later // TOKENS in own else allowed):
                    return (
                        f"row {row}: version {version} by {token // TOKENS}, outdated by "
                        f"{later // TOKENS} {lag * 1000:.3f} ms before it was asked for"
                    )
                until = min(until, self._returned[later])
        if since > until and not torn:
            return f"{seen}: {about} is {(since - until) * 1000:.3f} ms newer than another is old"
        return None

    def unlike(
        self, seen: Seen, shown: Seen, asked: float, allowed: float, own: Collection[int]
    ) -> str | None:
        """Why ``seen`` is too new for a transaction that is ``shown`` these rows by the database.

        A commit of another process that had not returned when it was asked for is not told of yet.
        """
        for row, (version, token) in seen.items():
            if version > shown[row][0]:
                returned = self._returned[token]
                if token // TOKENS in own or (returned and asked - returned > allowed):
                    return (
                        f"row {row}: version {version} by {token // TOKENS}, in a snapshot with "
                        f"version {shown[row][0]}"
                    )
        return None

    @staticmethod
    def gone_back(seen: Seen, shown: Seen, own: Collection[int]) -> str | None:
        """Why ``seen`` is too old for those whom the database has ``shown`` these rows before.

        What a commit of this process has made visible is nowhere in this process hidden again.
        """
        for row, (version, token) in seen.items():
            newer, by = shown[row]
            if version < newer and by // TOKENS in own:
                return (
                    f"row {row}: version {version} by {token // TOKENS}, after the database had "
                    f"shown version {newer} by {by // TOKENS}"
                )
        return None
