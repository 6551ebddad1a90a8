"""WriteBuffer against a naive model: a list of frames of tags, searched linearly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zoocache_core.errors import InvalidTag
from zoocache_core.transactions import MAX_SIBLINGS, WriteBuffer

SEGMENTS = st.sampled_from(["a", "b", "ab", "1"])
TAGS = st.lists(SEGMENTS, min_size=1, max_size=4).map(":".join)
DEPS = st.one_of(TAGS, TAGS.map(lambda tag: f"{tag}:*"), st.just("*"))


def outdated_by(written: str, dep: str) -> bool:
    """Whether ``invalidate(written)`` outdates an entry that depends on ``dep``, by definition."""
    target = [] if written == "*" else written.removesuffix(":*").split(":")
    path = dep.split(":")
    wildcard = path[-1] == "*"
    if wildcard:
        path = path[:-1]
    below = path[: len(target)] == target
    above = wildcard and target[: len(path)] == path
    return below or above


class BufferMachine(RuleBasedStateMachine):
    """Writes, savepoints and rollbacks in any order, compared with nested lists."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = WriteBuffer()
        self.frames: list[list[str]] = [[]]
        self.tokens: list[int] = []

    @rule(tags=st.lists(DEPS, max_size=3))
    def touch(self, tags: list[str]) -> None:
        self.buffer.touch(*tags)
        self.frames[-1].extend(tags)

    @rule()
    def savepoint(self) -> None:
        self.tokens.append(self.buffer.savepoint())
        self.frames.append([])

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def roll_back_to_savepoint(self, data: st.DataObject) -> None:
        depth = data.draw(st.integers(0, len(self.tokens) - 1))
        self.buffer.rollback_to(self.tokens[depth])
        del self.tokens[depth + 1 :]
        del self.frames[depth + 1 :]
        self.frames.append([])

    @precondition(lambda self: self.tokens)
    @rule()
    def release_savepoint(self) -> None:
        self.tokens.pop()
        inner = self.frames.pop()
        self.frames[-1].extend(inner)

    @rule()
    def commit(self) -> None:
        written = [tag for frame in self.frames for tag in frame]
        tags = self.buffer.commit()
        for dep in written:
            assert any(outdated_by(tag, dep) for tag in tags)
        for tag in tags:
            assert any(outdated_by(other, tag) for other in written)
        self._start_again()

    @rule()
    def roll_back(self) -> None:
        self.buffer.rollback()
        self._start_again()

    def _start_again(self) -> None:
        assert not self.buffer
        self.frames = [[]]
        self.tokens = []

    @rule(dep=DEPS)
    def ask(self, dep: str) -> None:
        written = [tag for frame in self.frames for tag in frame]
        expected = any(outdated_by(tag, dep) for tag in written)
        assert self.buffer.touches(dep) is expected
        assert self.buffer.touches_any(["unrelated", dep]) is (expected or "*" in written)

    @invariant()
    def is_true_when_something_was_written(self) -> None:
        assert bool(self.buffer) is any(self.frames)


TestBufferMachine = BufferMachine.TestCase


def test_pending_leaves_out_what_an_ancestor_covers() -> None:
    buffer = WriteBuffer()
    buffer.touch("shop.product:1", "shop.product:2", "shop.product:1")
    buffer.touch("shop.product")
    buffer.touch("shop.product:3")
    assert buffer.pending() == ("shop.product",)


def test_pending_of_everything_is_the_wildcard_that_invalidate_understands() -> None:
    buffer = WriteBuffer()
    buffer.touch("a", "*")
    assert buffer.pending() == ("*",)


def test_rollback_to_an_undone_savepoint_changes_nothing() -> None:
    buffer = WriteBuffer()
    outer = buffer.savepoint()
    buffer.touch("a")
    inner = buffer.savepoint()
    assert buffer.rollback_to(outer)
    assert not buffer.rollback_to(inner)
    assert not buffer


def test_the_savepoint_survives_its_own_rollback() -> None:
    buffer = WriteBuffer()
    buffer.touch("kept")
    savepoint = buffer.savepoint()
    for tag in ("first", "second"):
        buffer.touch(tag)
        assert buffer.rollback_to(savepoint)
    assert buffer.pending() == ("kept",)


def test_many_rows_of_one_table_become_the_table() -> None:
    buffer = WriteBuffer()
    buffer.touch(*(f"shop.product:{pk}" for pk in range(MAX_SIBLINGS - 1)))
    assert len(buffer.pending()) == MAX_SIBLINGS - 1
    assert not buffer.touches("shop.product:-")
    savepoint = buffer.savepoint()

    buffer.touch("shop.product:last", "shop.product:one_more")
    assert buffer.pending() == ("shop.product",)
    assert buffer.touches("shop.product:never_written")

    assert buffer.rollback_to(savepoint)
    assert len(buffer.pending()) == MAX_SIBLINGS - 1
    assert not buffer.touches("shop.product:never_written")


def test_only_the_branch_that_is_full_collapses() -> None:
    buffer = WriteBuffer()
    for org in range(MAX_SIBLINGS):
        buffer.touch(f"org:{org}:user:1")
    assert len(buffer.pending()) == MAX_SIBLINGS
    for user in range(MAX_SIBLINGS):
        buffer.touch(f"org:7:user:{user}")
    assert "org:7:user" in buffer.pending()
    assert len(buffer.pending()) == MAX_SIBLINGS


@given(tag=st.sampled_from(["", "a::b", "a b", "a:*:b", 5]))
def test_malformed_tags_are_refused(tag: str) -> None:
    with pytest.raises(InvalidTag):
        WriteBuffer().touch(tag)
