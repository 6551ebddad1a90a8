"""The deciding rule, at random: nobody ever gets a page that the view would not make for them now.

The view is a random decision tree. At each node it looks at something of the visitor or of the
data, and goes on accordingly; its page tells everything that it has seen. It is an honest view:
headers that it looks at it names in Vary, personal things are noted, data is declared as deps. Only
``Authorization`` it looks at without a word, as applications do.

Random visitors with random requests meet it in several processes that share a store, while data
changes, time passes, processes start and entries are lost. Whatever comes from the cache is
compared with what the view makes for the same visitor at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.http_visitors import Forbidden, Sent, Site, Visitor
from zoocache_core import Engine, add_deps
from zoocache_core.testing import ManualClock

PERSONAL = ("user", "session", "cookie:theme")
HEADERS = ("accept", "dnt", "authorization")
DATA = ("shop:product:1", "shop:product:2", "team")


@dataclass(frozen=True)
class Leaf:
    """How the view answers when it has seen enough."""

    kind: str


@dataclass(frozen=True)
class Node:
    """What the view looks at, and what it does next if it finds something there, or nothing."""

    what: str
    found: Node | Leaf
    nothing: Node | Leaf


LEAVES = ("plain", "public", "private", "cookie", "vary *", "404", "raise")

leaves = st.builds(Leaf, st.sampled_from(("plain", "plain", "plain", *LEAVES)))
trees = st.recursive(
    leaves,
    lambda below: st.builds(Node, st.sampled_from((*PERSONAL, *HEADERS, *DATA)), below, below),
    max_leaves=8,
)


class Application:
    """A view after a decision tree, and its data."""

    def __init__(self, tree: Node | Leaf) -> None:
        self.tree = tree
        self.data = dict.fromkeys(DATA, 0)

    def __call__(self, visitor: Visitor) -> Sent:
        seen: list[object] = [visitor.path, visitor.language]
        vary: set[str] = set()
        authorized = False
        node = self.tree
        while isinstance(node, Node):
            value: object
            if node.what in DATA:
                add_deps(node.what)
                number = self.data[node.what]
                value, truth = number, bool(number % 2)
            elif node.what in HEADERS:
                value = visitor.header(node.what)
                truth = bool(value)
                if node.what == "authorization":
                    authorized = True
                else:
                    vary.add(node.what)
            else:
                value = visitor.ask(node.what)
                truth = bool(value)
            seen.append((node.what, value))
            node = node.found if truth else node.nothing
        headers = [("Vary", name.upper()) for name in sorted(vary)]
        if node.kind == "private":
            headers.append(("Cache-Control", "Private"))
        elif node.kind == "public" and not authorized:
            headers.append(("Cache-Control", "public"))
        elif node.kind == "cookie":
            headers.append(("Set-Cookie", f"for={visitor.user_id}"))
        elif node.kind == "vary *":
            headers.append(("Vary", " *"))
        elif node.kind == "raise":
            raise Forbidden(repr(seen))
        status = 404 if node.kind == "404" else 200
        return Sent(repr(seen).encode(), tuple(headers), status)


maybe = st.none() | st.sampled_from(["", "a", "b"])
visitors = st.builds(
    Visitor,
    path=st.sampled_from(["/1", "/2"]),
    language=st.sampled_from(["en", "de"]),
    user_id=st.sampled_from([None, "ann", "ben"]),
    session_state=st.sampled_from([None, "s1", "s2"]),
    cookies=st.dictionaries(st.just("theme"), st.sampled_from(["", "dark"])),
    headers=st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(["", "x", "y"])),
)
process = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("get"), process, visitors),
        st.tuples(st.just("get"), process, visitors),
        st.tuples(st.just("head"), process, visitors),
        st.tuples(st.just("write"), st.sampled_from(DATA), st.sampled_from([0, 1])),
        st.tuples(st.just("pass"), st.sampled_from([1, 40, 61]), st.none()),
        st.tuples(st.just("restart"), process, st.none()),
        st.tuples(st.just("lose"), st.integers(0, 20), st.none()),
    ),
    max_size=30,
)


def answer_of(ask: Callable[[], Any]) -> tuple[int, bytes | None]:
    try:
        answer = ask()
    except Forbidden as error:
        return 403, str(error).encode()
    return answer.status, answer.body


@pytest.mark.parametrize("options", [{}, {"ttl": 60}, {"vary_headers": ["Accept"], "ttl": 60}])
@pytest.mark.parametrize("asynchronous", [False, True])
@given(tree=trees, steps=steps)
def test_nobody_gets_a_page_that_would_not_be_made_for_them_now(options, asynchronous, tree, steps):
    clock = ManualClock()
    engine = Engine(clock=clock)
    first = Site(engine, clock, asynchronous, **options)
    processes = [first, first.another_process(), first.another_process()]
    application = Application(tree)
    for action, which, how in steps:
        if action == "write":
            application.data[which] += 1
            # Sometimes it is the parent that is forgotten.
            engine.invalidate(which.split(":")[0] if how else which)
        elif action == "pass":
            clock.advance(which)
        elif action == "restart":
            processes[which] = first.another_process()
        elif action == "lose":
            keys = sorted(engine.storage._entries)
            if keys:
                engine.delete(keys[which % len(keys)])
        else:
            expected = answer_of(lambda visitor=how: application(visitor.again()))
            ask = partial(processes[which].get, application, how, method=action.upper())
            answer = answer_of(ask)
            assert answer[0] == expected[0]
            if action == "get" or answer[1]:
                assert answer == expected


@given(tree=trees, visitor=visitors, before=st.lists(visitors, max_size=6))
def test_what_was_made_and_stored_is_found_again_also_by_a_process_that_knows_nothing(
    tree, visitor, before
):
    """The other side: keeping pages apart is not the same as caching nothing."""
    site = Site()
    application = Application(tree)
    for other in before:
        answer_of(partial(site.get, application, other))
    try:
        made = site.get(application, visitor)
    except Forbidden:
        return
    if made.outcome == "BYPASS":
        return
    for process in (site, site.another_process()):
        again = process.get(application, visitor)
        assert (again.outcome, again.body) == ("HIT", made.body)
