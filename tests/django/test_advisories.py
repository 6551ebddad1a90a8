"""The security advisories about Django's caching, one test each: a page made for one visitor is
never shown to another.

They are those of Django's archive of security issues (and one of django CMS) that are about cached
pages, or about what lies in a cache beside them. Each test does to ``@cache_view``, or to the cache
backend, what the advisory says of the code that was vulnerable.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends import cached_db
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client
from django.views.decorators.csrf import csrf_protect

from tests.django.visits import logged_in, outcome, text, with_cookies
from zoocache_core import default_engine
from zoocache_django import cache_view

pytestmark = pytest.mark.django_db

Serve = Callable[..., None]


@pytest.fixture
def sessions_in_the_cache(settings: Any, tmp_path: Path) -> None:
    """Sessions, pages and what the application caches, all in one store."""
    location = f"lmdb://{tmp_path}"
    settings.CACHES = {
        "default": {"BACKEND": "zoocache_django.cache.ZooCacheBackend", "LOCATION": location}
    }
    settings.ZOOCACHE = {"STORAGE_URL": location}
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"


def secret(*headers: tuple[str, str]) -> Any:
    """A view whose page is for one visitor, which it says in its headers."""

    @cache_view
    def view(request: HttpRequest) -> HttpResponse:
        # Not noticed, so that nothing but the headers keeps the pages apart.
        sent = HttpResponse(HttpRequest.__getattribute__(request, "visitor"))
        for name, value in headers:
            sent.headers[name] = value
        return sent

    return view


def told(request: HttpRequest) -> None:
    """A middleware that knows who is there by means that nobody sees."""
    object.__setattr__(request, "visitor", request.META.get("HTTP_COOKIE", "nobody"))


@pytest.mark.usefixtures("sessions_in_the_cache")
def test_cve_2011_4136_sessions_are_not_among_what_an_application_caches(serve: Serve) -> None:
    ann = logged_in("ann")
    name = ann.cookies["sessionid"].value

    def view(request: HttpRequest) -> HttpResponse:
        # What visitors name, they write and read: as a key of the cache, or of a cached page.
        key = request.GET["key"]
        found = caches["default"].get(key), default_engine.get(key)
        caches["default"].set(key, "forged")
        default_engine.set(key, "forged")
        return HttpResponse(str(found))

    serve(view)
    assert text(Client(), f"/?key={name}") == "(None, None)"
    serve(cache_view(lambda request: HttpResponse(request.user.get_username())))
    assert text(ann) == "ann"


def test_cve_2011_4139_and_2012_4520_links_to_a_host_that_the_visitor_named(serve: Serve) -> None:
    serve(cache_view(lambda request: HttpResponse(request.build_absolute_uri("/reset"))))
    for host in (
        "evil.example",
        "testserver:80@evil.example",
        "testserver:evil",
        "evil/testserver",
    ):
        assert Client().get("/", headers={"host": host}).status_code == 400
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "666"}
    for headers in (forwarded, {}):
        assert text(Client(), headers=headers) == "http://testserver/reset"


@pytest.mark.parametrize("kept_in", ["cookies", "sessions"])
@pytest.mark.parametrize("decorated", [False, True])
def test_cve_2014_0473_a_page_with_a_csrf_token(
    serve: Serve, settings: Any, kept_in: str, decorated: bool
) -> None:
    settings.CSRF_USE_SESSIONS = kept_in == "sessions"

    def form(request: HttpRequest) -> HttpResponse:
        return render(request, "form.html")

    # Also where somebody thinks that the cookie does no harm.
    harmless = cache_view(harmless_cookies=["csrftoken", "sessionid"])
    serve(harmless(csrf_protect(form) if decorated else form))
    visitors = [logged_in("ann"), logged_in("bob"), Client(), Client()]
    seen = [{text(visitor) for _ in range(3)} for visitor in visitors]
    assert all("csrfmiddlewaretoken" in page for pages in seen for page in pages)
    assert len(set().union(*seen)) == sum(map(len, seen))


@pytest.mark.parametrize("browser", ["Mozilla/4.0 (compatible; MSIE 6.0)", "chromeframe", ""])
@pytest.mark.parametrize("header", [("Vary", "Cookie"), ("Cache-Control", "private")])
def test_cve_2014_1418_no_browser_is_an_exception(
    serve: Serve, browser: str, header: tuple[str, str]
) -> None:
    serve(secret(header), told)
    for name in ("ann", "bob") * 2:
        answer = with_cookies(name=name).get("/", headers={"user-agent": browser})
        assert answer.content.decode() == f"name={name}"
        assert header[1] in answer[header[0]]


def test_cve_2014_0482_whoever_the_server_has_authenticated(serve: Serve) -> None:
    serve(cache_view(lambda request: HttpResponse(str(request.META.get("REMOTE_USER")))))
    for name in ("ann", "bob") * 2:
        assert text(Client(), REMOTE_USER=name) == name
    assert text(Client()) == "None"


@pytest.mark.usefixtures("sessions_in_the_cache")
def test_cve_2015_3982_a_session_that_was_flushed_is_nobody_elses(settings: Any) -> None:
    session = cached_db.SessionStore()
    session["name"] = "ann"
    session.save()
    session.flush()
    assert session.session_key is None
    assert cached_db.SessionStore("").load() == {}


@pytest.mark.parametrize("what", ["user", "session"])
def test_cve_2015_5143_and_5963_looking_at_a_page_makes_no_session(serve: Serve, what: str) -> None:
    serve(cache_view(lambda request: HttpResponse(str(getattr(request, what) == "x"))))
    visitor = with_cookies(sessionid="a" * 32)
    for _ in range(2):
        visitor.get("/")
        Client().get("/")
    assert not Session.objects.exists()


def test_cve_2019_12781_http_is_not_https_behind_a_proxy(serve: Serve, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    serve(cache_view(lambda request: HttpResponse(request.META.get("HTTP_X_FORWARDED_PROTO", ""))))
    for _ in range(2):
        for protocol in ("http://evil.example", "https", "http"):
            shown = text(Client(), headers={"X-Forwarded-Proto": protocol})
            # A forged one counts as http, for the visitor who sent it as well.
            assert shown in (protocol, "http")
            assert shown == protocol or "evil" in protocol


@pytest.mark.usefixtures("sessions_in_the_cache")
@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_cve_2020_13254_malformed_keys_are_not_other_keys() -> None:
    cache = caches["default"]
    keys = [
        "a",
        "b",
        "a b",
        "a\nb",
        "a\r\nset b",
        "a\x00",
        "a:b",
        "é",
        "e\u0301",
        "a" * 250,
        "a" * 251,
    ]
    for number, key in enumerate(keys):
        cache.set(key, number)
    assert [cache.get(key) for key in keys] == list(range(len(keys)))
    assert cache.get_many(keys) == dict(zip(keys, range(len(keys)), strict=True))
    with pytest.warns(CacheKeyWarning, match="will cause errors"):
        cache.get("a b")


@pytest.mark.usefixtures("sessions_in_the_cache")
def test_cve_2020_24584_other_accounts_of_the_machine_cannot_read_the_cache(tmp_path: Path) -> None:
    caches["default"].set("key", "secret")
    found = [tmp_path, *tmp_path.rglob("*")]
    assert len(found) > 1
    # The directory of a test belongs to the account that runs it; what is in it, to the cache.
    assert [path for path in found[1:] if path.stat().st_mode & 0o077] == []


def test_cve_2021_23336_a_semicolon_separates_no_parameters(serve: Serve) -> None:
    shown = cache_view(ignore_query=["utm_*"])
    serve(shown(lambda request: HttpResponse(request.GET.get("q", ""))))
    for query, seen in (
        ("q=a", "a"),
        ("q=a;utm_x=1&q=evil", "evil"),
        ("utm_x=1;q=evil&q=b", "b"),
        ("q=a%3Butm_x=1", "a;utm_x=1"),
    ):
        assert text(Client(), QUERY_STRING=query) == seen


def test_cve_2023_23969_long_headers_make_no_long_keys(serve: Serve) -> None:
    view = cache_view(vary_headers=["Accept-Language"])
    serve(view(lambda request: HttpResponse("page")))
    text(Client(), headers={"accept-language": "x" * 100_000}, QUERY_STRING="q=" + "y" * 100_000)
    keys = list(default_engine.storage._entries)  # type: ignore[attr-defined]
    assert keys
    assert max(map(len, keys)) < 100


@pytest.mark.parametrize("vary", ["*", " *", "*\t", "Accept, *", "*,Cookie"])
def test_cve_2026_6907_vary_on_everything(serve: Serve, vary: str) -> None:
    serve(secret(("Vary", vary)), told)
    for name in ("ann", "bob") * 2:
        assert text(with_cookies(name=name)) == f"name={name}"


@pytest.mark.parametrize("vary", [" Cookie", "Cookie ", "Accept ,\tCookie\t", "COOKIE", "cookie,"])
def test_cve_2026_48587_spaces_around_the_names_in_vary(serve: Serve, vary: str) -> None:
    serve(secret(("Vary", vary)), told)
    for name in ("ann", "bob") * 2:
        assert text(with_cookies(name=name)) == f"name={name}"


@pytest.mark.parametrize("said", ["Private", "PRIVATE", "No-Cache", "nO-sTORE", "public, PRIVATE"])
def test_cve_2026_8404_directives_in_any_case(serve: Serve, said: str) -> None:
    serve(secret(("Cache-Control", said)), told)
    for name in ("ann", "bob") * 2:
        assert text(with_cookies(name=name)) == f"name={name}"


@pytest.mark.parametrize("save_always", [True, False])
def test_cve_2026_35192_a_session_cookie_on_a_public_page(
    serve: Serve, settings: Any, save_always: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = save_always
    serve(cache_view(lambda request: HttpResponse(request.user.get_username())))
    ann = logged_in("ann")
    for _ in range(2):
        answer = ann.get("/")
        assert "Cookie" in answer["Vary"]
        assert "private" in answer["Cache-Control"]
        # Whatever the middleware adds for ann is added after the page was stored.
        stranger = Client().get("/")
        assert stranger.content == b""
        assert not stranger.cookies


def test_cve_2026_35193_the_response_to_authorization(serve: Serve) -> None:
    serve(secret(), lambda request: setattr(request, "visitor", request.headers["Authorization"]))
    for token in ("Bearer ann", "Bearer bob") * 2:
        answer = Client().get("/", headers={"Authorization": token})
        assert (answer.content.decode(), answer["X-Cache"]) == (token, "BYPASS")


def test_cve_2026_48588_a_cookie_for_a_visitor_who_has_other_cookies(serve: Serve) -> None:
    numbers = count()

    @cache_view
    def view(request: HttpRequest) -> HttpResponse:
        sent = HttpResponse(f"{next(numbers)}", headers={"Vary": "Cookie"})
        sent.set_cookie("visit", "personal")
        return sent

    serve(view)
    visitors = [with_cookies(analytics="1"), with_cookies(analytics="1"), Client()]
    assert [text(visitor) for visitor in visitors] == ["0", "1", "2"]


@pytest.mark.parametrize("named_by", ["the options", "the response"])
def test_cve_2026_113593_an_absent_header_is_not_an_empty_one(serve: Serve, named_by: str) -> None:
    options = {"vary_headers": ["X-Tenant"]} if named_by == "the options" else {}
    vary = {} if options else {"Vary": "X-Tenant"}

    @cache_view(**options)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(HttpRequest.__getattribute__(request, "visitor"), headers=vary)

    serve(view, lambda request: setattr(request, "visitor", str(request.headers.get("X-Tenant"))))
    for _ in range(2):
        assert text(Client(), headers={"X-Tenant": ""}) == ""
        assert text(Client()) == "None"


def test_pysec_2026_3824_what_a_part_of_the_page_varies_on(serve: Serve) -> None:
    """In django CMS, a plugin's headers were in ``Vary`` and not in the key."""

    @cache_view
    def part(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.headers.get("Country-Code", "none"))

    serve(cache_view(lambda request: HttpResponse(part(request).content)))
    for _ in range(2):
        for country in ("NO", "SE"):
            answer = Client().get("/", headers={"Country-Code": country})
            assert answer.content.decode() == country
            assert "Country-Code" in answer["Vary"]
        assert text(Client()) == "none"
    assert outcome(Client(), headers={"Country-Code": "NO"}) == "HIT"


def test_whoever_is_deleted_leaves_no_page(serve: Serve) -> None:
    serve(cache_view(lambda request: HttpResponse(request.user.get_username())))
    ann = logged_in("ann")
    assert text(ann) == "ann"
    User.objects.all().delete()
    assert text(ann) == ""
