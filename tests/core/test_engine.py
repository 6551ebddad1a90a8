"""The engine's lifecycle and its values by key."""

from __future__ import annotations

import contextvars
import re
from pathlib import Path
from typing import Any

import pytest

import zoocache
import zoocache_core
from zoocache_core import MISSING, ConfigurationError, Engine, Stats
from zoocache_core.testing import ManualClock


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_configuring_again_with_equal_settings_changes_nothing(engine: Engine) -> None:
    engine.set("k", 1)
    engine.configure()
    assert engine.get("k") == 1


def test_configuring_again_with_other_settings_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(ConfigurationError, match=r"max_entries is None, not 5.*reset\(\)"):
        engine.configure(max_entries=5)


def test_reset_closes_and_allows_other_settings(engine: Engine) -> None:
    engine.set("k", 1)
    engine.reset()
    engine.reset()
    engine.configure(max_entries=5)
    assert engine.get("k") is None


def test_a_storage_that_is_not_supported_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"memcached://.*memory"):
        Engine(storage_url="memcached://x")


def test_memory_by_name() -> None:
    assert Engine(storage_url="memory://").direct


@pytest.mark.parametrize("key", ["", 1, None, b"k"])
def test_a_key_must_be_text(engine: Engine, key: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(repr(key))):
        engine.get(key)
    with pytest.raises(TypeError, match=re.escape(repr(key))):
        engine.set(key, 1)


def test_a_stamp_of_the_future_is_cut_to_the_present(engine: Engine) -> None:
    engine.set("k", 1, deps="t", stamp=10**9)
    engine.invalidate("t")
    assert engine.get("k") is None


def test_set_says_whether_it_stored(engine: Engine) -> None:
    stamp = engine.stamp()
    assert engine.set("k", 1, deps="t", stamp=stamp) is True
    engine.invalidate("t")
    assert engine.set("k", 1, deps="t", stamp=stamp) is False
    assert engine.set_many({"a": 1, "b": 2}, deps="t", stamp=stamp) is False
    assert engine.set_many({}) is False


def test_an_outdated_set_leaves_a_newer_value_alone(engine: Engine) -> None:
    stamp = engine.stamp()
    engine.invalidate("t")
    engine.set("k", "new", deps="t")
    engine.set("k", "old", deps="t", stamp=stamp)
    assert engine.get("k") == "new"


def test_misses_of_other_contexts_do_not_make_a_value_newer(engine: Engine) -> None:
    assert engine.get("k") is None
    engine.invalidate("t")
    contextvars.copy_context().run(engine.get, "k")
    engine.set("k", "read before", deps="t")
    assert engine.get("k") is None


def test_a_value_set_within_a_computation_is_as_old_as_the_computation(engine: Engine) -> None:
    @engine.cacheable
    def compute() -> None:
        engine.invalidate("t")
        engine.set("k", "read at the beginning", deps="t")

    compute()
    assert engine.get("k") is None


def test_many_misses_are_forgotten_without_harm(engine: Engine) -> None:
    for number in range(100):
        engine.get(f"k{number}")
    engine.invalidate("t")
    engine.set("k99", 1, deps="t")
    assert engine.get("k99") is None
    engine.set("k0", 1, deps="t")
    assert engine.get("k0") == 1


def test_versions_of_tags_rise_with_what_reaches_them(engine: Engine) -> None:
    assert engine.get_tag_version("a:b") == 0
    engine.invalidate("a")
    first = engine.get_tag_version("a:b")
    assert first > 0
    engine.invalidate("a:c")
    assert engine.get_tag_version("a:b") == first
    assert engine.get_tag_version("a:c") > first
    engine.clear()
    assert engine.get_tag_version("z") > first


def test_invalidating_nothing_and_wildcards(engine: Engine) -> None:
    engine.set_many({"a": 1}, deps="user:1")
    engine.set("b", 2)
    engine.invalidate()
    assert engine.stats().invalidations == 0
    engine.invalidate("user:*")
    assert engine.get_many(["a", "b"]) == {"b": 2}
    engine.invalidate("*")
    assert engine.get("b") is None


