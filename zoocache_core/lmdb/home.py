"""The directory of a cache and its two databases, opened once in a process and shared.

=================  =========================================================================
file
=================  =========================================================================
``control``        the terms of use, see ``control``
``entries.mdb``    cached values, see ``storage.lmdb_entries``
``tags.mdb``       invalidations, see ``sequence.lmdb_tags``
``*.mdb-lock``     LMDB's own: its readers and its writer lock
``*.gate``         who may write, see ``gate``
``leases``         who computes a missing key, see ``storage.file_leases``
=================  =========================================================================

A prefix has a directory of its own, ``prefix-<name>``, so that nothing which happens under one
prefix (clearing, filling up, a long write) is felt under another.

Invalidations have a database of their own so that they can always be written: it cannot be filled
by values, and whoever writes values, however large, does not hold up an invalidation.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from zoocache_core.errors import ConfigurationError
from zoocache_core.lmdb import host
from zoocache_core.lmdb.control import Terms, agree
from zoocache_core.lmdb.database import Database, NoRoom, Unreadable
from zoocache_core.settings import Settings
from zoocache_core.storage.base import StorageUnavailable

__all__ = ["LOCAL_AUTHORITY", "Home", "directory_of", "open_home"]

LOCAL_AUTHORITY = "lmdb"
"""Says that invalidations are numbered by the directory itself, and not by a bus."""

_log = logging.getLogger("zoocache")

_TAG_SHARE = 8
"""The database of tags gets one part in so many of the map size."""

_LEAST_PAGES = 64
"""No database has fewer pages: with less, LMDB cannot be kept from filling up for good. For a map
size below that of two such databases, the rest is overhead; the room for entries stays below it."""

_registry: dict[tuple[int, int], Home] = {}
_registry_lock = threading.RLock()


class Home:
    """A cache directory in use by this process. ``users`` says how often it was opened.

    ``map_size`` is what this process was configured with; ``terms.map_size`` is what holds.
    ``renewed`` are called when the directory has been made anew, see :meth:`renew`.
    """

    def __init__(self, directory: Path, identity: tuple[int, int], terms: Terms, lock: int) -> None:
        self.directory = directory
        self.terms = terms
        self.users = 1
        self.map_size = terms.wanted
        self.renewed: list[Callable[[], None]] = []
        self._identity = identity
        self._control = directory / "control"
        self._descriptor = lock
        self._pid = os.getpid()
        lineage, (entries, tags) = terms.lineage.encode(), _sizes(terms)
        self.entries = Database(directory / "entries.mdb", entries, lineage, self._admit)
        self.tags = Database(directory / "tags.mdb", tags, lineage, self._admit)
        self.fork_guard = _ForkGuard(self.entries, self.tags)

    def open(self) -> None:
        """Open both databases, or make them."""
        for database in (self.entries, self.tags):
            database.open(first=True)

    def lost(self) -> bool:
        """Whether somebody has removed the directory, or what is in it."""
        mine = os.fstat(self._descriptor)
        try:
            found = self._control.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)

    def _admit(self) -> None:
        if self.lost():
            raise FileNotFoundError(f"{self.directory} has been removed")

    def renew(self) -> None:
        """Begin anew where the directory was removed, together with those who come later.

        Without that, this process would go on in files that nobody else can find, and neither hear
        of invalidations nor be heard.

        Raises:
            ConfigurationError, OSError: the directory cannot be used.
        """
        with _registry_lock:
            if not self.lost():
                return
            databases = (self.entries, self.tags)
            for database in databases:
                database.hold()
            try:
                for database in databases:
                    database.suspend()
                self._agree_anew()
                for database, size in zip(databases, _sizes(self.terms), strict=True):
                    database.move(size, self.terms.lineage.encode())
                for forget in self.renewed:
                    forget()
            finally:
                for database in databases:
                    database.release()
            self.open()
        _log.warning("%s has been removed; what was cached is lost.", self.directory)

    def renew_if_lost(self) -> None:
        """:meth:`renew` where that is needed.

        Raises:
            StorageUnavailable: it is needed and cannot be done.
        """
        if self.lost():
            try:
                self.renew()
            except (ConfigurationError, OSError, NoRoom, Unreadable) as error:
                raise StorageUnavailable(f"{self.directory} is lost: {error}") from error

    def _agree_anew(self) -> None:
        old = self.terms
        _make_private(self.directory)
        lock, self.terms = agree(
            self.directory, host.boot_id(), old.prefix, old.authority, self.map_size
        )
        os.close(self._descriptor)
        self._descriptor = lock
        del _registry[self._identity]
        found = self.directory.stat()
        self._identity = found.st_dev, found.st_ino
        _registry[self._identity] = self

    def close(self) -> None:
        """Close the databases when the last user has done so."""
        with _registry_lock:
            self.users -= 1
            if self.users:
                return
            del _registry[self._identity]
            for database in (self.entries, self.tags):
                database.hold()
                try:
                    database.close()
                finally:
                    database.release()
            # Only now may others find themselves alone with the files.
            os.close(self._descriptor)

    def after_fork(self) -> None:
        """In a forked child: let go of what is the parent's. Databases open again when used."""
        pid = os.getpid()
        if pid == self._pid:
            return
        self._pid = pid
        for database in (self.entries, self.tags):
            # Closed before the fork, unless a server written in C forked without telling Python.
            # Then this frees the slots of the parent's read transactions as well. Such a parent
            # serves no requests itself, and gets new slots when it reads again.
            database.suspend()
            database.gate.close()


