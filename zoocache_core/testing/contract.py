"""What every part of the contract has: an engine, and a way to let time pass."""

from __future__ import annotations

from typing import Any

from zoocache_core.engine import Engine

__all__ = ["Contract"]


class Contract:
    """Subclasses say how an engine is opened and how time passes."""

    ttl: float = 10.0
    """A lifetime that :meth:`pass_time` can let pass."""

    engine: Engine

    def open(self, **settings: Any) -> Engine:
        """An engine on an empty store."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass for the storage."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self.engine = self.open()

    def teardown_method(self) -> None:
        self.engine.reset()

    def reopen(self, **settings: Any) -> Engine:
        """The engine of this test anew, with other settings."""
        self.engine.reset()
        self.engine = self.open(**settings)
        return self.engine