def test_a_repeated_invalidation_takes_the_short_way_with_the_same_effect(engine: Engine) -> None:
    for round_ in range(3):
        engine.set("exact", round_, deps="a:b")
        engine.set("above", round_, deps="a:*")
        engine.set("other", round_, deps="a:c")
        engine.invalidate("a:b")
        assert engine.get_many(["exact", "above", "other"]) == {"other": round_}
    assert engine.stats().invalidations == 3


def test_invalidating_a_pruned_tag_again(engine: Engine) -> None:
    engine.invalidate("a:b")
    engine.prune(0)
    clock = ManualClock()
    engine = Engine(clock=clock)
    engine.invalidate("a:b")
    clock.advance(10)
    assert engine.prune(5) == 1
    engine.set("k", 1, deps="a:b")
    engine.invalidate("a:b")
    assert engine.get("k") is None


@pytest.mark.parametrize("age", [-1, "1", None, True])
def test_a_bad_age_is_refused(engine: Engine, age: Any) -> None:
    with pytest.raises(ValueError, match="max_age_secs"):
        engine.prune(age)


def test_stats_are_a_copy(engine: Engine) -> None:
    stats = engine.stats()
    assert isinstance(stats, Stats)
    engine.set("k", 1)
    engine.get("k")
    assert (stats.sets, stats.hits, stats.entries) == (0, 0, 0)
    assert engine.stats().as_dict()["hits"] == 1


def test_fetch(engine: Engine) -> None:
    runs: list[int] = []

    def compute() -> list[int]:
        runs.append(1)
        return [len(runs)]

    assert engine.fetch("k", compute, deps="t", ttl=60) == [1]
    assert engine.fetch("k", compute) == [1]
    assert engine.fetch("k", compute, refresh=True) == [2]
    assert engine.fetch("k", compute) == [2]
    engine.invalidate("t")
    # The refreshed value named no deps.
    assert engine.fetch("k", compute) == [2]


def test_a_ttl_may_be_derived_from_the_value() -> None:
    clock = ManualClock()
    engine = Engine(clock=clock, read_extend_ttl=False)
    assert engine.fetch("k", lambda: 30, ttl=lambda value: value) == 30
    clock.advance(29)
    assert engine.get("k") == 30
    clock.advance(1)
    assert engine.get("k", MISSING) is MISSING


def test_the_default_engine_is_behind_the_functions() -> None:
    zoocache.configure()
    try:
        zoocache.set("k", 1, deps="t")
        assert zoocache_core.default_engine.get("k") == zoocache.get("k") == 1
        zoocache.invalidate("t")
        assert zoocache.get("k") is None
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", zoocache.version())
    finally:
        zoocache.reset()


def test_misuse_is_named(engine: Engine) -> None:
    bad: Any = ["a", "b"]
    with pytest.raises(zoocache.InvalidTag, match="list"):
        engine.invalidate(bad)
    with pytest.raises(TypeError, match="iterable of keys"):
        engine.get_many("abc")
    with pytest.raises(TypeError, match="mapping"):
        engine.set_many(bad)


def test_urls_are_not_shown_where_settings_are() -> None:
    engine = Engine()
    with pytest.raises(ConfigurationError) as caught:
        engine.configure(storage_url="redis://:s3cret@localhost:1")
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(
        zoocache_core.settings.Settings.of({"bus_url": "redis://:s3cret@x"})
    )


def test_a_key_that_leaves_nothing_to_share_keeps_no_other_process_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(storage_url=f"lmdb://{tmp_path}")
    assert engine.storage.leases is not None
    taken: list[str] = []
    acquire = engine.storage.leases.acquire
    monkeypatch.setattr(
        engine.storage.leases, "acquire", lambda key: taken.append(key) or acquire(key)
    )
    results: list[Any] = [object(), object(), LookupError(), LookupError(), 1, 1]

    def compute() -> Any:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    for _ in range(2):
        engine.fetch("object", compute)
    for _ in range(2):
        with pytest.raises(LookupError):
            engine.fetch("error", compute)
    assert taken == ["object", "error"]
    assert engine.fetch("error", compute) == 1
    engine.delete("error")
    assert engine.fetch("error", compute) == 1
    assert taken == ["object", "error", "error"]
    engine.reset()
