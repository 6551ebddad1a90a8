"""Validators, freshness and the other headers that a page is sent with."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.core.http_visitors import Sent, Site, Visitor, says
from zoocache_core.testing import ManualClock

NOW = int(ManualClock().time())


def age_of(text: str) -> float:
    return parsedate_to_datetime(text).timestamp() - NOW


# Entity tags


def test_a_miss_and_its_hits_have_the_same_weak_etag():
    site = Site()
    miss, hit = site.get(says("page")), site.get(says("page"))
    assert (miss.outcome, hit.outcome) == ("MISS", "HIT")
    assert miss["etag"] == hit["etag"]
    assert hit["etag"].startswith('W/"')


@pytest.mark.parametrize(
    "other",
    [
        says("other"),
        says("page", ("Content-Type", "text/plain")),
        says("page", ("Content-Encoding", "gzip")),
    ],
)
def test_another_representation_has_another_etag(other):
    assert Site().get(says("page"))["etag"] != Site().get(other)["etag"]


@pytest.mark.parametrize("etag", ['"mine"', 'W/"mine"'])
def test_the_views_own_etag_is_kept(etag):
    site = Site()
    view = says("page", ("ETag", etag))
    assert site.get(view)["etag"] == etag
    assert site.get(view)["etag"] == etag


@pytest.mark.parametrize(
    "wanted",
    [
        '"mine"',
        'W/"mine"',
        '"other", "mine"',
        '"other",W/"mine"',
        '"a,b", "mine"',
        "*",
        " * ",
    ],
)
@pytest.mark.parametrize("own", ['"mine"', 'W/"mine"'])
def test_a_browser_that_has_the_page_gets_304(wanted, own):
    site = Site()
    view = says("page", ("ETag", own))
    for outcome in ("MISS", "HIT"):
        answer = site.get(view, headers={"if-none-match": wanted})
        assert (answer.status, answer.body, answer.outcome) == (304, b"", outcome)


@pytest.mark.parametrize("wanted", ['"other"', "mine", '"min"', '"mine', "", '"x,"mine"', '"*"'])
def test_a_browser_that_has_another_page_gets_this_one(wanted):
    site = Site()
    view = says("page", ("ETag", '"mine"'))
    for _ in range(2):
        answer = site.get(view, headers={"if-none-match": wanted})
        assert (answer.status, answer.body) == (200, b"page")


def test_a_304_has_the_headers_that_belong_there_and_no_others():
    site = Site(cdn_header="Surrogate-Key", harmless_cookies=["lang"])
    view = says(
        "page",
        ("Content-Type", "text/html"),
        ("Content-Language", "de"),
        ("Content-Location", "/page.de"),
        ("Cache-Control", "max-age=60"),
        ("Vary", "Accept"),
        ("Last-Modified", formatdate(NOW - 5, usegmt=True)),
        ("Set-Cookie", "lang=de"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Own", "1"),
    )
    full = site.get(view)
    answer = site.get(view, headers={"if-none-match": full["etag"]})
    assert {name.lower() for name, _ in answer.headers} == {
        "access-control-allow-origin",
        "age",
        "cache-control",
        "content-location",
        "etag",
        "expires",
        "last-modified",
        "set-cookie",
        "surrogate-key",
        "vary",
        "x-cache",
    }
    for name in ("cache-control", "etag", "expires", "vary"):
        assert answer[name] == full[name]


def test_head_gets_304_as_well():
    site = Site()
    etag = site.get(says("page"))["etag"]
    assert site.get(says("x"), method="HEAD", headers={"if-none-match": etag}).status == 304


def test_conditions_do_not_change_an_answer_that_is_no_success():
    site = Site(statuses=[404])
    view = says("gone", status=404)
    site.get(view)
    assert site.get(view, headers={"if-none-match": "*"}).status == 404


MODIFIED = formatdate(NOW - 100, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-modified-since": MODIFIED}, 304),
        ({"if-modified-since": formatdate(NOW, usegmt=True)}, 304),
        ({"if-modified-since": formatdate(NOW - 101, usegmt=True)}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-modified-since": MODIFIED, "if-none-match": '"other"'}, 200),
    ],
)
def test_if_modified_since_counts_only_alone_and_with_a_date(headers, status):
    site = Site()
    view = says("page", ("Last-Modified", MODIFIED))
    site.get(view)
    assert site.get(view, headers=headers).status == status


def test_if_modified_since_says_nothing_of_a_page_without_a_date():
    site = Site()
    site.get(says("page"))
    headers = {"if-modified-since": formatdate(NOW, usegmt=True)}
    assert site.get(says("page"), headers=headers).status == 200


# Freshness


def test_browsers_ask_every_time_unless_told_otherwise():
    site = Site(ttl=600)
    for outcome in ("MISS", "HIT"):
        answer = site.get(says("page"))
        assert answer.outcome == outcome
        assert answer["cache-control"] == "max-age=0, must-revalidate"
        assert age_of(answer["expires"]) == 0


def test_what_a_browser_may_keep_counts_from_when_it_is_sent():
    site = Site(ttl=600, browser_ttl=60)
    assert site.get(says("page"))["cache-control"] == "max-age=60"
    site.clock.advance(100)
    hit = site.get(says("page"))
    assert (hit["age"], hit["cache-control"]) == ("100", "max-age=160")
    assert age_of(hit["expires"]) == 160
    site.clock.advance(480)
    hit = site.get(says("page"))
    assert (hit["age"], hit["cache-control"]) == ("580", "max-age=600")


def test_a_browser_may_be_given_all_that_is_left_of_the_ttl():
    site = Site(ttl=600, browser_ttl="ttl")
    miss = site.get(says("page"))
    assert miss["cache-control"] == "max-age=600"
    site.clock.advance(100)
    hit = site.get(says("page"))
    assert (hit["age"], hit["cache-control"], hit["expires"]) == (
        "100",
        "max-age=600",
        miss["expires"],
    )


def test_without_a_ttl_nothing_is_left_of_it():
    answer = Site(browser_ttl="ttl").get(says("page"))
    assert answer["cache-control"] == "max-age=0, must-revalidate"


def test_nothing_is_said_about_freshness_if_that_is_wanted():
    answer = Site(browser_ttl=None).get(says("page"))
    assert answer.all("cache-control") == answer.all("expires") == []


def test_what_the_view_says_about_freshness_stays():
    site = Site(browser_ttl=5)
    view = says("page", ("Cache-Control", "public, max-age=60"))
    for _ in range(2):
        answer = site.get(view)
        assert answer["cache-control"] == "public, max-age=60"
        assert age_of(answer["expires"]) == 60
        site.clock.advance(10)
    expires = formatdate(NOW + 99, usegmt=True)
    site = Site(browser_ttl=5)
    for _ in range(2):
        answer = site.get(says("page", ("Expires", expires)))
        assert (answer["expires"], answer.all("cache-control")) == (expires, [])


def test_other_directives_of_the_view_stay_beside_the_freshness():
    site = Site(browser_ttl=30)
    view = says("page", ("Cache-Control", "public"), ("Cache-Control", "no-transform"))
    for _ in range(2):
        assert site.get(view)["cache-control"] == "public, no-transform, max-age=30"


def test_age_is_that_of_the_page_and_never_negative():
    site = Site()
    assert site.get(says("page")).all("age") == []
    site.clock.advance(7.9)
    assert site.get(says("page"))["age"] == "7"
    site.clock.advance(-100)
    assert site.get(says("page"))["age"] == "0"


# Other caches on the way


def personal(visitor: Visitor) -> Sent:
    return Sent(f"Hello {visitor.ask('user')}".encode())


@pytest.mark.parametrize("what", ["user", "session"])
def test_a_personal_page_is_private_to_other_caches(what):
    def view(visitor: Visitor) -> Sent:
        visitor.ask(what)
        return Sent(headers=(("Cache-Control", "no-transform"),))

    site = Site()
    visitor = Visitor(user_id="ann", session_state="s1")
    for outcome in ("MISS", "HIT"):
        answer = site.get(view, visitor)
        assert answer.outcome == outcome
        assert answer["cache-control"] == "no-transform, private, max-age=0, must-revalidate"
        assert answer["vary"] == "Cookie"


def test_a_personal_page_with_a_max_age_of_its_own_is_private_too():
    def view(visitor: Visitor) -> Sent:
        visitor.ask("user")
        return Sent(headers=(("Cache-Control", "max-age=60"), ("Vary", "Accept")))

    site = Site()
    for _ in range(2):
        answer = site.get(view, Visitor(user_id="ann"))
        assert answer["cache-control"] == "max-age=60, private"
        assert answer["vary"] == "Accept, Cookie"


def test_a_page_that_depends_on_what_is_no_header_is_private_and_vary_does_not_name_it():
    def view(visitor: Visitor) -> Sent:
        visitor.ask("header:remote_addr")
        return Sent()

    answer = Site().get(view, headers={"remote_addr": "192.0.2.1"})
    assert answer["cache-control"] == "private, max-age=0, must-revalidate"
    assert answer.all("vary") == []


def test_everything_that_a_page_is_kept_apart_by_is_named_in_vary():
    site = Site(vary_headers=["dnt", "Accept"], vary_cookies=["theme"])
    view = says("page", ("Vary", "ACCEPT, X-Mode"))
    for _ in range(2):
        names = [name.strip().lower() for name in site.get(view)["vary"].split(",")]
        assert sorted(names) == ["accept", "cookie", "dnt", "x-mode"]


def test_no_header_is_sent_twice_that_belongs_once():
    site = Site(cdn_header="Cache-Tag")
    view = says(
        "page",
        ("etag", '"a"'),
        ("vary", "Accept"),
        ("cache-control", "public"),
        ("x-cache", "HIT from elsewhere"),
        ("Cache-Tag", "own"),
        ("Age", "5"),
        ("Date", formatdate(NOW, usegmt=True)),
    )
    site.get(view)
    hit = site.get(view)
    for name in ("etag", "vary", "cache-control", "x-cache", "cache-tag", "age", "expires"):
        assert len(hit.all(name)) == 1, name
    assert hit.all("date") == []


def test_repeated_headers_keep_their_order_and_the_connections_own_are_dropped():
    site = Site()
    view = says(
        "page",
        ("Link", "</a>"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "4"),
        ("Link", "</b>"),
    )
    site.get(view)
    hit = site.get(view)
    assert hit.all("link") == ["</a>", "</b>"]
    for name in ("connection", "x-hop", "transfer-encoding", "content-length"):
        assert hit.all(name) == []


# A CDN's tags


@pytest.mark.parametrize(
    ("header", "separator"), [("Surrogate-Key", " "), ("Cache-Tag", ","), ("xkey", " ")]
)
def test_a_cdn_is_told_the_tags_and_all_above_them(header, separator):
    site = Site(cdn_header=header)
    for _ in range(2):
        answer = site.get(says("page"), tags=["org:1:user:42", "org:1:*"])
        names = set(answer[header.lower()].split(separator))
        assert {"org", "org:1", "org:1:user", "org:1:user:42", "org:1:*"} <= names


def test_a_page_with_more_tags_than_a_cdn_takes_is_not_kept_there():
    site = Site(cdn_header="Cache-Tag")
    for _ in range(2):
        answer = site.get(says("page"), tags=[f"product:{n}" for n in range(5000)])
        assert answer.all("cache-tag") == []
        assert answer["cdn-cache-control"] == answer["surrogate-control"] == "no-store"


def test_nothing_but_the_outcome_is_added_to_a_response_that_is_not_stored():
    answer = Site(ttl=60, cdn_header="Cache-Tag").get(says("page", ("Cache-Control", "private")))
    assert answer.headers == (("Cache-Control", "private"), ("X-Cache", "BYPASS"))
