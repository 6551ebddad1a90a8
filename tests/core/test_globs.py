"""Entries forgotten by a pattern of their keys, of which none is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoocache_core import Engine
from zoocache_core.globs import escape, matches, name_of, pattern_of
from zoocache_core.testing import ManualClock
from zoocache_core.trie import PrefixTrie

KEYS = ["user:1:name", "user:1:age", "user:10:name", "user_1", "page/ä?*", "[x]", ""]


def forget(engine: Engine, *patterns: str) -> None:
    engine.publish([name_of(pattern) for pattern in patterns])


def filled(keys: Sequence[str]) -> Engine:
    engine = Engine()
    engine.set_many(dict.fromkeys(keys, 1))
    return engine


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("user:1:*", {"user:1:name", "user:1:age"}),
        ("user:*:name", {"user:1:name", "user:10:name"}),
        ("*1*", {"user:1:name", "user:1:age", "user:10:name", "user_1"}),
        ("user?1", {"user_1"}),
        ("user[_:]1", {"user_1"}),
        ("user:1[^:]*", {"user:10:name"}),
        ("user:[0-9]:age", {"user:1:age"}),
        (r"page/ä\?\*", {"page/ä?*"}),
        (r"\[x\]", {"[x]"}),
        ("user:1", set()),
        ("", set()),
    ],
)
def test_the_keys_that_a_pattern_means(pattern: str, gone: set[str]) -> None:
    keys = [key for key in KEYS if key]
    engine = filled(keys)
    forget(engine, pattern)
    assert set(keys) - engine.get_many(keys).keys() == gone


def test_a_pattern_counts_whatever_else_was_invalidated_beside_it() -> None:
    engine = filled(["a:1"])
    # Twice, so that the way there is remembered.
    for _ in range(2):
        engine.publish([name_of("").rpartition(":")[0]])
    assert engine.get("a:1") == 1
    forget(engine, "a:*")
    assert engine.get("a:1") is None


def test_what_is_stored_afterwards_stays() -> None:
    engine = filled(["a:1"])
    forget(engine, "a:*")
    engine.set("a:1", 2)
    assert engine.get("a:1") == 2
    forget(engine, "a:*")
    assert engine.get("a:1") is None


def test_what_was_computed_before_and_stored_afterwards_is_forgotten() -> None:
    engine = Engine()
    stamp = engine.stamp()
    forget(engine, "a:*")
    engine.set("a:1", "old", stamp=stamp)
    assert engine.get("a:1") is None


def test_a_pattern_in_doubt_hides_its_keys_until_it_is_settled() -> None:
    trie = PrefixTrie()
    trie.doubt([name_of("a:*")])
    assert not trie.valid((), 5, "a:1")
    assert trie.valid((), 5, "b:1")
    assert trie.valid(("a:1",), 5)
    trie.settle([name_of("a:*")])
    assert trie.valid((), 5, "a:1")


def test_pruning_never_brings_back_what_a_pattern_forgot() -> None:
    clock = ManualClock()
    engine = Engine(clock=clock)
    engine.set_many({"a:1": 1, "b:1": 2})
    # A node on the path of the key, so that no floor of the path itself stands in for the pattern.
    engine.publish(["=:a:2"])
    engine.set("b:2", 3)
    forget(engine, "a:*")
    clock.advance(10)
    engine.publish(["=:a:2"])
    forget(engine, "c:*")
    assert engine.prune(5) > 0
    assert engine.get("a:1") is None
    engine.set("a:1", 4)
    forget(engine, "b:*")
    assert engine.get_many(["a:1", "b:1", "b:2"]) == {"a:1": 4}
    clock.advance(10)
    engine.prune(5)
    assert engine.get_many(["a:1", "b:1", "b:2"]) == {}, "older than a pattern that is not known"


def test_pruned_elsewhere() -> None:
    for branch in ("=", "=:~"):
        trie = PrefixTrie()
        trie.mark(1, ["=:a:2"], 0.0)
        trie.advance(1)
        trie.raise_floor(branch, 5, 0.0)
        assert not trie.valid((), 4, "a:1")
        assert trie.valid((), 5, "a:1")


@given(st.text("ab*?[]-:", max_size=12), st.text("ab[]-:", max_size=12))
def test_wildcards_mean_what_they_mean_to_the_shell(pattern: str, key: str) -> None:
    assert matches(pattern, key) is fnmatchcase(key, pattern)


@given(st.text(max_size=12), st.text(max_size=12))
def test_an_escaped_text_matches_itself_alone(text: str, other: str) -> None:
    assert matches(escape(text), text)
    assert matches(escape(text), other) is (text == other)
    assert pattern_of(name_of(text)) == text


@given(
    st.lists(st.sampled_from(["a*", "a:*", "*b", "a:?", "b", "a:[bc]*"]), max_size=6),
    st.lists(st.text("ab:c", min_size=1, max_size=4), min_size=1, unique=True),
)
def test_many_patterns_forget_what_each_one_means(patterns: list[str], keys: list[str]) -> None:
    engine = filled(keys)
    forget(engine, *patterns)
    kept = {key for key in keys if not any(fnmatchcase(key, pattern) for pattern in patterns)}
    assert engine.get_many(keys).keys() == kept
