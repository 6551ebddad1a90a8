"""The PrefixTrie: verdicts, floors, doubts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zoocache_core.globs import name_of
from zoocache_core.trie import CALLS, PrefixTrie

SEGMENTS = ["a", "b", "c"]
tags = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map(":".join)
deps = st.one_of(tags, tags.map(lambda tag: f"{tag}:*"), st.just("*"))


def marked(*numbered: tuple[int, str], at: float = 0.0) -> PrefixTrie:
    trie = PrefixTrie()
    for number, tag in numbered:
        with trie.lock:
            trie.mark(number, [tag], at)
            trie.advance(number)
    return trie


def reaches(tag: str, dep: str) -> bool:
    """The definition: does invalidating ``tag`` concern ``dep``?"""
    if tag == "":
        return True
    wild = dep == "*" or dep.endswith(":*")
    base = dep.removesuffix("*").removesuffix(":")
    above = base == tag or base.startswith(tag + ":")
    below = wild and (base == "" or tag.startswith(base + ":"))
    return above or below


@given(st.lists(st.one_of(tags, st.just("")), max_size=8), deps, st.integers(0, 9))
def test_the_verdict_is_the_definition(marks: list[str], dep: str, stamp: int) -> None:
    trie = marked(*enumerate(marks, start=1))
    expected = all(
        number <= stamp or not reaches(tag, dep) for number, tag in enumerate(marks, start=1)
    )
    assert trie.valid((dep,), stamp) is expected


@given(st.lists(tags, max_size=8), deps, st.integers(0, 9), st.integers(0, 9))
def test_pruning_never_makes_an_outdated_entry_valid(
    marks: list[str], dep: str, stamp: int, keep: int
) -> None:
    trie = PrefixTrie()
    for number, tag in enumerate(marks, start=1):
        with trie.lock:
            trie.mark(number, [tag], float(number))
            trie.advance(number)
    before = trie.valid((dep,), stamp)
    trie.prune(before=float(keep))
    after = trie.valid((dep,), stamp)
    assert before or not after
    # What is new enough survives every pruning.
    assert trie.valid((dep,), len(marks))


@given(st.lists(tags, min_size=1, max_size=6), tags, deps, st.integers(0, 6))
def test_a_tag_that_comes_back_after_pruning_remembers(
    marks: list[str], again: str, dep: str, stamp: int
) -> None:
    trie = marked(*enumerate(marks, start=1))
    before = trie.valid((dep,), stamp)
    trie.prune(before=1.0)
    with trie.lock:
        trie.mark(len(marks) + 1, [again], 2.0)
        trie.advance(len(marks) + 1)
    assert before or not trie.valid((dep,), stamp)


@given(st.permutations([(1, "a"), (2, "a:b"), (3, "a:b:c"), (4, "b"), (5, "")]), deps)
def test_the_order_of_marking_does_not_matter(order: list[tuple[int, str]], dep: str) -> None:
    trie = marked(*order)
    inorder = marked(*sorted(order))
    for stamp in range(6):
        assert trie.valid((dep,), stamp) is inorder.valid((dep,), stamp)


def test_only_invalidated_tags_have_nodes() -> None:
    trie = marked((1, "a:b"), (2, "a:c"))
    assert trie.valid(("x:y:z", "a:b:c:d"), 2)
    assert len(trie) == 3


def test_prune_says_what_it_dropped_and_keeps_what_is_recent() -> None:
    trie = marked((1, "a:b:c"), (2, "x"), at=1.0)
    with trie.lock:
        trie.mark(3, ["a:d"], 5.0)
        trie.advance(3)
    assert sorted(trie.prune(before=5.0)) == [("a:b", 1), ("x", 2)]
    assert len(trie) == 2
    assert not trie.valid(("a:b:c",), 0)
    assert not trie.valid(("a:new",), 0), "the parent's floor covers all missing children"
    assert trie.valid(("a:new",), 1)


def test_an_invalidation_after_pruning_reaches_a_remembered_path() -> None:
    trie = marked((1, "a:b"))
    trie.prune(before=1.0)
    with trie.lock:
        trie.mark(2, ["a:b"], 1.0)
        trie.advance(2)
    assert not trie.valid(("a:b",), 1)


def test_tags_below_a_remembered_path_are_new_nodes_each() -> None:
    trie = marked((1, "shop.product:1"), (2, "shop.product:2"), (3, "shop.product:2"))
    assert len(trie) == 3
    assert not trie.valid(("shop.product:2",), 2)
    assert trie.valid(("shop.product:1",), 1)
    assert not trie.valid(("shop.product:*",), 2)
    trie.prune(before=1.0)
    with trie.lock:
        trie.mark(4, ["shop.product:3"], 1.0)
        trie.advance(4)
    assert not trie.valid(("shop.product:3",), 3)
    assert not trie.valid(("shop.product:*",), 3)


def test_calls_are_judged_by_their_key() -> None:
    trie = marked((1, "x"))
    assert trie.valid((), 0, "module.f:i1")
    with trie.lock:
        trie.mark(2, [f"{CALLS}:module.f:i1"], 0.0)
        trie.advance(2)
    assert not trie.valid((), 1, "module.f:i1")
    assert trie.valid((), 1, "module.f:i2")
    assert trie.valid((), 2, "module.f:i1")


def test_a_pruned_call_stays_invalid() -> None:
    trie = marked((1, f"{CALLS}:module.f:i1"))
    trie.prune(before=1.0)
    assert not trie.valid((), 0, "module.f:i1")
    assert trie.valid((), 1, "module.f:i1")


def test_doubt_hides_until_settled_and_counts() -> None:
    trie = marked((1, "x"))
    epoch = trie.epoch
    trie.doubt(["a:b"])
    trie.doubt(["a:b"])
    assert trie.epoch > epoch
    assert not trie.valid(("a:b:c",), 9)
    assert not trie.valid(("a:*",), 9)
    assert trie.valid(("a:c",), 9)
    trie.settle(["a:b"])
    assert not trie.valid(("a:b:c",), 9)
    trie.settle(["a:b"])
    assert trie.valid(("a:b:c",), 9)


def test_doubt_of_the_root_and_of_a_call() -> None:
    trie = PrefixTrie()
    trie.doubt([""])
    assert not trie.valid((), 9)
    trie.settle([""])
    trie.doubt([f"{CALLS}:module.f"])
    assert not trie.valid((), 9, "module.f:i1")
    assert trie.valid((), 9, "module.g:i1")


def test_a_loaded_floor_outdates_old_entries_under_it() -> None:
    trie = PrefixTrie()
    with trie.lock:
        trie.raise_floor("a", 5, 0.0)
        trie.advance(5)
    assert not trie.valid(("a:b",), 4)
    assert not trie.valid(("a:*",), 4)
    assert trie.valid(("a",), 4)
    assert trie.valid(("a:b",), 5)


def test_adopting_takes_over_tags_calls_and_patterns() -> None:
    newer = marked((3, "a"), (4, f"{CALLS}:f:1"), (5, name_of("g:*")))
    trie = marked((1, "b"))
    with trie.lock:
        trie.adopt(newer)
    assert trie.position == 5
    assert not trie.valid(["a"], 2)
    assert not trie.valid(["x"], 3, key="f:1")
    assert not trie.valid(["x"], 4, key="g:1")
    assert trie.valid(["b"], 0, key="f:2")


def test_restart_forgets_numbers() -> None:
    trie = marked((7, "a"))
    with trie.lock:
        trie.mark(8, ["a:b"], 0.0)
        trie.restart(3)
        trie.mark(4, ["a:b"], 0.0)
        trie.advance(4)
    assert trie.position == 4
    assert trie.valid(("a",), 3)
    assert not trie.valid(("a:b",), 3)
