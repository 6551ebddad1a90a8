"""A page made for one visitor is never shown to another, whatever a process knows or has forgotten,
and a page that may be shared is computed once."""

from __future__ import annotations

import threading
from enum import IntEnum

import pytest

from tests.core.http_visitors import Forbidden, Received, Sent, Site, View, Visitor, says
from zoocache_core import Engine, add_deps
from zoocache_core.codec import Codec
from zoocache_core.events import EventSink
from zoocache_core.fastpaths import no_hit
from zoocache_core.http import PagePolicy, url_tag, view_tag
from zoocache_core.http.learned import Learned
from zoocache_core.testing import ManualClock, in_threads

ANN = Visitor(user_id="ann", session_state="s-ann")
BEN = Visitor(user_id="ben", session_state="s-ben")
NOBODY = Visitor()


def greeting(what: str = "user") -> View:
    return lambda visitor: Sent(f"Hello {visitor.ask(what)}".encode())


@pytest.fixture(params=["blocking", "asynchronous"])
def site(request) -> Site:
    return Site(asynchronous=request.param == "asynchronous")


# Personal pages


@pytest.mark.parametrize("what", ["user", "session"])
def test_the_first_visitors_page_is_shown_to_nobody_else(site, what):
    """Before its first run nobody knows that the page is personal."""
    view = greeting(what)
    assert site.get(view, ANN).outcome == "MISS"
    for visitor in (BEN, NOBODY):
        answer = site.get(view, visitor)
        assert answer.body == view(visitor).body
        assert answer.outcome == "MISS"
    for visitor in (ANN, BEN, NOBODY):
        answer = site.get(view, visitor)
        assert (answer.body, answer.outcome) == (view(visitor).body, "HIT")


def test_nor_by_a_process_that_knows_nothing_yet(site):
    view = greeting()
    site.get(view, ANN)
    for visitor in (BEN, NOBODY, ANN):
        answer = site.another_process().get(view, visitor)
        assert answer.body == view(visitor).body
        assert (answer.outcome == "HIT") == (visitor is ANN)


def test_a_page_that_becomes_personal_is_kept_apart_from_then_on(site):
    """The view reads the user only while the product is a draft."""
    draft = [False]

    def view(visitor: Visitor) -> Sent:
        add_deps("product:1")
        return greeting()(visitor) if draft[0] else Sent(b"public")

    assert site.get(view, ANN).body == b"public"
    other = site.another_process()
    assert other.get(view, BEN).outcome == "HIT"
    draft[0] = True
    site.engine.invalidate("product:1")
    assert site.get(view, ANN).body == b"Hello ann"
    assert other.get(view, BEN).body == b"Hello ben"
    assert other.get(view, ANN).outcome == "HIT"
    assert site.get(view, BEN).outcome == "HIT"


def test_two_processes_that_learn_different_things_never_mix_visitors_up(site):
    """One sees the page depend on the user, the other on a header; both only for some visitors."""

    def view(visitor: Visitor) -> Sent:
        if visitor.ask("cookie:mode") == "full":
            return greeting()(visitor)
        return Sent(f"accepts {visitor.header('accept')}".encode(), (("Vary", "Accept"),))

    other = site.another_process()
    visitors = [
        visitor.again(cookies=cookies, headers={"accept": accept})
        for visitor in (ANN, BEN)
        for cookies in ({}, {"mode": "full"})
        for accept in ("text/html", "application/json")
    ]
    for _ in range(2):
        for index, visitor in enumerate(visitors):
            for process in (site, other) if index % 2 else (other, site):
                assert process.get(view, visitor).body == view(visitor.again()).body


def test_what_was_learned_from_one_visitor_stays_learned_with_the_next(site):
    """The view reads the user of some visitors only; the two kinds do not push each other out."""

    def view(visitor: Visitor) -> Sent:
        vary = (("Vary", "X-Mode"),)
        if visitor.header("x-mode") == "full":
            return Sent(f"Hello {visitor.ask('user')}".encode(), vary)
        return Sent(b"short", vary)

    full, short = {"x-mode": "full"}, {"x-mode": "short"}
    site.get(view, ANN, headers=short)
    site.get(view, ANN, headers=full)
    site.get(view, ANN, headers=short)
    for process in (site, site.another_process()):
        for _ in range(2):
            for headers in (full, short):
                answer = process.get(view, ANN, headers=headers)
                assert answer.outcome == "HIT"
                assert answer.body == view(ANN.again(headers=headers)).body


