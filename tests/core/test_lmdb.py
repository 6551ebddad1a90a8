"""LMDB storage shows the behaviour that every storage must show."""

from __future__ import annotations

import random
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoocache_core import LoggingSink, StorageIsFull
from zoocache_core.codec import Codec
from zoocache_core.engine import Engine
from zoocache_core.storage.lmdb import LmdbStorage
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


Open = Callable[..., Engine]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
    """Opens engines on one directory, as so many processes would."""
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        settings = {"storage_url": f"lmdb://{tmp_path}/cache", "clock": clock, **settings}
        started.append(Engine(**settings))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


def transactions(engine: Engine) -> int:
    """How many transactions have written entries."""
    storage = engine.storage
    assert isinstance(storage, LmdbStorage)
    number: int = storage._database.read(lambda txn: txn.id())
    return number


def records(engine: Engine, kind: bytes, beginning: bytes = b"") -> int:
    """How many records of a kind there are (see ``storage.lmdb_entries``)."""
    storage = engine.storage
    assert isinstance(storage, LmdbStorage)
    return storage._database.read(
        lambda txn: sum(
            key[:1] == kind and value.startswith(beginning) for key, value in txn.cursor()
        )
    )


# Engines that share a directory


def test_engines_share_entries_and_invalidations(start: Open) -> None:
    one, other = start(), start()
    one.set("k", [1], deps="t")
    assert other.get("k") == [1]
    other.set("k", [2], deps="t")
    assert one.get("k") == [2]
    one.invalidate("t")
    assert other.get("k") is None
    other.set("k", [3], deps="t")
    assert one.delete("k")
    assert other.get("k") is None


def test_a_value_set_after_an_invalidation_elsewhere_is_valid(start: Open) -> None:
    one, other = start(), start()
    other.invalidate("t")
    one.set("k", 1, deps="t")
    assert one.get("k") == other.get("k") == 1
    stamp = one.stamp()
    other.invalidate("t")
    one.set("k", 2, deps="t", stamp=stamp)
    assert one.get("k") is None


def test_remembered_entries_are_those_in_the_database(start: Open) -> None:
    one, other = start(), start()
    choose = random.Random(7)
    truth: dict[str, Any] = {}
    for step in range(2000):
        key = f"k{choose.randrange(8)}"
        engine = choose.choice((one, other))
        what = choose.random()
        if what < 0.5:
            assert engine.get(key) == truth.get(key)
        elif what < 0.7:
            truth[key] = [step, {"text": "x" * choose.randrange(5000)}]
            engine.set(key, truth[key], deps=f"t:{key}", stamp=engine.stamp())
        elif what < 0.8:
            engine.invalidate(f"t:{key}")
            truth.pop(key, None)
        elif what < 0.9:
            engine.delete(key)
            truth.pop(key, None)
        elif what < 0.95:
            assert engine.get_many(["k1", "k2", "k3"]) == {
                key: truth[key] for key in ("k1", "k2", "k3") if key in truth
            }
        elif what < 0.96:
            engine.clear()
            truth.clear()
        else:
            engine.invalidate("elsewhere")


