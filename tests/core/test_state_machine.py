"""The engine against a naive model, under random operations.

The source of truth is a dict of versions, one for each tag. A cached function returns the versions
of everything it depends on; a write raises a version and invalidates the tag. So a stale value is
one that differs from what the function would return uncached, and that is compared after every
call. The other side is checked too: while nothing that a value depends on has changed, and nothing
else took it away, the function must not run again.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from zoocache_core import Engine
from zoocache_core.testing import ManualClock

TAGS = ["a", "a:b", "a:b:c", "a:b:d", "a:e", "f", "f:g"]
DEPS = [*TAGS, "a:*", "a:b:*", "f:*", "*", "a:x:y"]

deps_of_a_function = st.lists(st.sampled_from(DEPS), max_size=3, unique=True).map(tuple)


def covers(tag: str, dep: str) -> bool:
    """Whether data under ``tag`` is part of what ``dep`` stands for."""
    wild = dep == "*" or dep.endswith(":*")
    base = dep.removesuffix("*").removesuffix(":")
    return (
        tag == base
        or base.startswith(tag + ":")
        or (wild and (base == "" or tag.startswith(base + ":")))
    )


class EngineAgainstModel(RuleBasedStateMachine):
    """Subclasses open an engine on their storage."""

    options: ClassVar[dict[str, Any]] = {}
    precise = True
    """Whether a needless computation is an error (not so with eviction)."""

    time_passes = True
    """Whether a test can move the storage's clock."""

    def open(self, **settings: Any) -> Engine:
        self.clock = ManualClock()
        return Engine(clock=self.clock, **settings)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @initialize()
    def begin(self) -> None:
        self.engine = self.open(**self.options)
        self.versions = dict.fromkeys(TAGS, 0)
        self.runs = 0
        # Keys that must be hits now, with the time at which they expire.
        self.known: dict[tuple[Any, ...], float | None] = {}
        self.now = 0.0
        self.interference: str | None = None
        self.by_name: dict[str, Any] = {}

        @self.engine.cacheable(deps=lambda deps, ttl: deps)
        def read(deps: tuple[str, ...], ttl: float | None) -> dict[str, int]:
            self.runs += 1
            value = self.truth(deps)
            if self.interference is not None:
                self.write(self.interference)
            return value

        @self.engine.cacheable
        def page(deps: tuple[str, ...], ttl: float | None) -> list[dict[str, int]]:
            return [read(deps, ttl)]

        self.read, self.page = read, page

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.reset()

    def truth(self, deps: tuple[str, ...]) -> dict[str, int]:
        return {
            tag: version
            for tag, version in self.versions.items()
            if any(covers(tag, dep) for dep in deps)
        }

    def forget(self, tag: str) -> None:
        self.known = {
            key: expires
            for key, expires in self.known.items()
            if not any(covers(tag, dep) for dep in key[1])
        }

    def write(self, tag: str) -> None:
        for changed in self.versions:
            if changed == tag or changed.startswith(tag + ":"):
                self.versions[changed] += 1
                self.forget(changed)
        self.engine.invalidate(tag)

    def fresh(self, key: tuple[Any, ...]) -> bool:
        expires = self.known.get(key, 0.0)
        return key in self.known and (expires is None or self.now < expires)

    @rule(tag=st.sampled_from(TAGS))
    def change(self, tag: str) -> None:
        self.write(tag)

    @rule(deps=deps_of_a_function, through_page=st.booleans())
    def call(self, deps: tuple[str, ...], through_page: bool) -> None:
        expected = self.truth(deps)
        before = self.runs
        if through_page:
            assert self.page(deps, None) == [expected]
        else:
            assert self.read(deps, None) == expected
            if self.precise and self.fresh(("read", deps)):
                assert self.runs == before, "computed again although nothing changed"
            self.known["read", deps] = None

    @rule(deps=deps_of_a_function, tag=st.sampled_from(TAGS))
    def call_while_data_changes(self, deps: tuple[str, ...], tag: str) -> None:
        """The function has read its data when another write comes in between."""
        self.interference = tag
        before = self.runs
        self.read(deps, None)
        self.interference = None
        if self.runs == before:
            assert self.read.cached_value(deps, None) == self.truth(deps)
        else:
            self.known.pop(("read", deps), None)
            assert self.read(deps, None) == self.truth(deps)

    @rule(key=st.sampled_from("xyz"), deps=deps_of_a_function, ttl=st.sampled_from([None, 10.0]))
    def set(self, key: str, deps: tuple[str, ...], ttl: float | None) -> None:
        value = self.truth(deps)
        # An explicit stamp: `set` would else be as old as the last miss of this key.
        assert self.engine.set(key, value, deps=deps, ttl=ttl, stamp=self.engine.stamp())
        self.by_name[key] = deps
        self.known[key, deps] = None if ttl is None else self.now + ttl

    @rule(key=st.sampled_from("xyz"), deps=deps_of_a_function, tag=st.sampled_from(TAGS))
    def set_late(self, key: str, deps: tuple[str, ...], tag: str) -> None:
        """A value read before a write and stored after it."""
        stamp = self.engine.stamp()
        value = self.truth(deps)
        self.write(tag)
        if self.engine.set(key, value, deps=deps, stamp=stamp):
            assert value == self.truth(deps)
            self.by_name[key] = deps
            self.known = {k: e for k, e in self.known.items() if k[0] != key}

    @rule(key=st.sampled_from("xyz"))
    def get(self, key: str) -> None:
        value = self.engine.get(key)
        deps = self.by_name.get(key)
        if value is not None:
            assert deps is not None
            assert value == self.truth(deps)
        elif self.precise and deps is not None:
            assert not self.fresh((key, deps)), "gone although nothing changed"

    @rule(key=st.sampled_from("xyz"))
    def delete(self, key: str) -> None:
        self.engine.delete(key)
        self.by_name.pop(key, None)
        self.known = {k: e for k, e in self.known.items() if k[0] != key}

    @rule(deps=deps_of_a_function)
    def invalidate_a_call(self, deps: tuple[str, ...]) -> None:
        self.read.invalidate(deps, None)
        self.known.pop(("read", deps), None)
        before = self.runs
        assert self.read(deps, None) == self.truth(deps)
        assert self.runs == before + 1
        self.known["read", deps] = None

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def let_time_pass(self, seconds: float) -> None:
        if self.time_passes:
            self.pass_time(seconds)
            self.now += seconds

    @rule(age=st.sampled_from([0, 5.0, 100.0]))
    def prune(self, age: float) -> None:
        self.engine.prune(age)
        # Pruning may cost misses.
        self.known.clear()

    @rule()
    def clear(self) -> None:
        self.engine.clear()
        self.known.clear()
        assert self.engine.get_many(["x", "y", "z"]) == {}

    @invariant()
    def every_value_in_the_cache_is_true(self) -> None:
        if not hasattr(self, "engine"):
            return
        for key, deps in self.by_name.items():
            found = self.engine.find(key, quiet=True)
            assert found is None or found[1] == self.truth(deps)