def test_per_user_true_keeps_apart_from_the_start(site):
    site = Site(asynchronous=site.asynchronous, per_user=True)
    assert site.get(says("page"), ANN).outcome == "MISS"
    assert site.get(says("page"), BEN).outcome == "MISS"
    assert site.get(says("page"), ANN).outcome == "HIT"
    assert "private" in site.get(says("page"), ANN)["cache-control"]


def test_per_user_false_shares_what_the_view_reads_without_showing_it(site):
    site = Site(asynchronous=site.asynchronous, per_user=False)
    site.get(greeting(), ANN)
    answer = site.get(greeting(), BEN)
    assert (answer.outcome, answer.body) == ("HIT", b"Hello ann")
    assert "private" not in answer["cache-control"]


def test_the_user_is_not_asked_for_where_the_page_does_not_depend_on_it(site):
    class Expensive(Visitor):
        def user(self) -> str | None:
            raise AssertionError("costs a database query")

    site.get(says("page"), Expensive())
    assert site.get(says("page"), Expensive()).outcome == "HIT"


# Vary


@pytest.mark.parametrize("named", [True, False])
def test_pages_are_kept_apart_by_the_headers_they_vary_on(site, named):
    options = {"vary_headers": ["Accept"]} if named else {}
    site = Site(asynchronous=site.asynchronous, **options)

    def view(visitor: Visitor) -> Sent:
        vary = () if named else (("Vary", "Accept"),)
        return Sent(f"accepts {visitor.header('accept')!r}".encode(), vary)

    values = [{"accept": "a"}, {"accept": "b"}, {"accept": ""}, {}]
    for headers in values:
        assert site.get(view, headers=headers).outcome == "MISS"
    for process in (site, site.another_process()):
        for headers in values:
            answer = process.get(view, headers=headers)
            assert answer.body == view(Visitor(headers=headers)).body
            assert answer.outcome == "HIT"


def test_pages_are_kept_apart_by_named_cookies_and_no_others(site):
    site = Site(asynchronous=site.asynchronous, vary_cookies=["theme"])

    def view(visitor: Visitor) -> Sent:
        return Sent(f"in {visitor.cookie('theme')}".encode())

    site.get(view, cookies={"theme": "dark", "analytics": "1"})
    assert site.get(view, cookies={"theme": "light"}).body == b"in light"
    assert site.get(view).body == b"in None"
    answer = site.get(view, cookies={"theme": "dark", "analytics": "2"})
    assert (answer.outcome, answer.body) == ("HIT", b"in dark")


def test_an_origin_that_was_allowed_is_part_of_the_page_even_if_vary_forgets_it(site):
    def view(visitor: Visitor) -> Sent:
        origin = visitor.header("origin") or "https://own.example"
        return Sent(headers=(("Access-Control-Allow-Origin", origin),))

    for origin in ("https://a.example", "https://b.example"):
        answer = site.get(view, headers={"origin": origin})
        assert answer["access-control-allow-origin"] == origin
        assert answer["vary"] == "Origin"


@pytest.mark.parametrize("change", [{"language": "de"}, {"timezone": "Asia/Tokyo"}])
def test_language_and_time_zone_always_keep_pages_apart(site, change):
    site.get(says("page"), language="en", timezone="UTC")
    request = {"language": "en", "timezone": "UTC", **change}
    assert site.get(says("Seite"), **request).body == b"Seite"


# Round trips


class Counted:
    """A site whose storage counts how often it is asked. A sink sends every lookup there."""

    def __init__(self, **options) -> None:
        clock = ManualClock()
        sink: EventSink = type("Sink", (), {n: lambda *a: None for n in vars(EventSink)})()
        self.site = Site(Engine(clock=clock, events=[sink]), clock, **options)
        storage = self.site.engine.storage
        self.asked: list[list[str]] = []
        get = storage.get

        def get_many(keys: list[str]) -> list[object]:
            self.asked.append(list(keys))
            return [get(key) for key in keys]

        storage.get = lambda key: get_many([key])[0]
        storage.get_many = get_many

    def trips(self, site: Site, view: View, visitor: Visitor, outcome="HIT", **request) -> int:
        del self.asked[:]
        answer = site.get(view, visitor, **request)
        assert answer.outcome == outcome
        return len(self.asked)


