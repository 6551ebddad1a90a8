"""The file ``control`` of a cache directory: whose the databases are, and whether to trust them.

Every process that uses the directory keeps a shared lock on this file. Whoever gets the exclusive
lock is therefore alone, and only then is anything changed or removed: databases from before the
last boot, or of a larger size than is now wanted.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path

import msgspec

from zoocache_core.errors import ConfigurationError
from zoocache_core.lmdb import host

__all__ = ["DATABASES", "Terms", "agree"]

DATABASES = ("entries.mdb", "tags.mdb")

_FORMAT = 1
_BYTES = 1024
_PATIENCE = 10.0
_PAUSE = 0.002


class Terms(msgspec.Struct, frozen=True):
    """What all processes that share a directory agree on.

    ``lineage`` names the history that the databases belong to; it is drawn anew whenever they are
    made anew. ``origin`` is the number before the first of that history: milliseconds since the
    epoch, so that numbers keep increasing from one history to the next. ``authority`` says who
    numbers invalidations: entries numbered by one mean nothing to another. ``map_size`` is the size
    that was ``wanted``, or what the disk has room for.
    """

    format: int
    boot: str | None
    prefix: str | None
    authority: str
    wanted: int
    map_size: int
    lineage: str
    origin: int


_UNREADABLE = Terms(0, None, None, "", 0, 0, "", 0)


def agree(
    directory: Path, boot: str | None, prefix: str | None, authority: str, map_size: int
) -> tuple[int, Terms]:
    """Join the processes that use ``directory``: the locked descriptor, and the terms in force.

    Raises:
        ConfigurationError: the directory is used by others on other terms, or holds files that
            are not this library's; nothing has been changed then.
        OSError: the directory cannot be used.
    """
    _refuse_foreign(directory)
    descriptor = os.open(directory / "control", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _lock(descriptor, fcntl.LOCK_EX):
            _set_terms(descriptor, directory, boot, prefix, authority, map_size)
        _share(descriptor, directory)
        terms = _read(descriptor)
        _compare(directory, terms, boot, prefix, authority)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, terms


def _share(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _lock(descriptor, fcntl.LOCK_SH):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"{directory} is being set up by another process that does not get on. It may have "
                "been stopped; end it, or use another directory."
            )
        time.sleep(_PAUSE)


_LEFT_ALONE = (
    "Nothing has been changed. Remove the directory if it holds nothing but this cache, or let "
    "storage_url name another one."
)


def _refuse_foreign(directory: Path) -> None:
    if (directory / "data.mdb").exists():
        raise ConfigurationError(
            f"{directory} holds an LMDB environment (data.mdb) of another program. {_LEFT_ALONE}"
        )


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Terms:
    """The terms in force; some that nobody can agree to if the file cannot be read."""
    try:
        terms = msgspec.json.decode(os.pread(descriptor, _BYTES, 0), type=Terms)
    except msgspec.DecodeError:
        return _UNREADABLE
    return terms if terms.format == _FORMAT else _UNREADABLE


def _set_terms(
    descriptor: int,
    directory: Path,
    boot: str | None,
    prefix: str | None,
    authority: str,
    map_size: int,
) -> None:
    """Being alone: make the directory fit for use on these terms."""
    present = [name for name in DATABASES if (directory / name).exists()]
    old = _read(descriptor)
    if present and old is _UNREADABLE:
        raise ConfigurationError(
            f"{directory} holds {' and '.join(present)}, but its file 'control' is missing, "
            f"damaged or of another version. {_LEFT_ALONE}"
        )
    if present and old.prefix != prefix:
        raise _other_prefix(directory, old.prefix, prefix)
    kept = bool(present) and boot is not None and (old.boot, old.authority) == (boot, authority)
    if not kept:
        # Before the new terms are written: a process that dies between the two leaves nothing
        # behind that the terms do not fit.
        _remove(directory, DATABASES)
    elif map_size < old.map_size:
        _remove(directory, DATABASES[:1])
    # A map that the disk cannot hold would fill it, and then take in nothing new ever after.
    room = max(host.free_bytes(directory), old.map_size if kept else 0)
    terms = Terms(
        format=_FORMAT,
        boot=boot,
        prefix=prefix,
        authority=authority,
        wanted=map_size,
        map_size=min(map_size, room),
        lineage=old.lineage if kept else secrets.token_hex(8),
        origin=old.origin if kept else time.time_ns() // 1_000_000,
    )
    if terms != old:
        # All of it at once and always as long, so that no process which dies leaves half of it.
        os.pwrite(descriptor, msgspec.json.encode(terms).ljust(_BYTES), 0)
        # The boot id has to be on disk before any page of the databases can be.
        os.fsync(descriptor)


def _remove(directory: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (directory / name).unlink(missing_ok=True)
        (directory / f"{name}-lock").unlink(missing_ok=True)


def _compare(
    directory: Path, terms: Terms, boot: str | None, prefix: str | None, authority: str
) -> None:
    if terms is _UNREADABLE:
        raise ConfigurationError(f"{directory / 'control'} cannot be read. {_LEFT_ALONE}")
    if terms.prefix != prefix:
        raise _other_prefix(directory, terms.prefix, prefix)
    if terms.boot != boot:
        raise ConfigurationError(
            f"{directory} is in use by another host, or by a container that does not share this "
            "one's kernel. LMDB works within one host only; give each its own directory, or use "
            "storage_url='redis://...'."
        )
    if terms.authority != authority:
        raise ConfigurationError(
            f"{directory} is in use with invalidations numbered by {terms.authority}, not by "
            f"{authority}. All processes that share a directory need the same bus_url; restart "
            "the others, or use another directory."
        )


def _other_prefix(directory: Path, theirs: str | None, ours: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{directory} belongs to prefix={theirs!r}, not {ours!r}; the file system may not tell "
        "capital letters from small ones. Use another prefix or another directory."
    )