def test_a_value_is_decoded_once_and_copied_after(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = start(), start()
    writer.set("k", {"list": [1]})
    decoded = []
    loads = Codec.loads
    monkeypatch.setattr(
        Codec, "loads", lambda self, data, key: decoded.append(key) or loads(self, data, key)
    )
    fresh = start()
    for _ in range(10):
        fresh.get("k")["list"].append(2)
        assert fresh.get("k") == {"list": [1]}
    assert len(decoded) <= 2
    assert reader.get("k") == {"list": [1]}


def test_a_process_that_was_idle_for_long_catches_up(start: Open) -> None:
    idle, busy = start(lmdb_map_size=1 << 20), start(lmdb_map_size=1 << 20)
    idle.set_many({"a": 1, "b": 2}, deps="t:0")
    idle.set("c", 3, deps="u")
    for number in range(500):
        busy.invalidate(f"t:{number}")
    assert idle.get_many(["a", "b", "c"]) == {"c": 3}
    assert idle.get_tag_version("t:499") == busy.get_tag_version("t:499") == idle.stamp()


def test_pruning_resurrects_nothing_for_those_who_come_later(
    start: Open, clock: ManualClock
) -> None:
    first = start()
    first.set("dead", 1, deps="a:b:c")
    first.set("also dead", 2, deps="a:*")
    first.invalidate("a:b")
    clock.advance(100)
    first.set("young", 3, deps="x")
    first.invalidate("x:y")
    first.prune(50)
    for engine in (first, start()):
        assert engine.get_many(["dead", "also dead", "young"]) == {"young": 3}
    assert len(start().trie) == 2, "x and x:y"


def test_prefixes_do_not_see_each_other(start: Open, tmp_path: Path) -> None:
    prefixes = [None, "app", "app:blue", "APP", "..", "p" * 128, ":" * 128]
    engines = {prefix: start(prefix=prefix) for prefix in prefixes}
    for prefix, engine in engines.items():
        engine.set("k", str(prefix), deps="t")
    for prefix, engine in engines.items():
        assert engine.get("k") == str(prefix)
    engines["app"].invalidate("t")
    engines["app:blue"].clear()
    for prefix, engine in engines.items():
        expected = None if prefix in ("app", "app:blue") else str(prefix)
        assert engine.get("k") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["cache"], "none lies outside"


# Values and keys


@pytest.mark.parametrize("size", [0, 1999, 2001, 4000, 4080, 4081, 8160, 100_000, 3_000_000])
def test_values_of_any_size(start: Open, size: int) -> None:
    engine, other = start(compress_min_bytes=None), start(compress_min_bytes=None)
    for length in range(max(size - 60, 0), size + 10, 7):
        value = bytes(range(256)) * (length // 256 + 1)
        engine.set("k", value[:length])
        assert other.get("k") == value[:length]


def test_nothing_remains_of_a_large_value_that_is_gone(start: Open) -> None:
    engine = start(compress_min_bytes=None)
    engine.set("k", "x" * 50_000)
    assert records(engine, b"v") == 12
    engine.set("k", "x" * 10_000)
    assert records(engine, b"v") == 2
    engine.touch("k", 10)
    assert engine.get("k") == "x" * 10_000
    engine.set("k", "x")
    assert records(engine, b"v") == 0
    engine.set("k", "x" * 50_000)
    engine.delete("k")
    assert records(engine, b"v") == records(engine, b"q") == records(engine, b"x") == 0


def test_a_large_value_is_compared_to_its_end_before_it_is_replaced(start: Open) -> None:
    engine = start(compress_min_bytes=None)
    storage = engine.storage
    engine.set("k", "x" * 50_000 + "a")
    seen = storage.get_strong("k")
    engine.set("k", "x" * 50_000 + "b")
    assert storage.replace("k", seen, None) is False
    assert storage.replace("k", storage.get_strong("k"), None) is True
    assert engine.get("k") is None


def test_what_is_no_record_is_a_miss_and_is_counted(start: Open) -> None:
    engine = start()
    engine.set("k", 1)
    storage = engine.storage
    assert isinstance(storage, LmdbStorage)
    for damaged in (b"", b"short", bytes(12) + b"zoo", bytes(12) + bytes(100)):
        storage._database.write(lambda txn, damaged=damaged: txn.put(b"ek", damaged))
        before = engine.stats().errors
        assert engine.get("k", "missing") == "missing"
        assert engine.get_many(["k"]) == {}
        assert engine.stats().errors > before
    engine.set("k", 2)
    assert engine.get("k") == 2


# Lifetime


@pytest.mark.parametrize("events", [[], [LoggingSink()]], ids=["hot path", "with a sink"])
def test_reading_extends_a_ttl_with_few_writes(
    start: Open, clock: ManualClock, events: list[LoggingSink]
) -> None:
    engine, other = (start(tti_flush_secs=30, events=events) for _ in range(2))
    engine.set("k", 1, ttl=100)
    before = transactions(engine)
    for _ in range(300):
        clock.advance(1)
        assert engine.get("k") == 1
    assert 9 <= transactions(engine) - before <= 11
    clock.advance(99)
    assert other.get("k") == 1
    clock.advance(100)
    assert other.get("k") is None


def test_a_ttl_shorter_than_the_flush_interval_is_extended_in_time(
    start: Open, clock: ManualClock
) -> None:
    engine = start(tti_flush_secs=30)
    engine.set("k", 1, ttl=2)
    for pause in [0.1] * 30 + [1.0] * 20 + [0.1, 0.9] * 20 + [1.9] * 10:
        clock.advance(pause)
        assert engine.get("k") == 1
    clock.advance(2)
    assert engine.get("k") is None


@pytest.mark.parametrize("events", [[], [LoggingSink()]], ids=["hot path", "with a sink"])
def test_visits_are_noted_with_few_writes(
    start: Open, clock: ManualClock, events: list[LoggingSink]
) -> None:
    reader, writer = start(lru_update_interval=30, events=events), start()
    before = transactions(writer)
    for step in range(300):
        clock.advance(1)
        writer.set(f"k{step}", step)
        assert reader.get(f"k{step}") == step
    assert 9 <= transactions(writer) - before - 300 <= 10


def test_many_visits_are_noted_a_part_at_a_time(start: Open, clock: ManualClock) -> None:
    reader, writer = start(), start()
    keys = [f"k{number}" for number in range(2500)]
    writer.set_many(dict.fromkeys(keys, 0))
    reader.get_many(keys)
    clock.advance(30)
    for noted in (1000, 2000, 2501, 2501):
        writer.set("changing", noted)
        assert reader.get("changing") == noted
        assert records(writer, b"q", b"1") == noted


@pytest.mark.parametrize(
    ("keys", "ttl"), [("other", None), ("new{}", None), ("new{}", 10), ("other", 10)]
)
def test_writes_remove_what_has_expired(
    start: Open, clock: ManualClock, keys: str, ttl: float | None
) -> None:
    engine = start(read_extend_ttl=False)
    for number in range(100):
        engine.set(f"k{number}", 0, ttl=10)
    clock.advance(10)
    for number in range(100):
        engine.set(keys.format(number), number, ttl=ttl)
    left = 1 if keys == "other" else 100
    assert engine.stats().entries == left
    assert records(engine, b"x") == (0 if ttl is None else left)


# Limits


def test_the_limit_holds_for_all_engines_together(start: Open) -> None:
    engines = [start(max_entries=10) for _ in range(3)]
    for number in range(60):
        engines[number % 3].set(f"k{number}", number)
        assert engines[0].stats().entries <= 10
    assert sum(engine.stats().evictions for engine in engines) == 50
    for number in range(50, 60):
        assert engines[0].get(f"k{number}") == number, "the newest are there"


def test_expired_entries_go_first(start: Open, clock: ManualClock) -> None:
    engine = start(max_entries=4, read_extend_ttl=False)
    engine.set("old", 1)
    engine.set("short", 2, ttl=1)
    engine.set("b", 3)
    engine.set("c", 4)
    clock.advance(1)
    engine.set("d", 5)
    assert set(engine.get_many(["old", "short", "b", "c", "d"])) == {"old", "b", "c", "d"}


def test_an_entry_whose_ttl_was_extended_is_kept(start: Open, clock: ManualClock) -> None:
    engine = start(max_entries=2)
    engine.set("extended", 1, ttl=10)
    engine.set("other", 2, ttl=10)
    clock.advance(6)
    assert engine.get("extended") == 1
    clock.advance(6)
    engine.set("new", 3)
    assert engine.get_many(["extended", "other", "new"]) == {"extended": 1, "new": 3}


def test_eviction_is_at_least_as_good_as_lru(start: Open) -> None:
    """Skewed traffic with scans of keys that are asked for once."""
    size, keys = 100, 1000
    engine = start(max_entries=size)
    choose = random.Random(3)
    weights = [1 / (rank + 1) for rank in range(keys)]
    requests = [f"k{rank}" for rank in choose.choices(range(keys), weights, k=6000)]
    for start_of_scan in (1500, 3000, 4500):
        requests[start_of_scan:start_of_scan] = [f"s{start_of_scan}:{n}" for n in range(150)]
    recent: OrderedDict[str, None] = OrderedDict()
    hits = hits_of_lru = 0
    for key in requests:
        if engine.get(key) is None:
            engine.set(key, 1)
        else:
            hits += 1
        if key in recent:
            hits_of_lru += 1
        recent[key] = None
        recent.move_to_end(key)
        if len(recent) > size:
            recent.popitem(last=False)
    assert hits > hits_of_lru


@pytest.mark.parametrize("size", [1 << 16, 1 << 18, 1 << 20])
def test_a_small_map(start: Open, size: int, caplog: pytest.LogCaptureFixture) -> None:
    engine = start(lmdb_map_size=size, compress_min_bytes=None)
    calls = []

    @engine.cacheable
    def text(length: int) -> str:
        calls.append(length)
        return "x" * length

    engine.set("k0", 0, deps="t:0")
    for number in range(1, 500):
        engine.set(f"k{number}", "x" * 1000, deps=f"t:{number}")
        engine.invalidate(f"t:{number - 1}")
        assert engine.get(f"k{number}") is not None
        assert engine.get(f"k{number - 1}") is None
    assert engine.stats().errors == 0
    with pytest.raises(StorageIsFull, match=r"Raise lmdb_map_size"):
        engine.set("large", "x" * size)
    assert engine.get("k499") is not None, "for a value that is too large nothing is evicted"
    assert len(text(size)) == len(text(size)) == size
    assert calls == [size, size], "it is computed every time"
    assert "set" in caplog.text
    assert len(text(100)) == len(text(100)) == 100
    assert calls == [size, size, 100]
    assert engine.get_tag_version("t:498") == engine.stamp()


def test_the_database_can_always_be_emptied(start: Open) -> None:
    engine = start(lmdb_map_size=1 << 20, compress_min_bytes=None)
    for round_ in range(5):
        for number in range(100):
            engine.set(f"k{number}", "x" * (50 * number))
        assert engine.delete("k99")
        engine.clear()
        assert engine.stats().entries == 0
        assert engine.set("k", round_)


def test_more_tags_at_once_than_the_database_holds(start: Open) -> None:
    engine, other = (start(lmdb_map_size=1 << 20) for _ in range(2))
    engine.set_many({"hit": 1}, deps="t:5")
    engine.set_many({"spared": 1}, deps="u")
    engine.invalidate(*(f"t:{number}" for number in range(100_000)))
    assert engine.get("hit") is other.get("hit") is None
    engine.set("hit", 2, deps="t:5")
    assert other.get("hit") == 2
