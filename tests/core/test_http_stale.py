"""Pages past their ttl: shown while one caller makes them anew, or if that fails (RFC 5861). Never
one whose data has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.http_visitors import Forbidden, Sent, Site, Visitor, read, says
from zoocache_core import Engine, add_deps
from zoocache_core.calls import Call
from zoocache_core.http import page as page_module
from zoocache_core.http import stale as stale_module
from zoocache_core.http.record import Page
from zoocache_core.http.visit import Visit
from zoocache_core.testing import ManualClock, in_threads


def failing(visitor: Visitor) -> Sent:
    raise LookupError("the database is away")


def forbidding(visitor: Visitor) -> Sent:
    raise Forbidden


@pytest.fixture(params=["blocking", "asynchronous"])
def site_of(request) -> Callable[..., Site]:
    return lambda **options: Site(asynchronous=request.param == "asynchronous", **options)


# stale-while-revalidate


def test_one_caller_makes_the_page_anew_and_the_others_see_the_old_one():
    site = Site(ttl=60, stale_while_revalidate=30)
    site.get(says("old"))
    site.clock.advance(61)
    inside, go = threading.Event(), threading.Event()

    def slow(visitor: Visitor) -> Sent:
        inside.set()
        assert go.wait(20)
        return Sent(b"new")

    def visit(index: int) -> tuple[str, bytes | None]:
        if index == 0:
            answer = site.get(slow)
        else:
            assert inside.wait(20)
            try:
                answer = site.get(says("nobody else runs the view"))
            finally:
                if index == 3:
                    go.set()
        return answer.outcome, answer.body

    first, *others = in_threads(4, visit)
    assert first == ("MISS", b"new")
    assert set(others) <= {("STALE", b"old"), ("HIT", b"new")}
    assert ("STALE", b"old") in others
    assert site.get(says("newer")).body == b"new"


def test_a_stale_page_says_its_age_and_may_not_be_kept_by_browsers(site_of):
    site = site_of(ttl=60, stale_while_revalidate=30, browser_ttl=300)
    site.background = lambda work: None
    site.get(says("old"))
    site.clock.advance(61)
    answer = site.get(says("new"))
    assert (answer.outcome, answer.body, answer["age"]) == ("STALE", b"old", "61")
    assert answer["cache-control"] == "max-age=0, must-revalidate"


def test_a_page_can_be_made_anew_in_the_background():
    site = Site(ttl=60, stale_while_revalidate=30)
    later: list[Callable[[], Any]] = []
    site.background = later.append
    site.get(says("old"))
    site.clock.advance(61)
    assert [site.get(says("new")).outcome for _ in range(3)] == ["STALE"] * 3
    assert len(later) == 1
    later.pop()()
    answer = site.get(says("newer"))
    assert (answer.outcome, answer.body) == ("HIT", b"new")


async def test_asynchronously_the_background_is_given_a_coroutine_function():
    site = Site(ttl=60, stale_while_revalidate=30)
    later: list[Callable[[], Any]] = []

    async def get(body: str) -> str:
        async def view() -> Sent:
            return Sent(body.encode())

        answer = await site.pages.respond_async(Visitor(), view, read, later.append)
        return answer.outcome

    assert await get("old") == "MISS"
    site.clock.advance(61)
    assert await get("new") == "STALE"
    await later.pop()()
    assert await get("newer") == "HIT"


def test_a_failure_in_the_background_is_logged_and_tried_again(caplog):
    site = Site(ttl=60, stale_while_revalidate=30)
    later: list[Callable[[], Any]] = []
    site.background = later.append
    site.get(says("old"))
    site.clock.advance(61)
    for _ in range(2):
        assert site.get(failing).outcome == "STALE"
        later.pop()()
    assert "the database is away" in caplog.text


def test_a_background_that_refuses_the_work_does_not_stop_later_ones():
    def refuse(work: object) -> None:
        raise RuntimeError("shutting down")

    site = Site(ttl=60, stale_while_revalidate=30)
    site.get(says("old"))
    site.clock.advance(61)
    site.background = refuse
    with pytest.raises(RuntimeError, match="shutting down"):
        site.get(says("new"))
    site.background = None
    assert site.get(says("new")).body == b"new"


def test_a_background_that_says_no_leaves_it_to_the_next_visitor():
    site = Site(ttl=60, stale_while_revalidate=30)
    site.get(says("old"))
    site.clock.advance(61)
    asked: list[Any] = []
    site.background = lambda task: bool(asked.append(task))
    assert [site.get(says("new")).outcome for _ in range(3)] == ["STALE"] * 3
    assert len(asked) == 3
    asked = []
    site.background = asked.append
    assert [site.get(says("new")).outcome for _ in range(3)] == ["STALE"] * 3
    assert len(asked) == 1
    asked.pop().abandon()
    site.get(says("new"))
    assert len(asked) == 1


@pytest.mark.parametrize(("user", "renewed"), [("ann", True), ("bob", False), (None, False)])
def test_a_copy_of_the_request_renews_the_same_page_or_none(user, renewed):
    def greeting(visitor):
        runs.append(visitor.ask("user"))
        return Sent(f"hello {len(runs)}".encode())

    runs: list[str | None] = []
    site = Site(ttl=60, stale_while_revalidate=30, per_user=None)
    later: list[Any] = []
    site.background = later.append
    ann = Visitor(user_id="ann")
    assert site.get(greeting, ann).body == b"hello 1"
    site.clock.advance(61)
    assert site.get(greeting, ann).outcome == "STALE"
    copy = Visitor(user_id=user).again()
    later.pop()(copy, lambda: greeting(copy), read)
    assert len(runs) == 1 + renewed
    answer = site.get(greeting, ann)
    assert (answer.outcome, answer.body) == (
        ("HIT", b"hello 2") if renewed else ("STALE", b"hello 1")
    )
    # Whoever it was has not been given anybody's page, and it is known again who renews it.
    assert len(later) == (not renewed)


def test_work_that_the_background_has_lost_is_given_out_again():
    site = Site(ttl=10, stale_while_revalidate=600)
    later: list[object] = []
    site.background = later.append
    site.get(says("old"))
    for seconds, given_out in [(11, 1), (30, 1), (31, 2), (59, 2), (2, 3)]:
        site.clock.advance(seconds)
        assert site.get(says("new")).outcome == "STALE"
        assert len(later) == given_out


def test_a_forked_child_does_not_count_on_a_thread_of_its_parent(monkeypatch):
    site = Site(ttl=60, stale_while_revalidate=30)
    site.background = lambda work: None
    site.get(says("old"))
    site.clock.advance(61)
    assert site.get(says("new")).outcome == "STALE"
    assert site.get(says("new")).outcome == "STALE"
    monkeypatch.setattr(stale_module.os, "getpid", lambda: -1)
    site.background = None
    assert site.get(says("new")).body == b"new"


def test_after_the_window_everybody_waits_for_the_new_page(site_of):
    site = site_of(ttl=60, stale_while_revalidate=30)
    site.background = lambda work: None
    site.get(says("old"))
    site.clock.advance(91)
    answer = site.get(says("new"))
    assert (answer.outcome, answer.body) == ("MISS", b"new")


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
def test_a_page_whose_data_changed_is_never_shown_stale(site_of, window):
    site = site_of(ttl=60, **{window: 30})
    site.background = lambda work: None

    def view(visitor: Visitor) -> Sent:
        add_deps("product:1")
        return Sent(b"old")

    site.get(view)
    site.clock.advance(61)
    site.engine.invalidate("product:1")
    with pytest.raises(LookupError):
        site.get(failing)
    assert site.get(says("new")).body == b"new"


@pytest.mark.parametrize("directive", ["must-revalidate", "Proxy-Revalidate"])
@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
@pytest.mark.parametrize("read_meanwhile", [True, False])
def test_a_response_may_forbid_to_be_shown_stale(site_of, directive, window, read_meanwhile):
    site = site_of(ttl=60, **{window: 30})
    site.background = lambda work: None
    site.get(says("old", ("Cache-Control", f"max-age=60, {directive}")))
    site.clock.advance(40)
    if read_meanwhile:
        # Which makes the storage keep it for longer.
        assert site.get(says("new")).body == b"old"
    site.clock.advance(21)
    with pytest.raises(LookupError):
        site.get(failing)


def test_head_is_shown_the_stale_page_and_leaves_making_it_anew_to_get(site_of):
    site = site_of(ttl=60, stale_while_revalidate=30)
    site.get(says("old"))
    site.clock.advance(61)
    assert site.get(failing, method="HEAD").outcome == "STALE"
    assert site.get(says("new")).body == b"new"


def test_a_personal_page_is_shown_stale_to_its_own_visitor_only(site_of):
    site = site_of(ttl=60, stale_while_revalidate=30)
    site.background = lambda work: None

    def view(visitor: Visitor) -> Sent:
        return Sent(f"Hello {visitor.ask('user')}".encode())

    site.get(view, user_id="ann")
    site.clock.advance(61)
    assert site.get(view, user_id="ann").outcome == "STALE"
    answer = site.get(view, user_id="ben")
    assert (answer.outcome, answer.body) == ("MISS", b"Hello ben")


def kept_beyond_its_ttl() -> Site:
    """A site with an expired page of 60 seconds that its readers have kept in the storage."""
    clock = ManualClock()
    site = Site(Engine(clock=clock, read_extend_ttl=True), clock, ttl=60)
    site.get(says("old"))
    clock.advance(40)
    site.get(says("old"))
    clock.advance(40)
    return site


def dropped_at_its_ttl() -> Site:
    clock = ManualClock()
    site = Site(Engine(clock=clock, read_extend_ttl=False), clock, ttl=60)
    site.get(says("old"))
    clock.advance(80)
    return site


@pytest.mark.parametrize("expired", [kept_beyond_its_ttl, dropped_at_its_ttl])
def test_many_callers_after_the_ttl_compute_once(expired):
    site = expired()
    inside, go, runs = threading.Event(), threading.Event(), []

    def slow(visitor: Visitor) -> Sent:
        runs.append(1)
        inside.set()
        assert go.wait(20)
        return Sent(b"new")

    def visit(index: int) -> bytes | None:
        if index:
            assert inside.wait(20)
        if index == 3:
            waiting = threading.Event()
            while site.engine.stats().flight_waits < 2:
                waiting.wait(0.005)
            go.set()
        return site.get(slow).body

    assert in_threads(4, visit) == [b"new"] * 4
    assert len(runs) == 1


def test_a_caller_that_comes_just_too_late_does_not_make_the_page_anew_again(monkeypatch):
    """It saw the expired page, and when its turn came another one had replaced it."""
    site = kept_beyond_its_ttl()
    original = page_module.call_for

    def overtaken(visit: Visit, refresh: bool, replaced: Page | None) -> Call:
        if refresh:
            monkeypatch.setattr(page_module, "call_for", original)
            site.get(says("new"))
        return original(visit, refresh, replaced)

    monkeypatch.setattr(page_module, "call_for", overtaken)
    answer = site.get(says("made in vain"))
    assert (answer.outcome, answer.body) == ("HIT", b"new")


# stale-if-error


def test_an_older_page_is_shown_instead_of_an_error(site_of, caplog):
    site = site_of(ttl=60, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(61)
    answer = site.get(failing)
    assert (answer.outcome, answer.body, answer["age"]) == ("STALE", b"old", "61")
    assert "the database is away" in caplog.text, "an error that nobody sees is logged"
    assert site.get(says("new")).body == b"new"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_or_instead_of_an_error_response(site_of, status):
    site = site_of(ttl=60, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(61)
    assert site.get(says("sorry", status=status)).body == b"old"


@pytest.mark.parametrize(
    "view",
    [says("gone", status=404), says("no", status=403), forbidding, says("no", status=501)],
)
@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
def test_but_an_answer_that_is_no_failure_takes_the_older_page_away(site_of, view, window):
    """A product that is gone, a visitor who may no longer see it: not even stale."""
    site = site_of(ttl=60, **{window: 600})
    site.get(says("old"))
    site.clock.advance(61)
    for _ in range(2):
        try:
            assert site.get(view).outcome == "BYPASS"
        except Forbidden:
            assert view is forbidding
    with pytest.raises(LookupError):
        site.get(failing)


@pytest.mark.parametrize("read_meanwhile", [True, False])
def test_an_error_past_the_window_is_an_error(site_of, read_meanwhile):
    site = site_of(ttl=60, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(50)
    if read_meanwhile:
        assert site.get(says("new")).body == b"old"
    site.clock.advance(611)
    with pytest.raises(LookupError):
        site.get(failing)


def test_without_the_option_an_error_is_an_error(site_of):
    site = site_of(ttl=60)
    site.get(says("old"))
    site.clock.advance(61)
    with pytest.raises(LookupError):
        site.get(failing)
    assert site.get(says("sorry", status=503)).status == 503


def test_a_page_whose_data_changed_while_its_view_failed_is_not_shown(site_of):
    site = site_of(ttl=60, stale_if_error=600)
    site.get(says("old"), tags=["product:1"])
    site.clock.advance(61)

    def view(visitor: Visitor) -> Sent:
        site.engine.invalidate("product:1")
        raise LookupError

    with pytest.raises(LookupError):
        site.get(view)


def test_those_who_wait_for_a_view_that_fails_see_the_older_page_too():
    site = Site(ttl=60, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(61)
    inside, go = threading.Event(), threading.Event()

    def view(visitor: Visitor) -> Sent:
        inside.set()
        assert go.wait(20)
        raise LookupError

    def visit(index: int) -> bytes | None:
        if index:
            assert inside.wait(20)
        if index == 2:
            waiting = threading.Event()
            while site.engine.stats().flight_waits < 1:
                waiting.wait(0.005)
            go.set()
        return site.get(view).body

    assert in_threads(3, visit) == [b"old"] * 3


def test_both_windows_together(site_of):
    site = site_of(ttl=60, stale_while_revalidate=10, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(65)
    assert site.get(failing).outcome == "STALE"
    site.clock.advance(60)
    assert site.get(failing).outcome == "STALE"
    assert site.get(says("new")).body == b"new"


def test_a_refusal_to_renew_takes_the_old_page_away(site_of):
    """What was public and is now for one visitor only must not be shown on."""
    site = site_of(ttl=60, stale_while_revalidate=600, stale_if_error=600)
    site.get(says("old"))
    site.clock.advance(61)
    assert site.get(says("mine", ("Cache-Control", "private"))).body == b"mine"
    with pytest.raises(LookupError):
        site.get(failing)