class _ForkGuard:
    """A lock to hold across a fork, with which the databases are closed until they are next used.

    An LMDB environment must not be used in a child, nor can py-lmdb be made to let go of it there
    without freeing the parent's slots in the table of readers. So nobody has one across a fork.
    """

    def __init__(self, *databases: Database) -> None:
        self._databases = databases
        # Several engines may share a home, and each of them brings the guard.
        self._lock = threading.RLock()
        self._depth = 0

    def acquire(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            for database in self._databases:
                database.hold()
                database.suspend()

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            for database in self._databases:
                database.release()
        self._lock.release()


def _sizes(terms: Terms) -> tuple[int, int]:
    """How many bytes the databases of entries and of tags may grow to."""
    page = os.sysconf("SC_PAGE_SIZE")
    pages = max(terms.map_size // page, 2 * _LEAST_PAGES)
    tag_pages = max(pages // _TAG_SHARE, _LEAST_PAGES)
    return (pages - tag_pages) * page, tag_pages * page


def directory_of(storage_url: str, prefix: str | None) -> Path:
    """The directory that ``lmdb://<path>`` and a prefix stand for.

    Raises:
        ConfigurationError: the URL has no path, or options, which are settings of their own.
    """
    path = storage_url.partition("://")[2]
    if "?" in path or "#" in path:
        raise ConfigurationError(
            f"Option storage_url={storage_url!r} has options in the URL: expected lmdb:// and a "
            "path without '?' and '#'. Give them as settings instead, such as lmdb_map_size=…."
        )
    if not path:
        raise ConfigurationError(
            f"Option storage_url={storage_url!r} names no directory: expected lmdb:// and a path, "
            "such as 'lmdb://./cache_db' or 'lmdb:///var/cache/myapp'."
        )
    root = Path(path).expanduser()
    if prefix is None:
        return root
    name = prefix.replace(":", "%3A")
    if len(name) > 200:
        name = hashlib.sha256(prefix.encode()).hexdigest()
    return root / f"prefix-{name}"


def open_home(settings: Settings, authority: str) -> Home:
    """The home that ``storage_url`` and ``prefix`` name; the open one, if this process has one.

    ``authority`` says who numbers the invalidations.

    Raises:
        ConfigurationError: the directory cannot be used; the message says why.
    """
    storage_url, prefix, map_size = settings.storage_url, settings.prefix, settings.lmdb_map_size
    directory = directory_of(storage_url or "", prefix)
    with _registry_lock:
        try:
            _make_private(directory.parent if prefix is not None else directory)
            _make_private(directory)
            found = directory.stat()
            identity = (found.st_dev, found.st_ino)
            home = _registry.get(identity)
            if home is not None:
                _same_terms(home, prefix, map_size, authority)
                home.users += 1
                return home
            lock, terms = agree(directory, host.boot_id(), prefix, authority, map_size)
            home = Home(directory, identity, terms, lock)
            _registry[identity] = home
            try:
                home.open()
            except BaseException:
                home.close()
                raise
        except (Unreadable, StorageUnavailable) as error:
            raise ConfigurationError(
                f"Option storage_url={storage_url!r}: {error}. Nothing has been changed. Remove "
                f"{directory} if it holds nothing but this cache, or name another directory."
            ) from error
        except (OSError, NoRoom) as error:
            raise ConfigurationError(
                f"Option storage_url={storage_url!r}: the directory cannot be used: {error}."
            ) from error
    home.map_size = map_size
    if terms.wanted != map_size:
        _log.warning(
            "lmdb_map_size=%d takes effect when no process uses %s any more; until then it is %d.",
            map_size,
            directory,
            terms.map_size,
        )
    elif terms.map_size < map_size:
        _log.warning(
            "lmdb_map_size=%d is more than the disk of %s has room for; it is %d now.",
            map_size,
            directory,
            terms.map_size,
        )
    return home


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _same_terms(home: Home, prefix: str | None, map_size: int, authority: str) -> None:
    terms = home.terms
    for name, theirs, ours in (
        ("prefix", terms.prefix, prefix),
        ("lmdb_map_size", home.map_size, map_size),
        ("authority", terms.authority, authority),
    ):
        if theirs != ours:
            raise ConfigurationError(
                f"{home.directory} is open in this process with {name}={theirs!r}, not {ours!r}. "
                "Engines that share a directory need equal settings of it."
            )