def test_a_hit_costs_one_round_trip_and_a_cold_process_one_more_once():
    counted = Counted()
    site = counted.site
    public, personal = says("page"), greeting()
    site.get(public, ANN, path="/public")
    for path in ("/me", "/me/2", "/me/3"):
        site.get(personal, ANN, path=path)
    assert counted.trips(site, public, BEN, path="/public") == 1
    assert counted.trips(site, personal, ANN, path="/me") == 1
    cold = site.another_process()
    assert counted.trips(cold, public, BEN, path="/public") == 1
    assert counted.trips(cold, personal, ANN, path="/me") == 2
    assert counted.trips(cold, personal, ANN, path="/me") == 1
    # The view's other pages are expected to depend on the same, and asked for accordingly.
    assert counted.trips(cold, personal, ANN, path="/me/2") == 1
    assert counted.trips(cold, personal, ANN, path="/me/2") == 1
    assert counted.asked == [counted.asked[0][-1:]], "once known, one key is enough"


def test_a_miss_and_an_old_page_are_looked_up_once():
    counted = Counted(ttl=60, stale_while_revalidate=30)
    site = counted.site
    assert counted.trips(site, says("page"), ANN, "MISS") == 1
    site.clock.advance(61)
    site.background = lambda task: False
    assert counted.trips(site, says("page"), ANN, "STALE") == 1


def test_a_wrong_expectation_costs_one_more_round_trip_and_nothing_else():
    counted = Counted()
    site = counted.site
    site.get(says("page"), ANN, path="/public")
    site.get(greeting("session"), ANN, path="/by-session")
    cold = site.another_process()
    cold.get(greeting(), ANN, path="/me")
    assert counted.trips(cold, says("page"), BEN, path="/public") == 1
    assert counted.trips(cold, greeting("session"), ANN, path="/by-session") == 2
    assert counted.trips(cold, greeting("session"), ANN, path="/by-session") == 1


def test_public_pages_of_a_view_with_personal_ones_are_shared(site):
    """What was learned of one page is not held against another."""
    site.get(greeting(), ANN, path="/draft")
    assert site.get(says("page"), ANN, path="/public").outcome == "MISS"
    assert site.get(says("page"), BEN, path="/public").outcome == "HIT"
    assert site.another_process().get(says("page"), NOBODY, path="/public").outcome == "HIT"


def test_what_a_process_remembers_is_bounded_and_what_it_learned_last_is_kept():
    memory = Learned(limit=8)
    for number in range(100):
        memory.learn(f"p{number}", ("user",))
        memory.mark(f"p{number}", uncacheable=True)
        for last in range(max(0, number - 3), number + 1):
            assert memory.variations(f"p{last}") == ("user",)
            assert memory.uncacheable(f"p{last}")
    known = [number for number in range(100) if memory.variations(f"p{number}") is not None]
    marked = [number for number in range(100) if memory.uncacheable(f"p{number}")]
    assert len(known) <= 8
    assert len(marked) <= 8
    memory.mark("p99", uncacheable=False)
    assert not memory.uncacheable("p99")


def test_a_lost_pointer_costs_a_computation_at_most(site):
    view = greeting()
    site.get(view, ANN)
    entries = site.engine.storage._entries
    (pointer,) = [key for key, entry in entries.items() if entry.held[0] == "vary/1"]
    site.engine.delete(pointer)
    cold = site.another_process()
    assert cold.get(view, BEN).body == b"Hello ben"
    assert cold.get(view, ANN).outcome == "HIT"


def test_a_record_of_another_release_is_made_anew(site):
    site.get(says("page"))
    (key,) = site.engine.storage._entries
    for strange in [("page/0", "?"), ("page/1",), {"status": 200}, None, "page"]:
        site.engine.set(key, strange)
        answer = site.get(says("new"))
        assert (answer.outcome, answer.body) == ("MISS", b"new")
        assert site.get(says("newer")).body == b"new"


