"""LMDB storage shows the behaviour that every storage must show."""

from __future__ import annotations

import tempfile
from typing import Any

from zoocache_core.engine import Engine
from zoocache_core.testing import ManualClock, StorageContract


class TestLmdbStorage(StorageContract):
    def setup_method(self) -> None:
        self.directories: list[tempfile.TemporaryDirectory[str]] = []
        super().setup_method()

    def teardown_method(self) -> None:
        super().teardown_method()
        for directory in self.directories:
            directory.cleanup()

    def open(self, **settings: Any) -> Engine:
        self.clock = ManualClock()
        self.directories.append(tempfile.TemporaryDirectory())
        return Engine(
            storage_url=f"lmdb://{self.directories[-1].name}/cache", clock=self.clock, **settings
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
