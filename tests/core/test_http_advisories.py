"""Known ways in which page caches have shown one visitor's page to another, one test each.

The numbers are those of the advisories about the cache middleware of Django and of the ``cached``
decorator of Flask-Caching; the others are known as web cache poisoning and deception.
"""

from __future__ import annotations

import pytest

from tests.core.http_visitors import Sent, Site, Visitor, says

ANN = {"sessionid": "ann"}
BEN = {"sessionid": "ben"}


def with_headers(*headers: tuple[str, str]):
    """A careless view: its page is for one visitor, and only its headers say so."""
    return lambda visitor: Sent(f"secret of {visitor.cookie('sessionid')}".encode(), headers)


def assert_never_shared(site: Site, view, *requests) -> None:
    """No visitor, in whatever process, gets another one's page, the first time or later."""
    for process in (site, site.another_process()):
        for _ in range(2):
            for request in requests:
                answer = process.get(view, **request)
                assert answer.body == view(Visitor(**request)).body


COOKIES = ({"cookies": ANN}, {"cookies": BEN}, {"cookies": {}})


@pytest.mark.parametrize("vary", ["*", " *", "*\t", "Accept, *", "*, Cookie", "\v* "])
def test_cve_2026_6907_and_48587_vary_star_also_with_spaces(vary):
    assert_never_shared(Site(), with_headers(("Vary", vary)), *COOKIES)


@pytest.mark.parametrize("value", ["Private", "PRIVATE", "No-Cache", "nO-sTORE", "public,PRIVATE"])
def test_cve_2026_8404_directives_in_any_case(value):
    assert_never_shared(Site(), with_headers(("cAcHe-CoNtRoL", value)), *COOKIES)


def test_cve_2026_35193_a_response_to_authorization():
    def view(visitor: Visitor) -> Sent:
        return Sent(f"secret of {visitor.header('authorization')}".encode())

    requests = [{"headers": {"authorization": f"Token {name}"}} for name in ("ann", "ben")]
    assert_never_shared(Site(), view, *requests, {"headers": {}})
    assert_never_shared(Site(), view, {"headers": {}}, *requests)


def test_cve_2026_48588_a_cookie_is_set_for_a_visitor_who_has_other_cookies():
    def view(visitor: Visitor) -> Sent:
        token = f"csrftoken={visitor.cookie('seed')}"
        return Sent(token.encode(), (("Vary", "Cookie"), ("Set-Cookie", token)))

    assert_never_shared(
        Site(), view, {"cookies": {"analytics": "1", "seed": "a"}}, {"cookies": {"seed": "b"}}
    )


def test_cve_2026_35192_a_session_cookie_on_a_public_page():
    site = Site()
    view = says("public page", ("Set-Cookie", "sessionid=ann; HttpOnly"))
    for _ in range(2):
        assert site.get(view).outcome == "BYPASS"
    assert site.get(says("public page")).all("set-cookie") == []


def test_cve_2026_35192_a_cached_page_of_a_session_still_varies_on_cookies():
    def view(visitor: Visitor) -> Sent:
        return Sent((visitor.ask("session") or "").encode())

    site = Site()
    for outcome in ("MISS", "HIT"):
        answer = site.get(view, session_state="ann")
        assert (answer.outcome, answer["vary"]) == (outcome, "Cookie")


@pytest.mark.parametrize("named", [True, False])
def test_cve_2026_113593_an_absent_header_is_not_an_empty_one(named):
    def view(visitor: Visitor) -> Sent:
        vary = () if named else (("Vary", "X-Tenant"),)
        return Sent(f"secret of {visitor.header('x-tenant')!r}".encode(), vary)

    site = Site(vary_headers=["X-Tenant"]) if named else Site()
    assert_never_shared(site, view, {"headers": {"x-tenant": ""}}, {"headers": {}})
    assert_never_shared(site, view, {"headers": {}}, {"headers": {"x-tenant": ""}})


def test_cve_2014_0473_a_page_with_a_csrf_token():
    """The first visitor's token, shown to all, would let that visitor forge requests for all."""

    def view(visitor: Visitor) -> Sent:
        token = f"token of {visitor.cookie('seed')}"
        return Sent(token.encode(), (("Set-Cookie", f"csrftoken={token}"),))

    assert_never_shared(Site(), view, {"cookies": {"seed": "a"}}, {"cookies": {"seed": "b"}})


