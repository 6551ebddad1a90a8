"""What is recorded of invalidations is enough to judge as those do who saw them happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoocache_core.globs import name_of
from zoocache_core.lmdb.database import Database
from zoocache_core.sequence.lmdb_tags import LogTrimmed, TagTable, load, logged, read_counters
from zoocache_core.trie import CALLS, PrefixTrie

ORIGIN = 1000
PAGES = 1024


@contextmanager
def database(pages: int = PAGES) -> Iterator[Database]:
    with TemporaryDirectory() as directory:
        made = Database(Path(directory) / "tags.mdb", pages * 4096, b"test", lambda: None)
        made.open(first=True)
        try:
            yield made
        finally:
            made.close()


def table_of(pages: int = PAGES) -> TagTable:
    return TagTable(ORIGIN, pages, 4096)


def follow(made: Database, trie: PrefixTrie) -> None:
    """Bring ``trie`` up to date from the log."""

    def apply(txn: Any) -> None:
        counters = read_counters(txn, ORIGIN)
        for number, tags in logged(txn, counters, trie.position):
            trie.mark(number, tags, float(number))
        trie.advance(counters.position)

    made.read(apply)


def loaded(made: Database) -> PrefixTrie:
    return made.read(lambda txn: load(txn, read_counters(txn, ORIGIN), 0.0))


segments = st.sampled_from(["a", "b", "c"])
tags = st.lists(segments, max_size=3).map(":".join)
calls = st.lists(segments, min_size=1, max_size=2).map(lambda parts: ":".join([CALLS, *parts]))
deps = st.one_of(
    st.lists(segments, min_size=1, max_size=3).map(":".join),
    st.lists(segments, max_size=2).map(lambda parts: ":".join([*parts, "*"])),
    calls,
)
entries = st.tuples(
    st.lists(deps, max_size=2), st.integers(ORIGIN, ORIGIN + 20), st.sampled_from(["a:b", "c", "x"])
)
histories = st.lists(
    st.one_of(
        st.lists(st.one_of(tags, calls), min_size=1, max_size=3),
        st.sampled_from(["prune"]),
    ),
    max_size=15,
)


@given(histories, st.lists(entries, min_size=1, max_size=10))
def test_who_loads_the_tags_judges_as_one_who_saw_it_all(history: Any, judged: Any) -> None:
    """Exactly so without pruning; with it, what is judged valid is valid in truth."""
    truth = PrefixTrie()
    truth.advance(ORIGIN)
    pruned = False
    with database() as made:
        table = table_of()
        for event in history:
            if event == "prune":
                pruned = True
                outdated = made.read(lambda txn: table.outdated(txn, truth.position - 3.0))
                made.write(lambda txn, outdated=outdated: table.drop(outdated, txn))
                continue
            number = made.write(
                lambda txn, event=event: table.publish(txn, event, float(truth.position))
            )
            assert number == truth.position + 1
            truth.mark(number, event, 0.0)
            truth.advance(number)
        newcomer = loaded(made)
    assert newcomer.position == truth.position
    for depends, stamp, key in judged:
        verdict, right = newcomer.valid(depends, stamp, key), truth.valid(depends, stamp, key)
        if pruned:
            assert right or not verdict
        else:
            assert verdict == right


@given(st.lists(st.one_of(st.lists(st.one_of(tags, calls), min_size=1), st.none()), max_size=20))
def test_a_follower_catches_up_from_any_position(events: Any) -> None:
    follower, truth = PrefixTrie(), PrefixTrie()
    follower.advance(ORIGIN)
    with database() as made:
        table = table_of()
        for event in events:
            if event is None:
                follow(made, follower)
                continue
            number = made.write(lambda txn, event=event: table.publish(txn, event, 0.0))
            truth.mark(number, event, 0.0)
        follow(made, follower)
    for tag in ("a", "b", "a:b", "c:c:c", CALLS, f"{CALLS}:a:b"):
        assert follower.number_of(tag) == truth.number_of(tag)


def test_the_log_is_trimmed_and_who_is_behind_it_is_told() -> None:
    follower = PrefixTrie()
    follower.advance(ORIGIN)
    with database() as made:
        table = table_of()
        for number in range(PAGES + 1):
            made.write(lambda txn, number=number: table.publish(txn, (f"t:{number}",), 0.0))
        assert made.read(lambda txn: read_counters(txn, ORIGIN).trimmed) == ORIGIN + 1
        with pytest.raises(LogTrimmed):
            follow(made, follower)
        follower.advance(ORIGIN + 1)
        follow(made, follower)
        assert follower.number_of("t:0") == 0, "this one was only in what was trimmed"
        assert follower.number_of("t:1") == ORIGIN + 2
        assert loaded(made).number_of("t:0") == ORIGIN + 1


def test_a_publication_too_large_for_the_log_is_found_among_the_tags() -> None:
    follower = PrefixTrie()
    follower.advance(ORIGIN)
    many = [f"t:{number}" for number in range(5000)]
    with database() as made:
        made.write(lambda txn: table_of().publish(txn, many, 0.0))
        with pytest.raises(LogTrimmed):
            follow(made, follower)
        assert loaded(made).number_of("t:4999") == ORIGIN + 1


@pytest.mark.parametrize("pages", [64, 256])
def test_more_tags_than_the_database_can_hold(pages: int) -> None:
    """The numbers of some are dropped, and whoever comes later is stricter for it."""
    truth = PrefixTrie()
    with database(pages) as made:
        table = table_of(pages)
        for number in range(20_000):
            names = (f"t:{number}", f"{CALLS}:module.function:{number}")
            given_number = made.write(lambda txn, names=names: table.publish(txn, names, 0.0))
            truth.mark(given_number, names, 0.0)
        newcomer = loaded(made)
        assert made.read(lambda txn: txn.stat()["entries"]) < 40_000 / 2
    assert newcomer.position == ORIGIN + 20_000
    for number in (0, 1, 5000, 19_000, 19_999):
        for stamp in (ORIGIN, ORIGIN + number, ORIGIN + number + 1):
            dep = (f"t:{number}",)
            assert truth.valid(dep, stamp) or not newcomer.valid(dep, stamp)
    assert newcomer.valid(("t:19999",), ORIGIN + 20_000)


@pytest.mark.parametrize(
    ("tag", "deps", "key"),
    [
        ("a:b", ("a:b:c",), "k"),
        ("a:b", ("a:*",), "k"),
        (f"{CALLS}:f:1", (), "f:1"),
        (f"{CALLS}:f", (), "f:1"),
        (f"{CALLS}:f:1", (f"{CALLS}:f:1",), "k"),
        (name_of("k*"), (), "key"),
    ],
)
def test_what_was_dropped_stays_invalid(tag: str, deps: tuple[str, ...], key: str) -> None:
    with database() as made:
        table = table_of()
        made.write(lambda txn: table.publish(txn, ("old",), 0.0))
        number = made.write(lambda txn: table.publish(txn, (tag,), 1.0))
        made.write(lambda txn: table.publish(txn, ("young",), 3.0))
        for before in (1.0, 2.0):
            made.write(lambda txn, b=before: table.drop(table.outdated(txn, b), txn))
            trie = loaded(made)
            assert trie.valid(deps, number - 1, key) is False
            assert trie.valid(deps, number + 1, key) is True
        assert made.read(lambda txn: len(table.outdated(txn, 10.0))) == 1, "young alone is left"


def test_tags_of_any_length() -> None:
    long = f"{CALLS}:{'k' * 5000}"
    other = f"{CALLS}:{'k' * 5001}"
    with database() as made:
        table = table_of()
        made.write(lambda txn: table.publish(txn, (long,), 0.0))
        made.write(lambda txn: table.publish(txn, (other,), 0.0))
        trie = loaded(made)
    assert (trie.number_of(long), trie.number_of(other)) == (ORIGIN + 1, ORIGIN + 2)
