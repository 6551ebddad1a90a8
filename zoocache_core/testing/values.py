"""Values come back as they were stored, under any key."""

from __future__ import annotations

import datetime as dt
import decimal
import threading
import uuid
from typing import Any

from zoocache_core.missing import MISSING
from zoocache_core.testing.contract import Contract

__all__ = ["ValuesContract"]


class ValuesContract(Contract):
    """Values come back as they were stored, under any key."""

    def test_a_value_comes_back_equal_and_of_its_type(self) -> None:
        values = [
            None,
            True,
            0,
            -(2**80),
            1.5,
            "text",
            b"bytes",
            (1, (2, "x")),
            [1, [2.0]],
            {"a": 1, 2: (3,)},
            {1, 2},
            frozenset({"x"}),
            decimal.Decimal("1.10"),
            uuid.UUID(int=7),
            dt.datetime(2024, 2, 29, 12, 30, 1, 999_999, tzinfo=dt.timezone.utc),
            dt.date(2024, 2, 29),
            dt.time(23, 59, 59, 1),
            dt.timedelta(days=-1, microseconds=1),
        ]
        for number, value in enumerate(values):
            self.engine.set(f"k{number}", value)
            back = self.engine.get(f"k{number}", MISSING)
            assert back == value
            assert type(back) is type(value)

    def test_changing_a_value_does_not_change_the_cache(self) -> None:
        original: dict[str, list[int]] = {"list": [1]}
        self.engine.set("k", original)
        original["list"].append(2)
        self.engine.get("k")["list"].append(3)
        assert self.engine.get("k") == {"list": [1]}

    def test_a_value_that_cannot_be_stored_is_returned_and_not_cached(self) -> None:
        calls = []

        @self.engine.cacheable
        def lock() -> Any:
            calls.append(1)
            return threading.Lock()

        first, second = lock(), lock()
        assert first is not second
        assert len(calls) == 2

    def test_none_is_a_hit(self) -> None:
        self.engine.set("k", None)
        assert self.engine.get("k", "default") is None
        assert self.engine.get("other", "default") == "default"

    def test_keys_of_any_length_and_script(self) -> None:
        keys = ["k", "k" * 5000, "k" * 5001, "schlüssel ☃", "with space\nand newline"]
        self.engine.set_many({key: number for number, key in enumerate(keys)})
        assert self.engine.get_many(keys) == {key: n for n, key in enumerate(keys)}

    def test_delete(self) -> None:
        self.engine.set("k", 1)
        assert self.engine.delete("k") is True
        assert self.engine.delete("k") is False
        assert self.engine.get("k") is None

    def test_get_many_leaves_out_what_is_missing_or_stale(self) -> None:
        self.engine.set_many({"a": None, "b": 2}, deps="t:1")
        self.engine.set("c", 3, deps="t:2")
        self.engine.invalidate("t:2")
        assert self.engine.get_many(["a", "b", "c", "d"]) == {"a": None, "b": 2}
