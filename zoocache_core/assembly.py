"""From settings to the parts of an engine: which storage and which sequence, chosen once.

Storages and buses are imported by the scheme of their URL on first use, so that an application pays
only for what it configures and a missing extra is reported with the command that installs it.
"""

from __future__ import annotations

from collections.abc import Callable

from zoocache_core.errors import ConfigurationError
from zoocache_core.extras import needs_extra
from zoocache_core.fastpaths import local_hit
from zoocache_core.lease import leased_hit
from zoocache_core.parts import Context, Parts
from zoocache_core.sequence.local import LocalSequence
from zoocache_core.storage.memory import MemoryStorage

__all__ = ["assemble"]


def _memory(context: Context) -> Parts:
    settings, trie, clock = context.settings, context.trie, context.settings.clock
    sliding, counts = settings.read_extend_ttl, context.report.counts
    storage = MemoryStorage(
        trie,
        clock,
        settings.max_entries,
        sliding,
        context.report.evicted,
        settings.cull_frequency,
        settings.verify_values,
    )
    if settings.bus_url is None:
        hit = local_hit(storage.peek, trie, clock, sliding, counts, context.guards)
        return Parts(storage, LocalSequence(trie, clock), local=True, hit=hit)
    with needs_extra("redis", "bus_url"):
        from zoocache_core.bus import connect_bus
    sequence, lease = connect_bus(context)
    hit = leased_hit(storage.peek, lease, trie, clock, sliding, counts, context.guards)
    return Parts(storage, sequence, local=False, hit=hit, position=sequence.position)


def _lmdb(context: Context) -> Parts:
    with needs_extra("lmdb", f"storage_url={_scheme(context)}://…"):
        from zoocache_core.storage.lmdb import build
    return build(context)


def _redis(context: Context) -> Parts:
    with needs_extra("redis", f"storage_url={_scheme(context)}://…"):
        from zoocache_core.redis.setup import build
    return build(context)


def _scheme(context: Context) -> str:
    # The rest of a URL may contain a password.
    return (context.settings.storage_url or "memory://").partition("://")[0].lower()


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