class WithoutLimit(EngineAgainstModel):
    # The invariant reads every key, which would restart ttls behind the model's back.
    options: ClassVar = {"read_extend_ttl": False}


class WithEviction(EngineAgainstModel):
    options: ClassVar = {"max_entries": 4}
    precise = False


def check(machine: type[EngineAgainstModel], examples: int = 150) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


@pytest.mark.parametrize("machine", [WithoutLimit, WithEviction])
def test_the_engine_agrees_with_the_model(machine: type[EngineAgainstModel]) -> None:
    check(machine)


class SharedStore(EngineAgainstModel):
    """A store that outlives the engines on it: every run has a prefix of its own."""

    options: ClassVar = {"read_extend_ttl": False}
    runs_so_far = itertools.count()

    def open(self, **settings: Any) -> Engine:
        return super().open(prefix=f"run{next(self.runs_so_far)}", **settings)


@pytest.mark.parametrize("max_entries", [None, 4])
def test_lmdb_agrees_with_the_model(tmp_path: Path, max_entries: int | None) -> None:
    class OnLmdb(SharedStore):
        precise = max_entries is None
        options: ClassVar = {
            **SharedStore.options,
            "storage_url": f"lmdb://{tmp_path}",
            "max_entries": max_entries,
        }

    check(OnLmdb, examples=50)


@pytest.mark.parametrize("near_max_entries", [None, 4])
def test_redis_agrees_with_the_model(redis_url: str, near_max_entries: int | None) -> None:
    class OnRedis(SharedStore):
        time_passes = False
        options: ClassVar = {
            **SharedStore.options,
            "storage_url": redis_url,
            "near_max_entries": near_max_entries,
        }

    check(OnRedis, examples=40)


def test_memory_with_a_bus_agrees_with_the_model(redis_url: str) -> None:
    class OnBus(SharedStore):
        # A lease is kept by the real clock, which stands still for the engine here.
        time_passes = False
        options: ClassVar = {**SharedStore.options, "bus_url": redis_url}

    check(OnBus, examples=40)
