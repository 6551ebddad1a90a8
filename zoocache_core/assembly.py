"""From settings to the parts of an engine: which storage and which sequence, chosen once.

Storages and buses are imported by the scheme of their URL on first use, so that an application pays
only for what it configures and a missing extra is reported with the command that installs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zoocache_core.errors import ConfigurationError
from zoocache_core.events import Stats
from zoocache_core.sequence.base import Sequence
from zoocache_core.sequence.local import LocalSequence
from zoocache_core.settings import Settings
from zoocache_core.storage.base import Storage
from zoocache_core.storage.memory import MemoryStorage
from zoocache_core.trie import PrefixTrie

__all__ = ["Context", "Parts", "assemble"]


@dataclass(frozen=True, slots=True)
class Context:
    """What every part is given: the settings, the trie to keep, and whom to tell."""

    settings: Settings
    trie: PrefixTrie
    on_evict: Callable[[int], None]
    on_error: Callable[[str, BaseException], None]
    on_recovery: Callable[[str], None]
    counts: Stats


@dataclass(frozen=True, slots=True)
class Parts:
    """A storage and the sequence that orders invalidations for it.

    ``local`` means that neither ever blocks nor lags: the storage is this process's memory and so
    is the authority.
    """

    storage: Storage
    sequence: Sequence
    local: bool


def _memory(context: Context) -> Parts:
    settings = context.settings
    return Parts(
        MemoryStorage(
            context.trie,
            settings.clock,
            settings.max_entries,
            settings.read_extend_ttl,
            context.on_evict,
            settings.cull_frequency,
            settings.verify_values,
        ),
        LocalSequence(context.trie, settings.clock),
        local=True,
    )


_STORAGES: dict[str, Callable[[Context], Parts]] = {"memory": _memory}


def assemble(context: Context) -> Parts:
    """Make the parts that the settings ask for.

    Raises:
        ConfigurationError: a URL names a storage that there is not.
    """
    url = context.settings.storage_url or "memory://"
    scheme = url.partition("://")[0].lower()
    build = _STORAGES.get(scheme)
    if build is None:
        raise ConfigurationError(
            f"Option storage_url={url!r} names no storage that is supported: expected "
            f"{', '.join(f'{name}://' for name in _STORAGES)} or None for memory."
        )
    if context.settings.bus_url is not None:
        raise ConfigurationError(
            f"Option bus_url={context.settings.bus_url!r}: a bus is not supported yet. Leave it "
            "out; invalidations then reach this process only."
        )
    return build(context)