def test_cve_2014_0473_also_where_the_cookie_is_set_later():
    """Middleware adds the cookie after the view; the adapter knows and says so."""

    def view(visitor: Visitor) -> Sent:
        return Sent(f"token of {visitor.cookie('seed')}".encode(), refusal="it has a CSRF token")

    assert_never_shared(Site(), view, {"cookies": {"seed": "a"}}, {"cookies": {"seed": "b"}})


@pytest.mark.parametrize("browser", ["Mozilla/4.0 (compatible; MSIE 7.0)", "chromeframe", ""])
def test_cve_2014_1418_no_browser_is_an_exception(browser):
    """Vary and Cache-Control count whoever asks."""
    agent = {"user-agent": browser}
    requests = [{"headers": agent, "cookies": cookies} for cookies in (ANN, BEN)]
    assert_never_shared(Site(), with_headers(("Cache-Control", "private")), *requests)

    def view(visitor: Visitor) -> Sent:
        return Sent(f"in {visitor.header('cookie')}".encode(), (("Vary", "Cookie"),))

    requests = [{"headers": {**agent, "cookie": value}} for value in ("a", "b")]
    assert_never_shared(Site(), view, *requests)
    answer = Site().get(view, **requests[0])
    assert answer["vary"] == "Cookie"


def test_cve_2023_23969_long_headers_make_no_long_keys():
    site = Site(vary_headers=["Accept-Language"])
    site.get(says("page"), headers={"accept-language": "x" * 100_000}, query="q=" + "y" * 100_000)
    (key,) = site.engine.storage._entries
    assert len(key) < 100


def test_cve_2021_23336_a_semicolon_separates_no_parameters():
    """Cloaking: what one parser takes for an ignored parameter, another takes for a value."""
    site = Site(ignore_query=["utm_*"])
    view_of = lambda query: says(f"page for {query}")  # noqa: E731
    for query in ("q=a", "q=a;utm_x=1&q=evil", "utm_x=1;q=evil&q=b", "q=a%3Butm_x=1"):
        assert site.get(view_of(query), query=query).body == f"page for {query}".encode()


# Flask-Caching


def test_a_get_is_not_answered_with_what_head_left_behind():
    site = Site()
    site.get(says(""), method="HEAD")
    assert site.get(says("page")).body == b"page"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_neither_read_nor_fill_the_cache(method):
    site = Site()
    site.get(says("written"), method=method)
    assert site.get(says("page")).body == b"page"
    assert site.get(says("written"), method=method).body == b"written"


def test_an_error_response_is_not_replayed():
    site = Site()
    site.get(says("sorry", status=500))
    assert site.get(says("page")).body == b"page"


def test_the_query_string_is_never_ignored_unless_asked():
    site = Site()
    site.get(says("first"), query="page=1")
    assert site.get(says("second"), query="page=2").body == b"second"


# Poisoning and deception


def test_a_forged_host_poisons_nobody_elses_page():
    def view(visitor: Visitor) -> Sent:
        return Sent(f'<a href="https://{visitor.host}/reset">'.encode())

    assert_never_shared(Site(), view, {"host": "evil.example"}, {"host": "shop.example"})


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {"transfer-encoding": "chunked"}])
def test_the_content_of_a_get_poisons_nobody_elses_page(headers):
    site = Site()
    poisoned = site.get(says("what the content said"), headers=headers)
    assert poisoned.outcome == "BYPASS"
    assert site.get(says("page")).body == b"page"
    assert site.get(says("x"), headers={"content-length": "0"}).outcome == "HIT"


def test_a_header_that_was_read_but_not_named_in_vary_counts_if_the_adapter_saw_it():
    def view(visitor: Visitor) -> Sent:
        return Sent(f"<script src={visitor.ask('header:x-forwarded-host')}>".encode())

    requests = [{"headers": {"x-forwarded-host": "evil.example"}}, {"headers": {}}]
    assert_never_shared(Site(), view, *requests)


def test_a_personal_page_under_a_path_that_looks_static_is_still_personal():
    def view(visitor: Visitor) -> Sent:
        return Sent(f"account of {visitor.ask('user')}".encode())

    requests = [{"path": "/account/x.css", "user_id": user} for user in ("ann", None)]
    assert_never_shared(Site(), view, *requests)
    assert "private" in Site().get(view, **requests[0])["cache-control"]


def test_a_nonce_is_used_once():
    nonces = iter("abc")

    def view(visitor: Visitor) -> Sent:
        nonce = next(nonces)
        return Sent(nonce.encode(), (("Content-Security-Policy", f"script-src 'nonce-{nonce}'"),))

    site = Site()
    assert [site.get(view).body for _ in range(3)] == [b"a", b"b", b"c"]