def test_what_is_stored_needs_no_pickling_in_a_shared_store(site):
    """Nothing is unpickled from a store that others can write to, and no key need be configured."""
    site = Site(
        asynchronous=site.asynchronous, ttl=60, cdn_header="Cache-Tag", harmless_cookies="a"
    )
    headers = (("Vary", "Accept"), ("Set-Cookie", "a=1"), ("X-Binary", "\xff\udcff"))
    site.get(lambda visitor: Sent((visitor.ask("user") or "").encode(), headers), ANN)
    codec = Codec()
    forms = set()
    for key, entry in site.engine.storage._entries.items():
        forms.add(entry.held[0])
        assert codec.loads(codec.dumps(entry.held, key), key) == entry.held
    assert forms == {"page/1", "vary/1"}


def test_a_page_that_says_it_depends_on_more_than_its_key_has_is_not_shown(site):
    site.get(greeting(), ANN)
    entries = site.engine.storage._entries
    ((key, pointer),) = [one for one in entries.items() if one[1].held[0] == "vary/1"]
    (page,) = [entry.held for entry in entries.values() if entry is not pointer]
    site.engine.set(key, page)
    assert site.another_process().get(greeting(), BEN).body == b"Hello ben"


# One computation


class Gate:
    """A view that waits inside until it is let go, and notes who entered."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.entered: list[Visitor] = []
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, visitor: Visitor) -> Sent:
        self.entered.append(visitor)
        self.inside.release()
        assert self.go.wait(20)
        return self.view(visitor)


def together(site: Site, gate: Gate, visitors: list[Visitor], runs: int) -> list[Received]:
    """Let all `visitors` in while the first one's view runs; `runs` views are to be running before
    any may end. Every other visitor is waiting for a flight by then."""

    def release() -> None:
        assert gate.inside.acquire(timeout=20)
        waiting = len(visitors) - 1
        deadline = threading.Event()
        for _ in range(2000):
            if site.engine.stats().flight_waits >= waiting or len(gate.entered) >= len(visitors):
                break
            deadline.wait(0.005)
        else:
            raise AssertionError("the other visitors never arrived")
        gate.go.set()

    def visit(index: int) -> Received:
        if index == len(visitors):
            release()
            return Received(0, (), b"", made=False)
        return site.get(gate, visitors[index])

    answers = in_threads(len(visitors) + 1, visit)[:-1]
    assert len(gate.entered) == runs
    return answers


def test_of_many_visitors_to_a_cold_page_one_computes_and_all_get_the_page():
    gate = Gate(says("page"))
    answers = together(Site(), gate, [NOBODY] * 8, runs=1)
    assert [answer.body for answer in answers] == [b"page"] * 8
    assert sorted(answer.outcome for answer in answers) == ["HIT"] * 7 + ["MISS"]


def test_those_who_wait_for_a_page_that_turns_out_personal_get_their_own():
    gate = Gate(greeting())
    visitors = [ANN, BEN, NOBODY] * 3
    answers = together(Site(), gate, visitors, runs=3)
    for visitor, answer in zip(visitors, answers, strict=True):
        assert answer.body == f"Hello {visitor.user_id}".encode()


def test_those_who_wait_for_a_page_that_cannot_be_stored_run_it_themselves():
    gate = Gate(lambda visitor: Sent(str(visitor.user_id).encode(), (("Set-Cookie", "a=1"),)))
    site = Site()
    visitors = [ANN, BEN, NOBODY, ANN]
    answers = together(site, gate, visitors, runs=4)
    assert [answer.outcome for answer in answers] == ["BYPASS"] * 4
    for visitor, answer in zip(visitors, answers, strict=True):
        assert answer.body == str(visitor.user_id).encode()


def test_a_page_known_not_to_be_storable_is_waited_for_by_nobody():
    site = Site()
    site.get(says("x", ("Set-Cookie", "a=1")))
    both_inside = threading.Barrier(4)

    def view(visitor: Visitor) -> Sent:
        both_inside.wait(20)
        return Sent(headers=(("Set-Cookie", "a=1"),))

    answers = in_threads(4, lambda index: site.get(view))
    assert [answer.outcome for answer in answers] == ["BYPASS"] * 4


def test_a_page_that_can_be_stored_again_is_shared_again():
    site = Site()
    site.get(says("x", ("Set-Cookie", "a=1")))
    assert site.get(says("page")).outcome == "MISS"
    assert site.get(says("page")).outcome == "HIT"
    site.engine.clear()
    gate = Gate(says("page"))
    together(site, gate, [NOBODY] * 3, runs=1)


def test_an_error_that_concerns_one_visitor_is_not_raised_at_another():
    def view(visitor: Visitor) -> Sent:
        if visitor.ask("user") != "ann":
            raise Forbidden(visitor.user_id)
        return Sent(b"secret")

    gate = Gate(view)
    site = Site()

    def visit(visitor: Visitor) -> object:
        try:
            return site.get(gate, visitor).body
        except Forbidden as error:
            return error.args[0]

    results: dict[str | None, object] = {}

    def work(index: int) -> None:
        visitor = [BEN, ANN, NOBODY][index]
        if index:
            assert gate.inside.acquire(timeout=20)
            gate.inside.release()
            threading.Timer(0.05, gate.go.set).start()
        results[visitor.user_id] = visit(visitor)

    in_threads(3, work)
    assert results == {"ann": b"secret", "ben": "ben", None: None}


def test_an_error_of_the_page_itself_reaches_all_who_wait_for_it():
    def view(visitor: Visitor) -> Sent:
        raise LookupError("the database is away")

    gate = Gate(view)
    site = Site()

    def visit(index: int) -> str:
        if index:
            assert gate.inside.acquire(timeout=20)
            gate.inside.release()
            if index == 3:
                deadline = threading.Event()
                while site.engine.stats().flight_waits < 2:
                    deadline.wait(0.005)
                gate.go.set()
        with pytest.raises(LookupError, match="away"):
            site.get(gate)
        return "raised"

    assert in_threads(4, visit) == ["raised"] * 4
    assert len(gate.entered) <= 2


# Invalidation


def test_a_page_is_forgotten_with_what_it_depends_on(site):
    site = Site(asynchronous=site.asynchronous)

    def view(visitor: Visitor) -> Sent:
        add_deps("product:1")
        return Sent(b"old")

    for tag in ("shop", "product:1", "product", "team:7"):
        site.get(view, tags=["shop", "team:7:member:1"])
        assert site.get(says("new")).body == b"old"
        site.engine.invalidate(tag)
        assert site.get(says("new"), tags=["shop", "team:7:member:1"]).body == b"new"
        site.engine.invalidate("shop")


def test_a_page_read_while_its_data_changes_is_not_stored(site):
    def view(visitor: Visitor) -> Sent:
        add_deps("product:1")
        site.engine.invalidate("product:1")
        return Sent(b"read before the change")

    site.get(view)
    assert site.get(says("read after it")).body == b"read after it"


def test_so_is_a_page_that_moved_to_another_key(site):
    def view(visitor: Visitor) -> Sent:
        add_deps("product:1")
        visitor.ask("user")
        site.engine.invalidate("product:1")
        return Sent(b"read before the change")

    site.get(view, ANN)
    assert site.get(says("read after it"), ANN).body == b"read after it"


def test_a_cached_page_depends_on_the_cached_calls_in_it(site):
    @site.engine.cacheable(deps="rates")
    def rate() -> str:
        return "1.10"

    def view(visitor: Visitor) -> Sent:
        return Sent(rate().encode())

    for change in (lambda: site.engine.invalidate("rates"), rate.invalidate):
        site.get(view)
        assert site.get(says("new")).body == b"1.10"
        change()
        assert site.get(says("new")).body == b"new"
        site.engine.clear()


def test_a_personal_page_that_used_cached_calls_is_stored_and_forgotten_with_them(site):
    @site.engine.cacheable(deps="rates")
    def rate() -> str:
        return "1.10"

    def view(visitor: Visitor) -> Sent:
        return Sent(f"{visitor.ask('user')} {rate()}".encode())

    site.get(view, ANN)
    assert site.get(view, ANN).outcome == "HIT"
    rate.invalidate()
    assert site.get(says("new"), ANN).body == b"new"


@pytest.mark.parametrize(
    ("prepare", "request_", "headers"),
    [
        ("/p", {}, ()),
        ("/p", {"method": "HEAD"}, ()),
        ("/elsewhere", {}, (("Set-Cookie", "a=1"),)),
        ("/p", {}, (("Set-Cookie", "a=1"),)),
        ("/personal", {}, ()),
    ],
    ids=["hit", "hit for HEAD", "not stored", "known not to be stored", "found by a guess"],
)
def test_what_uses_a_page_depends_on_it(prepare, request_, headers):
    site = Site()
    body = ["old"]

    def view(visitor: Visitor) -> Sent:
        add_deps("shop")
        return Sent(body[0].encode(), headers)

    if prepare == "/personal":
        site.get(greeting(), ANN, path=prepare)
        site.another_process().get(view, path="/p")
    else:
        site.get(view, path=prepare)

    @site.engine.cacheable
    def digest() -> str:
        answer = site.get(view, path="/p", **request_)
        return body[0] if request_ else (answer.body or b"").decode()

    assert digest() == "old"
    body[0] = "new"
    assert digest() == "old"
    site.engine.invalidate("shop")
    assert digest() == "new"


def test_a_view_is_forgotten_as_a_whole_or_for_its_arguments(site):
    def get(pk: int) -> Received:
        return site.get(says(f"product {pk}"), path=f"/{pk}", arguments={"pk": pk})

    get(1), get(2)
    site.pages.invalidate(pk="1")
    assert (get(1).outcome, get(2).outcome) == ("MISS", "HIT")
    site.pages.invalidate()
    assert (get(1).outcome, get(2).outcome) == ("MISS", "MISS")
    site.engine.invalidate(view_tag(site.name))
    assert get(1).outcome == "MISS"


def test_what_is_known_of_a_view_is_forgotten_with_it(site):
    """After a release whose view no longer reads the user, its pages are shared again."""
    site.get(greeting(), ANN)
    site.pages.invalidate()
    assert site.another_process().get(says("page"), ANN).outcome == "MISS"
    assert site.another_process().get(says("page"), BEN).outcome == "HIT"


def test_personal_pages_are_forgotten_with_their_view_too(site):
    site.get(greeting(), ANN)
    site.pages.invalidate()
    answer = site.get(says("new"), ANN)
    assert (answer.outcome, answer.body) == ("MISS", b"new")


@pytest.mark.parametrize(
    ("url", "forgotten"),
    [
        ("/p/", {"", "page=2", "page=2&x=1"}),
        ("https://elsewhere.example/p/", {"", "page=2", "page=2&x=1"}),
        ("/p/?page=2", {"page=2"}),
        ("/p/?x=1&page=2", {"page=2&x=1"}),
        ("/p", set()),
        ("/q/", set()),
        ("/", set()),
    ],
)
def test_pages_are_forgotten_by_url(site, url, forgotten):
    queries = ("", "page=2", "page=2&x=1")
    for query in queries:
        site.get(says("old"), path="/p/", query=query)
    site.engine.invalidate(url_tag(url))
    for query in queries:
        made = site.get(says("new"), path="/p/", query=query).made
        assert made == (query in forgotten), query


def test_a_url_is_written_as_in_a_link(site):
    site.get(says("old"), path="/café/ä b")
    site.engine.invalidate(url_tag("/caf%C3%A9/%C3%A4%20b"))
    assert site.get(says("new"), path="/café/ä b").made


def test_parameters_that_do_not_count_do_not_count_for_the_url_either(site):
    site = Site(asynchronous=site.asynchronous, ignore_query=["utm_*"])
    site.get(says("old"), path="/p", query="utm_source=x&page=2")
    site.engine.invalidate(url_tag("/p?page=2"))
    assert site.get(says("new"), path="/p", query="page=2").made


# Troubles


def test_headers_of_a_type_of_the_frameworks_own_are_stored_as_text(site):
    class SafeText(str):
        def __str__(self) -> str:
            return self

    class Status(IntEnum):
        OK = 200

    def view(visitor: Visitor) -> Sent:
        return Sent(
            b"page",
            (
                (SafeText("X-Title"), SafeText("a")),
                ("ETag", SafeText('"e"')),
                ("Cache-Control", SafeText("public")),
                ("Vary", SafeText("Accept")),
            ),
            Status.OK,
        )

    site.get(view)
    answer = site.get(view)
    assert (answer.outcome, answer["x-title"], answer["etag"]) == ("HIT", "a", '"e"')
    for entry in site.engine.storage._entries.values():
        texts = [text for part in entry.held if type(part) is tuple for text in part]
        flat = [one for text in texts for one in ((text,) if isinstance(text, str) else text)]
        assert {type(one) for one in flat} <= {str}
        assert Status not in map(type, entry.held)


def test_a_page_is_served_while_the_storage_is_down(site):
    from zoocache_core.storage.base import StorageUnavailable

    def down(*args: object) -> None:
        raise StorageUnavailable("away")

    async def adown(*args: object) -> None:
        down()

    site.get(says("page"))
    # As a shared storage is asked: memory cannot fail, and is read directly.
    site.engine.direct = False
    site.engine.hit = no_hit
    for name in ("get", "get_many", "set", "set_many", "delete"):
        setattr(site.engine.storage, name, down)
        setattr(site.engine.storage, f"a{name}", adown)
    for view, visitor in [(says("fresh"), NOBODY), (greeting(), ANN), (greeting(), BEN)]:
        assert site.get(view, visitor).body == view(visitor).body
    assert site.engine.stats().errors > 0


class _Idle:
    """A guard that objects to nothing."""

    def hides(self, deps: object, stamp: int) -> bool:
        return False

    def uncommitted(self) -> bool:
        return False

    def stamp(self) -> int | None:
        return None


class _OpenTransaction(_Idle):
    def uncommitted(self) -> bool:
        return True


@pytest.mark.parametrize("view", [says("page"), greeting()])
def test_nothing_read_in_a_transaction_with_writes_is_stored(site, view):
    guard = _OpenTransaction()
    site.engine.add_guard(guard)
    site.get(view, ANN)
    site.engine.remove_guard(guard)
    assert site.get(view, ANN).made


@pytest.mark.parametrize("personal", [True, False])
def test_nothing_that_a_scope_forbids_is_stored(site, personal):
    from zoocache_core.deps import current_scope

    def view(visitor: Visitor) -> Sent:
        if personal:
            visitor.ask("user")
        scope = current_scope()
        assert scope is not None
        scope.forbid("read from an old snapshot")
        return Sent(b"old")

    site.get(view, ANN)
    assert site.get(says("new"), ANN).body == b"new"


def test_a_view_with_arguments_that_no_key_can_hold_runs_uncached(site):
    arguments = {"thing": object()}
    for _ in range(2):
        assert site.get(says("page"), arguments=arguments).outcome == "BYPASS"


def test_a_view_that_raises_raises(site):
    class Odd(Exception):
        pass

    def view(visitor: Visitor) -> Sent:
        raise Odd

    for request in ({}, {"method": "POST"}, {"method": "HEAD"}):
        with pytest.raises(Odd):
            site.get(view, **request)


def test_stop_iteration_stays_what_it_is():
    def view(visitor: Visitor) -> Sent:
        raise StopIteration

    for request in ({}, {"method": "POST"}, {"method": "HEAD"}):
        with pytest.raises(StopIteration):
            Site().get(view, **request)


def test_a_view_may_ask_for_its_own_page(site):
    """A page that includes itself, for another reason than being cached, does not wait for ever."""
    depth = []

    def view(visitor: Visitor) -> Sent:
        if len(depth) == 1:
            return Sent(b"inner")
        depth.append(1)
        return Sent(b"outer " + (Site.get(blocking, view).body or b""))

    blocking = Site()
    assert blocking.get(view).body == b"outer inner"


def test_a_policy_can_be_shared_by_views():
    policy = PagePolicy.of(ttl=5)
    engine = Engine()
    from zoocache_core.http import PageCache

    a, b = (PageCache(name, policy, lambda: engine) for name in "ab")
    assert a._view.primary_key(Visitor()) != b._view.primary_key(Visitor())
