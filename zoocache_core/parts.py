"""What a storage and a sequence are made from, and what they come to, once they are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zoocache_core.fastpaths import Hit, no_hit
from zoocache_core.guards import Guards
from zoocache_core.reporting import Reporter
from zoocache_core.sequence.base import Sequence
from zoocache_core.settings import Settings
from zoocache_core.storage.base import Storage
from zoocache_core.trie import PrefixTrie

__all__ = ["Context", "Parts"]


@dataclass(frozen=True, slots=True)
class Context:
    """What every part is given: the settings, the trie to keep, whom to tell, and who may forbid a
    hit."""

    settings: Settings
    trie: PrefixTrie
    report: Reporter
    guards: Guards = field(default_factory=Guards)


@dataclass(frozen=True, slots=True)
class Parts:
    """A storage and the sequence that orders invalidations for it.

    ``local`` means that neither ever blocks nor lags: the storage is this process's memory and so
    is the authority. Others may bring a ``hit`` of their own (see ``fastpaths``), and ``position``,
    which answers without a round trip and may bring the trie up to date first.
    """

    storage: Storage
    sequence: Sequence
    local: bool
    hit: Hit = no_hit
    position: Callable[[], int] | None = None
