"""Calls whose result is stored whatever they read, and only where nobody else stored one."""

from __future__ import annotations

from typing import Any

import pytest

from zoocache_core import Engine, UnsupportedValue, add_deps
from zoocache_core.calls import Call, call, unwrap
from zoocache_core.deps import current_scope
from zoocache_core.flows import arun, run


def fetch(engine: Engine, request: Call) -> Any:
    return unwrap(run(call(engine, request, blocking=True)))


def read_something_private() -> int:
    add_deps("rows")
    scope = current_scope()
    assert scope is not None
    scope.forbid("it was read in a transaction")
    return 1


def test_what_an_untracked_call_reads_does_not_matter() -> None:
    engine = Engine()
    assert fetch(engine, Call("tracked", read_something_private)) == 1
    assert engine.get("tracked") is None
    request = Call("k", read_something_private, deps=("own",), tracked=False)
    assert fetch(engine, request) == 1
    assert engine.get("k") == 1
    engine.invalidate("rows")
    assert engine.get("k") == 1
    engine.invalidate("own")
    assert engine.get("k") is None


def test_a_computation_around_an_untracked_call_still_depends_on_what_that_reads() -> None:
    engine = Engine()

    def inner() -> int:
        add_deps("rows")
        return 1

    outer = Call("outer", lambda: fetch(engine, Call("inner", inner, tracked=False)))
    assert fetch(engine, outer) == 1
    engine.invalidate("rows")
    assert engine.get("outer") is None
    assert engine.get("inner") == 1


def test_an_untracked_call_says_that_its_value_cannot_be_stored() -> None:
    engine = Engine(verify_values=False)

    def unpicklable() -> Any:
        return [lambda: None]

    assert callable(fetch(engine, Call("k", unpicklable))[0])
    with pytest.raises(UnsupportedValue):
        fetch(engine, Call("k", unpicklable, tracked=False))


@pytest.mark.parametrize("tracked", [True, False])
async def test_an_exclusive_call_leaves_what_somebody_else_stored_meanwhile(tracked: bool) -> None:
    engine = Engine()

    def overtaken() -> str:
        engine.set("k", "theirs")
        return "ours"

    async def aovertaken() -> str:
        return overtaken()

    request = Call("k", overtaken, tracked=tracked, exclusive=True)
    assert fetch(engine, request) == "ours"
    assert engine.get("k") == "theirs"
    engine.delete("k")
    request = Call("k", aovertaken, tracked=tracked, exclusive=True)
    assert unwrap(await arun(call(engine, request, blocking=False))) == "ours"
    assert engine.get("k") == "theirs"
    assert fetch(engine, Call("other", lambda: "ours", exclusive=True)) == "ours"
    assert engine.get("other") == "ours"


def test_an_exclusive_call_replaces_what_was_invalidated_meanwhile() -> None:
    engine = Engine()

    def overtaken() -> str:
        engine.set("k", "theirs", deps="t")
        engine.invalidate("t")
        return "ours"

    assert fetch(engine, Call("k", overtaken, exclusive=True)) == "ours"
    assert engine.get("k") == "ours"
