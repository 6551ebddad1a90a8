"""A full disk: nothing is written where there may be no block, for that would end the process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoocache_core import Engine, StorageIsFull
from zoocache_core.lmdb import database
from zoocache_core.storage.lmdb import LmdbStorage


class Disk:
    """Stands in for ``posix_fallocate``; has room for ``size`` more bytes."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.allocated: dict[int, int] = {}

    def allocate(self, descriptor: int, offset: int, length: int) -> None:
        file = os.fstat(descriptor).st_ino
        more = offset + length - self.allocated.get(file, 0)
        if more > self.size:
            raise OSError(errno.ENOSPC, "no space left on this disk")
        if more > 0:
            self.size -= more
            self.allocated[file] = offset + length

    def holds(self, engine: Engine) -> bool:
        """Whether all pages in use have been allocated."""
        storage = engine.storage
        assert isinstance(storage, LmdbStorage)
        home = storage._home
        return all(
            (opened._environment.info()["last_pgno"] + 1) * opened.page_size
            <= self.allocated.get(opened.path.stat().st_ino, 0)
            for opened in (home.entries, home.tags)
        )


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(24 << 20)
    monkeypatch.setattr(os, "posix_fallocate", made.allocate)
    monkeypatch.setattr(database, "keeps_allocated_blocks", lambda path: True)
    return made


@pytest.fixture
def engine(tmp_path: Path, disk: Disk) -> Iterator[Engine]:
    engine = Engine(
        storage_url=f"lmdb://{tmp_path}/cache", lmdb_map_size=1 << 27, compress_min_bytes=None
    )
    yield engine
    engine.reset()


def test_blocks_are_there_before_anything_is_written(engine: Engine, disk: Disk) -> None:
    refused = 0
    for number in range(4000):
        try:
            engine.set(f"k{number}", "x" * (100 + number * 7), deps=f"t:{number}")
        except StorageIsFull:
            refused += 1
        engine.invalidate(f"u:{number % 50}")
        assert disk.holds(engine)
    assert refused
    assert engine.stats().errors == 0, "invalidations always had room"


def test_a_full_disk_does_not_disturb_cached_functions(engine: Engine, disk: Disk) -> None:
    @engine.cacheable(deps=lambda number: f"t:{number}")
    def text(number: int) -> str:
        return "x" * 50_000

    disk.size = 0
    for number in range(500):
        assert len(text(number)) == 50_000
        engine.invalidate(f"t:{number - 1 if number else 0}")
        assert disk.holds(engine)
    assert engine.stats().errors > 0
    disk.size = 1 << 30
    assert engine.set("k", "y" * 50_000)
    assert engine.get("k") == "y" * 50_000


def test_on_a_disk_that_is_full_from_the_beginning(tmp_path: Path, disk: Disk) -> None:
    disk.size = 0
    with pytest.raises(Exception, match="no space left on this disk"):
        Engine(storage_url=f"lmdb://{tmp_path}/cache")
    disk.size = 1 << 30
    engine = Engine(storage_url=f"lmdb://{tmp_path}/cache")
    assert engine.set("k", 1)
    engine.reset()
