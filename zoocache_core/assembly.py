"""From settings to the parts of an engine: which storage and which sequence, chosen once.

Storages and buses are imported by the scheme of their URL on first use, so that an application pays
only for what it configures and a missing extra is reported with the command that installs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoocache_core.errors import ConfigurationError
from zoocache_core.events import Stats
from zoocache_core.fastpaths import Hit, local_hit, no_hit
from zoocache_core.lease import Lease, leased_hit
from zoocache_core.sequence.base import Sequence
from zoocache_core.sequence.local import LocalSequence
from zoocache_core.settings import Settings
from zoocache_core.storage.base import Storage
from zoocache_core.storage.memory import MemoryStorage
from zoocache_core.trie import PrefixTrie

if TYPE_CHECKING:
    from zoocache_core.sequence.bus import BusSequence

__all__ = ["Context", "Parts", "assemble", "bus"]


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
    is the authority. Others may bring a ``hit`` of their own (see ``fastpaths``), and ``position``,
    which answers without a round trip and may bring the trie up to date first.
    """

    storage: Storage
    sequence: Sequence
    local: bool
    hit: Hit = no_hit
    position: Callable[[], int] | None = None


def _memory(context: Context) -> Parts:
    settings, trie, clock = context.settings, context.trie, context.settings.clock
    sliding, counts = settings.read_extend_ttl, context.counts
    storage = MemoryStorage(
        trie,
        clock,
        settings.max_entries,
        sliding,
        context.on_evict,
        settings.cull_frequency,
        settings.verify_values,
    )
    if settings.bus_url is None:
        hit = local_hit(storage.peek, trie, clock, sliding, counts)
        return Parts(storage, LocalSequence(trie, clock), local=True, hit=hit)
    sequence, lease = bus(context)
    hit = leased_hit(storage.peek, lease, trie, clock, sliding, counts)
    return Parts(storage, sequence, local=False, hit=hit, position=sequence.position)


def bus(context: Context) -> tuple[BusSequence, Lease]:
    """The sequence that ``bus_url`` asks for, and the lease under which it may be relied upon.

    Raises:
        ConfigurationError: the URL is not understood, or the package for it is missing.
    """
    try:
        from zoocache_core.bus import connect_bus
    except ModuleNotFoundError as error:
        if error.name not in ("redis", "hiredis"):
            raise
        raise ConfigurationError(
            "Option bus_url needs a package that is not installed. Install it with: "
            'pip install "zoocache-frameworks[redis]"'
        ) from error
    return connect_bus(context)


def _lmdb(context: Context) -> Parts:
    try:
        from zoocache_core.storage.lmdb import build
    except ModuleNotFoundError as error:
        if error.name != "lmdb":
            raise
        raise _not_installed(context, "lmdb") from error
    return build(context)


def _redis(context: Context) -> Parts:
    try:
        from zoocache_core.redis.setup import build
    except ModuleNotFoundError as error:
        if error.name not in ("redis", "hiredis"):
            raise
        raise _not_installed(context, "redis") from error
    return build(context)


def _scheme(context: Context) -> str:
    # The rest of a URL may contain a password.
    return (context.settings.storage_url or "memory://").partition("://")[0].lower()


def _not_installed(context: Context, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"Option storage_url={_scheme(context)}://… needs a package that is not "
        f'installed. Install it with: pip install "zoocache-frameworks[{extra}]"'
    )


_STORAGES: dict[str, Callable[[Context], Parts]] = {
    "memory": _memory,
    "lmdb": _lmdb,
    **dict.fromkeys(("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"), _redis),
}


def assemble(context: Context) -> Parts:
    """Make the parts that the settings ask for.

    Raises:
        ConfigurationError: a URL names a storage that there is not.
    """
    scheme = _scheme(context)
    build = _STORAGES.get(scheme)
    if build is None:
        raise ConfigurationError(
            f"Option storage_url='{scheme}://…' names no storage that is supported: expected "
            f"{', '.join(f'{name}://' for name in _STORAGES)} or None for memory."
        )
    return build(context)
