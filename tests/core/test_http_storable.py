"""What may be stored and who may be served: the rules of RFC 9111, each seen through a site."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from tests.core.http_visitors import Sent, Site, Visitor, says
from zoocache_core import Engine
from zoocache_core.testing import ManualClock

NOW = int(ManualClock().time())


def stored(view, visitor: Visitor | None = None, **options) -> bool:
    """Whether what `view` answers is given to the next visitor without asking it again."""
    site = Site(**options)
    first = site.get(view, visitor)
    assert first.outcome in ("MISS", "BYPASS")
    second = site.get(view, visitor)
    assert second.made == (second.outcome != "HIT")
    if second.made:
        assert first.outcome == "BYPASS", "a page that was not stored is not called a miss"
    return not second.made


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Cache-Control", "public"),),
        (("Cache-Control", "max-age=60"),),
        (("Cache-Control", "max-age=60, s-maxage=5"),),
        (("Cache-Control", 'community="private"'),),
        (("Expires", formatdate(NOW + 60, usegmt=True)),),
        (("Cache-Control", "max-age=60"), ("Expires", "0")),
        (("Vary", "Accept"),),
        (("Content-Security-Policy", "script-src 'self'"),),
    ],
)
def test_an_ordinary_response_is_stored(headers):
    assert stored(says("page", *headers))


@pytest.mark.parametrize(
    "headers",
    [
        (("Cache-Control", "private"),),
        (("Cache-Control", "no-store"),),
        (("Cache-Control", "no-cache"),),
        (("cache-control", "public"), ("CACHE-CONTROL", "private")),
        (("Cache-Control", 'private="Set-Cookie"'),),
        (("Cache-Control", "max-age=0"),),
        (("Cache-Control", "s-maxage=0, max-age=60"),),
        (("Cache-Control", "max-age=0, s-maxage=60"),),
        (("Cache-Control", "max-age=never"),),
        (("Cache-Control", "max-age=60, max-age=0"),),
        (("Pragma", "no-cache"),),
        (("Expires", "0"),),
        (("Expires", formatdate(NOW - 1, usegmt=True)),),
        (("Expires", formatdate(NOW, usegmt=True)),),
        (("Set-Cookie", "seen=1"),),
        (("Vary", "*"),),
        (("Content-Range", "bytes 0-3/10"),),
        (("Content-Security-Policy", "script-src 'nonce-r4nd0m'"),),
        (("Content-Security-Policy-Report-Only", "script-src 'Nonce-r4nd0m'"),),
    ],
)
def test_a_response_that_is_not_for_everybody_is_not_stored(headers):
    assert not stored(says("page", *headers))


@pytest.mark.parametrize("status", [201, 204, 301, 302, 403, 404, 410, 500, 503])
def test_only_200_is_stored_unless_others_are_asked_for(status):
    view = says("page", status=status)
    assert not stored(view)
    assert stored(view, statuses=[200, status])
    assert not stored(says("page"), statuses=[status])


@pytest.mark.parametrize("status", [206, 304])
def test_answers_to_one_browser_are_never_stored(status):
    assert not stored(says("page", status=status))


def test_a_stream_is_never_stored():
    assert not stored(lambda visitor: Sent(body=None))


def test_a_response_that_the_framework_knows_to_be_personal_is_not_stored():
    assert not stored(lambda visitor: Sent(refusal="it has a CSRF token"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"])
def test_only_get_and_head_are_answered_from_the_cache(method):
    site = Site()
    assert site.get(says("of GET")).outcome == "MISS"
    other = site.get(says("other"), method=method)
    assert (other.outcome, other.body) == ("BYPASS", b"other")
    assert stored(says("other"), Visitor(method=method)) is False


@pytest.mark.parametrize("name", ["range", "if-match", "if-unmodified-since"])
def test_requests_for_more_than_the_page_bypass_the_cache(name):
    site = Site()
    site.get(says("page"))
    answer = site.get(says("part"), headers={name: "x"})
    assert (answer.outcome, answer.body) == ("BYPASS", b"part")
    assert site.get(says("page")).outcome == "HIT"


def test_get_serves_head_with_a_body_to_leave_out():
    site = Site()
    page = site.get(says("page", ("Content-Type", "text/html")))
    head = site.get(says("other"), method="HEAD")
    assert (head.outcome, head.body) == ("HIT", b"page")
    assert head["content-type"] == "text/html"
    assert head["etag"] == page["etag"]


def test_head_never_serves_get():
    site = Site()
    assert site.get(says(""), method="HEAD").made
    page = site.get(says("page"))
    assert (page.made, page.body) == (True, b"page")


def test_a_head_that_could_not_be_cached_does_not_keep_gets_from_sharing():
    site = Site()
    site.get(says("", ("Set-Cookie", "a=1")), method="HEAD")
    assert site.get(says("page")).outcome == "MISS"


def test_harmless_cookies_are_stored_and_replayed():
    view = says("page", ("Set-Cookie", "lang=de; Path=/"), ("Set-Cookie", "seen=1"))
    assert not stored(view, harmless_cookies=["lang"])
    site = Site(harmless_cookies=["lang", "seen"])
    site.get(view)
    again = site.get(view)
    assert again.outcome == "HIT"
    assert again.all("set-cookie") == ["lang=de; Path=/", "seen=1"]


# Authorization (RFC 9111, section 3.5)

ALICE = {"authorization": "Bearer alice"}
BOB = {"authorization": "Bearer bob"}


def by_token(*headers: tuple[str, str]):
    return lambda visitor: Sent(f"for {visitor.header('authorization')}".encode(), headers)


@pytest.mark.parametrize("directive", ["max-age=60", "s-maxage=60", "must-revalidate, max-age=60"])
def test_a_response_to_authorization_is_not_stored_by_itself(directive):
    assert not stored(by_token(), Visitor(headers=ALICE))
    assert not stored(by_token(("Cache-Control", directive)), Visitor(headers=ALICE))


def test_nor_because_it_was_seen_to_depend_on_the_user():
    def view(visitor: Visitor) -> Sent:
        visitor.ask("user")
        return Sent()

    assert not stored(view, Visitor(headers=ALICE, user_id="alice"))


def test_an_anonymous_page_is_not_given_to_someone_whom_only_the_view_will_recognise():
    """Token authentication: before the view has run, the user is unknown."""
    site = Site()

    def view(visitor: Visitor) -> Sent:
        visitor.ask("user")
        return Sent(f"for {visitor.header('authorization')}".encode())

    site.get(view)
    for _ in range(2):
        answer = site.get(view, headers=ALICE)
        assert (answer.outcome, answer.body) == ("BYPASS", b"for Bearer alice")
    assert site.get(view).outcome == "HIT"


def test_a_public_response_to_authorization_is_shared():
    site = Site()
    view = by_token(("Cache-Control", "Public"))
    site.get(view, headers=ALICE)
    assert site.get(view, headers=BOB).body == b"for Bearer alice"
    assert site.get(view).body == b"for Bearer alice"


def noted_by_token(visitor: Visitor) -> Sent:
    return Sent(f"for {visitor.ask('header:authorization')}".encode())


@pytest.mark.parametrize(
    ("options", "view"),
    [
        ({"vary_headers": ["Authorization"]}, by_token()),
        ({}, by_token(("Vary", "authorization"))),
        ({}, noted_by_token),
    ],
    ids=["named", "in Vary", "seen to be read"],
)
def test_a_response_that_varies_on_authorization_is_kept_per_token(options, view):
    site = Site(**options)
    for headers in (ALICE, BOB, {}):
        assert site.get(view, headers=headers).outcome == "MISS"
    for headers in (ALICE, BOB, {}):
        again = site.get(view, headers=headers)
        assert (again.outcome, again.body) == (
            "HIT",
            f"for {headers.get('authorization')}".encode(),
        )


def test_a_page_made_without_authorization_is_not_given_to_a_request_with_it():
    site = Site()
    site.get(by_token())
    answer = site.get(by_token(), headers=ALICE)
    assert (answer.outcome, answer.body) == ("BYPASS", b"for Bearer alice")
    assert site.get(by_token()).body == b"for None"


def test_an_empty_authorization_is_one_too():
    assert not stored(by_token(), Visitor(headers={"authorization": ""}))


# Writing (RFC 9111, section 4.4)


def test_a_successful_write_forgets_the_page_at_its_url():
    site = Site()
    site.get(says("old"), path="/p/")
    site.get(says("other"), path="/q/")
    site.get(says("saved", status=303), path="/p/", method="POST")
    assert site.get(says("new"), path="/p/").body == b"new"
    assert site.get(says("other"), path="/q/").outcome == "HIT"


@pytest.mark.parametrize(("method", "status"), [("POST", 400), ("DELETE", 500), ("OPTIONS", 200)])
def test_a_failed_write_and_a_safe_method_forget_nothing(method, status):
    site = Site()
    site.get(says("old"))
    site.get(says("no", status=status), method=method)
    assert site.get(says("new")).body == b"old"


# What the request asks for


@pytest.mark.parametrize(
    "headers",
    [
        {"cache-control": "no-cache"},
        {"cache-control": "No-Store"},
        {"cache-control": "max-age=0"},
        {"pragma": "no-cache"},
    ],
)
def test_a_request_cannot_have_a_page_made_anew_unless_that_is_allowed(headers):
    site = Site()
    site.get(says("old"))
    assert site.get(says("new"), headers=headers).body == b"old"
    generous = Site(honour_request_no_cache=True)
    generous.get(says("old"))
    assert generous.get(says("new"), headers=headers).body == b"new"


def test_what_was_made_anew_is_for_everybody_but_no_store_leaves_nothing():
    site = Site(honour_request_no_cache=True)
    site.get(says("old"))
    site.get(says("new"), headers={"cache-control": "no-cache"})
    assert site.get(says("x")).body == b"new"
    assert site.get(says("newer"), headers={"cache-control": "no-store"}).outcome == "BYPASS"
    assert site.get(says("x")).body == b"new"


def test_cache_control_of_a_request_hides_its_pragma():
    site = Site(honour_request_no_cache=True)
    site.get(says("old"))
    headers = {"cache-control": "max-age=5", "pragma": "no-cache"}
    assert site.get(says("new"), headers=headers).body == b"old"


# For how long


@pytest.mark.parametrize(
    ("ttl", "headers", "expected"),
    [
        (60, (), 60),
        (60, (("Cache-Control", "max-age=10"),), 10),
        (10, (("Cache-Control", "max-age=60"),), 10),
        (60, (("Cache-Control", "max-age=10, s-maxage=20"),), 20),
        (60, (("Cache-Control", "s-maxage=10"), ("Expires", "0")), 10),
        (60, (("Expires", formatdate(NOW + 30, usegmt=True)),), 30),
        (None, (("Cache-Control", "max-age=10"),), 10),
    ],
)
@pytest.mark.parametrize("sliding", [True, False])
def test_a_page_is_never_older_than_the_policy_or_the_response_allows(
    ttl, headers, expected, sliding
):
    clock = ManualClock()
    site = Site(Engine(clock=clock, read_extend_ttl=sliding), clock, ttl=ttl)
    site.get(says("old", *headers))
    for _ in range(2):
        clock.advance(expected / 2 - 0.5)
        assert site.get(says("new")).body == b"old"
    clock.advance(1.5)
    assert site.get(says("new")).body == b"new"


def test_without_any_ttl_a_page_lives_until_its_data_changes():
    site = Site(deps=["shop"])
    view = says("old")
    site.get(view, tags=["shop"])
    site.clock.advance(10**9)
    assert site.get(view).outcome == "HIT"
    site.engine.invalidate("shop")
    assert site.get(says("new")).body == b"new"


def test_jitter_shortens_each_ttl_by_a_share_of_its_own():
    site = Site(ttl=100, jitter=0.5)
    site.random = lambda: 0.8
    site.get(says("old"))
    site.clock.advance(59)
    assert site.get(says("new")).body == b"old"
    site.clock.advance(2)
    assert site.get(says("new")).body == b"new"
