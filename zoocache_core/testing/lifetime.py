"""Entries end when their time is up."""

from __future__ import annotations

from zoocache_core.testing.contract import Contract

__all__ = ["LifetimeContract"]


class LifetimeContract(Contract):
    """Entries end when their time is up."""

    def test_a_ttl_passes(self) -> None:
        self.reopen(read_extend_ttl=False)
        self.engine.set("k", 1, ttl=self.ttl)
        self.engine.set("kept", 2)
        assert self.engine.get("k") == 1
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None
        assert self.engine.get("kept") == 2

    def test_reading_restarts_a_ttl(self) -> None:
        self.engine.set("k", 1, ttl=self.ttl)
        for _ in range(4):
            self.pass_time(self.ttl * 0.6)
            assert self.engine.get("k") == 1
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None

    def test_touch(self) -> None:
        self.reopen(read_extend_ttl=False)
        self.engine.set_many({"k": 1, "other": 2}, ttl=self.ttl)
        self.pass_time(self.ttl * 0.6)
        assert self.engine.touch("k", self.ttl) is True
        assert self.engine.touch("missing", self.ttl) is False
        self.pass_time(self.ttl * 0.6)
        assert self.engine.get("k") == 1
        assert self.engine.get("other") is None
        self.pass_time(self.ttl)
        assert self.engine.get("k") is None

    def test_default_ttl_and_its_exception(self) -> None:
        self.reopen(read_extend_ttl=False, default_ttl=self.ttl)
        self.engine.set("default", 1)
        self.engine.set("forever", 2, ttl=float("inf"))
        self.pass_time(self.ttl)
        assert self.engine.get("default") is None
        assert self.engine.get("forever") == 2
