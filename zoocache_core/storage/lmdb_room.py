"""How much room there is in the database of entries, in pages.

LMDB never overwrites a page that a reader may see: it writes a new one, and what becomes free can
be used by the next but one transaction. So removing an entry takes free pages too, and a database
that is really full can never be emptied again. Entries are therefore crowded out while there are
still enough free pages for transactions that remove some.
"""

from __future__ import annotations

from typing import Any

from zoocache_core.lmdb.database import Database
from zoocache_core.storage.lmdb_entries import PART_BYTES, Shelf

__all__ = ["Crowded", "Room"]

_META_PAGES = 2

_TREE_PAGES = 12
"""Pages of the tree that storing or removing an entry may write anew: leaves in its three parts,
the branches above them and the list of free pages."""

_LIVES = 4
"""How many transactions' worth of those are set aside: the last two's, which are not free yet, this
one's, and that of one which removes entries afterwards."""

_SPLIT = 2
"""Pages by which the tree may grow when an entry is stored."""

_PARTS_PER_LEAF = 40
"""At least so many parts are found through one page of the tree."""

_BREATH = 64
"""Pages that are freed at once beyond what is needed, so that not every write has to make room."""

_SHARE = 16
"""Neither this nor what one transaction removes is more than one part in so many of all."""

_LOOKS = 8
"""After using one part in so many of the free pages, this process counts them again; others may
have used as many meanwhile."""


class Crowded(Exception):  # noqa: N818 - an answer: remove entries, then try again
    """There are not enough free pages, or ``entries`` more entries than there should be."""

    def __init__(self, entries: int = 0) -> None:
        self.entries = entries


class Room:
    """What is known of the free pages of ``database``."""

    def __init__(self, database: Database) -> None:
        page = database.page_size
        self._pages = database.map_size // page - _META_PAGES
        self._small = page // 8
        # Pages of the tree are at least half full; smaller pages hold one part each.
        self._parts_per_page = max(page // (2 * PART_BYTES), 1)
        self._breath = min(_BREATH, self._pages // _SHARE)
        self.batch = min(max(self._pages // (_LIVES * _TREE_PAGES * _SHARE), 1), 64)
        """How many entries one transaction may write or remove."""
        self._free = 0
        self._used = 0

    def pages_for(self, length: int) -> int:
        """How many pages of its own, or new pages of the tree, a record may take."""
        if length < self._small:
            return 1
        parts = length // PART_BYTES + 1
        return parts // self._parts_per_page + parts // _PARTS_PER_LEAF + 2

    def could_hold(self, pages: int) -> bool:
        """Whether ``pages`` are no more than half of what there is room for when all is empty."""
        return pages <= max((self._pages - _LIVES * _TREE_PAGES - _SPLIT) // 2, 1)

    def ample(self) -> bool:
        """Whether a small record needs no :meth:`check`, so much was free when last counted."""
        self._used += 2
        return self._used * _LOOKS <= self._free

    def check(self, txn: Any, shelf: Shelf, pages: int, entries: int = 1) -> None:
        """See that there is room for ``entries`` entries that fill ``pages``.

        Raises:
            Crowded: there is none.
        """
        self._used += pages + entries
        if self._used * _LOOKS > self._free:
            self._free = self._count(txn, entries) - shelf.pending
            self._used = 0
            if self._free < pages:
                raise Crowded

    def entries_to_remove(self, txn: Any, shelf: Shelf, pages: int) -> int:
        """About how many entries have to go for ``pages`` to be free; 0 if none."""
        free = self._count(txn, self.batch)
        missing = pages - free
        if missing <= 0 or not shelf.count:
            return 0
        missing += self._breath
        return max(missing * shelf.count // (self._pages - free), 1)

    def _count(self, txn: Any, entries: int) -> int:
        """Free pages beyond those that are set aside for transactions on so many entries."""
        stat = txn.stat()
        tree = stat["branch_pages"] + stat["leaf_pages"]
        rewritten = min(tree + 1 + _SPLIT * entries, _TREE_PAGES * entries)
        aside = _LIVES * rewritten + _SPLIT * entries
        return int(self._pages - tree - stat["overflow_pages"] - aside)
