"""``@cache_view``: what is cached, for whom, and until when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.views import View

from tests.django import pages
from tests.django.library.models import Author, Book
from tests.django.visits import logged_in, outcome, text
from zoocache_core import ConfigurationError, InvalidTag, configure, reset
from zoocache_core.http import PageCache
from zoocache_core.testing import ManualClock
from zoocache_django import cache_view, views

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def count_from_zero() -> None:
    pages.runs.clear()


class TestHits:
    @pytest.mark.parametrize(
        "path",
        [
            "/bare/",
            "/bare/7/",
            "/positional-ttl/",
            "/books/",
            "/unnamed/a/b/",
            "/template/",
            "/decorated-class/",
            "/wrapped-class/",
        ],
    )
    def test_the_second_request_is_a_hit(self, client: Client, path: str) -> None:
        first, second = client.get(path), client.get(path)
        assert first["X-Cache"] == "MISS"
        assert second["X-Cache"] == "HIT"
        assert second.content == first.content
        assert second["Content-Type"] == first["Content-Type"]
        assert second.status_code == first.status_code == 200
        assert second["ETag"] == first["ETag"]

    def test_get_answers_head_and_never_the_reverse(self, client: Client) -> None:
        assert client.head("/bare/")["X-Cache"] != "HIT"
        assert outcome(client, "/bare/") == "MISS"
        head = client.head("/bare/")
        assert head["X-Cache"] == "HIT"
        assert head.content == b""
        assert int(head["Content-Length"]) == len(client.get("/bare/").content)

    def test_the_middleware_sees_a_head_as_it_sees_a_get(
        self, client: Client, settings: Any, serve: Callable[..., None]
    ) -> None:
        serve(cache_view(lambda request: HttpResponse("long " * 100)))
        settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
        compressed = {"headers": {"accept-encoding": "gzip"}}
        page, head = client.get("/", **compressed), client.head("/", **compressed)
        assert (head["X-Cache"], head.content) == ("HIT", b"")
        for name in ("Vary", "Content-Encoding", "ETag", "Content-Type"):
            assert head[name] == page[name]

    def test_other_methods_reach_the_view(self, client: Client) -> None:
        client.get("/wrapped-class/")
        for number in (1, 2):
            assert (
                client.post("/wrapped-class/").content.decode() == f"PlainClass post run {number}"
            )
        # A write through a page's own URL makes the page outdated (RFC 9111, section 4.4).
        assert outcome(client, "/wrapped-class/") == "MISS"

    def test_a_browser_that_has_the_page_gets_an_empty_304(self, client: Client) -> None:
        etag = client.get("/bare/")["ETag"]
        again = client.get("/bare/", headers={"If-None-Match": etag})
        assert again.status_code == 304
        assert again.content == b""
        assert "Content-Type" not in again

    def test_arguments_and_query_make_other_pages(self, client: Client) -> None:
        for path in ("/bare/", "/bare/1/", "/bare/2/", "/bare/?a=1", "/bare/?a=2"):
            assert outcome(client, path) == "MISS"
            assert outcome(client, path) == "HIT"
        assert outcome(client, "/unnamed/a/b/") == outcome(client, "/unnamed/b/a/") == "MISS"

    def test_hosts_have_pages_of_their_own(self, client: Client) -> None:
        assert "testserver" in text(client, "/reads/host/")
        assert "other.example" in text(client, "/reads/host/", SERVER_NAME="other.example")
        assert "https://testserver" in text(client, "/reads/host/", secure=True)

    def test_an_invalid_host_is_refused_as_ever(self, client: Client) -> None:
        assert client.get("/bare/", SERVER_NAME="evil.example").status_code == 400

    def test_it_expires(self, client: Client) -> None:
        clock = ManualClock()
        reset()
        configure(clock=clock)
        assert outcome(client, "/positional-ttl/") == "MISS"
        clock.advance(59)
        assert outcome(client, "/positional-ttl/") == "HIT"
        clock.advance(2)
        assert outcome(client, "/positional-ttl/") == "MISS"

    def test_attributes_of_the_view_are_kept(self) -> None:
        assert pages.wrapped_class.csrf_exempt  # type: ignore[attr-defined]
        assert pages.wrapped_class.view_class is pages.PlainClass  # type: ignore[attr-defined]
        assert pages.bare.__name__ == "bare"
        request = RequestFactory().get("/bare/")
        assert pages.bare.uncached(request).content == b"bare run 1"


class TestNotStored:
    @pytest.mark.parametrize(
        "kind",
        [
            "error",
            "redirect",
            "missing",
            "stream",
            "cookie",
            "csrf",
            "session",
            "message",
            "headers",
            "environ",
            "vary",
            "cache-control:private",
            "cache-control:No-Store",
            "cache-control:max-age=5, no-cache",
            "cache-control:max-age=0",
        ],
    )
    def test_it_is_made_anew_for_each_visitor(self, kind: str) -> None:
        for number in (1, 2, 3):
            response = Client().get(f"/answer/{kind}/")
            assert response.get("X-Cache") in ("BYPASS", None)
            assert pages.runs[f"answer {kind}"] == number

    def test_a_csrf_token_is_each_visitors_own(self) -> None:
        tokens = {Client().get("/answer/csrf/").cookies["csrftoken"].value for _ in range(3)}
        assert len(tokens) == 3

    def test_a_message_is_shown_to_whom_it_is_for(self) -> None:
        visitor, other = Client(), Client()
        assert text(other, "/reads/messages/").startswith(" (")
        visitor.get("/answer/message/")
        assert text(visitor, "/reads/messages/").startswith("answer message run 1")
        assert text(other, "/reads/messages/").startswith(" (")

    def test_a_view_without_a_response_is_told_so(self, client: Client) -> None:
        with pytest.raises(ValueError, match=r"pages\.no_response did not return an HttpResponse"):
            client.get("/no-response/")


class TestVisitors:
    @pytest.mark.parametrize("what", ["user", "user in a template"])
    def test_a_page_made_for_one_user_is_never_shown_to_another(self, what: str) -> None:
        path = f"/reads/{what}/"
        ann, bob, nobody = (
            logged_in("ann", is_staff=True),
            logged_in("bob", is_staff=True),
            Client(),
        )
        for _ in range(2):
            assert "ann" in text(ann, path)
            assert "bob" in text(bob, path)
            assert "ann" not in text(nobody, path)
            assert "bob" not in text(nobody, path)
        assert pages.runs[f"reads {what}"] == 3
        # Another session of the same user is the same user.
        again = Client()
        again.force_login(User.objects.get(username="ann"))
        # Logging in wrote the row of the user that the page was made from.
        assert outcome(again, path) == "MISS"
        assert outcome(ann, path) == "HIT"
        assert "private" in ann.get(path)["Cache-Control"]
        assert "Cookie" in ann.get(path)["Vary"]

    def test_a_user_who_was_read_before_the_view_ran_may_be_outdated_by_then(
        self, settings: Any
    ) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.django.pages.meanwhile"]
        visitor = logged_in("ann", is_staff=True)

        def rename(request: HttpRequest) -> None:
            assert request.user.get_username() == "ann"
            User.objects.filter(username="ann").update(username="eve")

        pages.before_view.append(rename)
        try:
            assert "ann" in text(visitor, "/reads/user/")
        finally:
            pages.before_view.clear()
        assert "eve" in text(visitor, "/reads/user/")

    def test_whoever_logs_in_gets_a_page_of_their_own(self) -> None:
        client = Client()
        assert text(client, "/reads/user/").startswith("AnonymousUser")
        client.force_login(User.objects.create_user("ann"))
        assert text(client, "/reads/user/").startswith("ann")
        client.logout()
        assert text(client, "/reads/user/").startswith("AnonymousUser")

    @pytest.mark.parametrize("what", ["nothing", "user unread"])
    def test_a_page_that_reads_nobody_is_shared(self, what: str) -> None:
        path = f"/reads/{what}/"
        first = text(logged_in("ann"), path)
        assert text(logged_in("bob"), path) == text(Client(), path) == first
        assert "private" not in Client().get(path)["Cache-Control"]

    def test_sessions_with_another_content_see_another_page(self) -> None:
        visitors = []
        for cart in ("tea", "coffee"):
            visitor = Client()
            session = visitor.session
            session["cart"] = cart
            session.save()
            visitors.append(visitor)
            assert text(visitor, "/reads/session/").startswith(cart)
        for visitor, cart in zip(visitors, ("tea", "coffee"), strict=True):
            assert text(visitor, "/reads/session/").startswith(cart)
        session = visitors[0].session
        session["cart"] = "cocoa"
        session.save()
        assert text(visitors[0], "/reads/session/").startswith("cocoa")
        assert text(Client(), "/reads/session/").startswith("None")

    def test_who_a_user_is_does_not_hide_that_the_session_was_read(self) -> None:
        ann = logged_in("ann")
        for cart in ("tea", "coffee"):
            session = ann.session
            session["cart"] = cart
            session.save()
            for _ in range(2):
                assert text(ann, "/reads/user and session/").startswith(f"ann {cart}")

    def test_a_session_key_is_not_shown_to_others(self) -> None:
        visitors = [logged_in("ann"), logged_in("bob")]
        for visitor in visitors * 2:
            assert text(visitor, "/reads/session key/").startswith(visitor.session.session_key)

    @pytest.mark.parametrize("what", ["cookie", "cookies"])
    def test_cookies_that_were_read(self, what: str) -> None:
        path = f"/reads/{what}/"
        dark, light, none = Client(), Client(), Client()
        dark.cookies["theme"] = "dark"
        light.cookies["theme"] = "light"
        for _ in range(2):
            assert "dark" in text(dark, path)
            assert "light" in text(light, path)
            assert "dark" not in text(none, path)
            assert "light" not in text(none, path)

    def test_cookies_that_were_not_read_do_not_matter(self) -> None:
        with_cookie = Client()
        with_cookie.cookies["other"] = "1"
        assert outcome(Client(), "/reads/cookie/") == "MISS"
        assert outcome(with_cookie, "/reads/cookie/") == "HIT"

    @pytest.mark.parametrize("what", ["header", "meta", "environ"])
    def test_headers_that_were_read(self, client: Client, what: str) -> None:
        path = f"/reads/{what}/"
        for _ in range(2):
            for device in ("phone", "desk"):
                response = client.get(path, headers={"X-Device": device})
                assert response.content.decode().startswith(device)
                assert "X-Device" in response["Vary"]
            assert text(client, path).startswith("None")
        assert pages.runs[f"reads {what}"] == 3

    def test_the_address_of_the_visitor(self, client: Client) -> None:
        for _ in range(2):
            for address in ("192.0.2.1", "192.0.2.2"):
                assert text(client, "/reads/address/", REMOTE_ADDR=address).startswith(address)

    def test_languages(self, client: Client) -> None:
        for language in ("de", "en", "de", "en"):
            with translation.override(language):
                assert text(client, "/reads/language/").startswith(language)
        assert pages.runs["reads language"] == 2

    def test_time_zones(self, client: Client) -> None:
        for name in ("Asia/Tokyo", "UTC", "Asia/Tokyo"):
            with timezone.override(name):
                assert text(client, "/reads/time zone/").startswith(name)
        assert pages.runs["reads time zone"] == 2

    def test_authorization(self, client: Client) -> None:
        for number in (1, 2):
            response = client.get("/bare/", headers={"Authorization": f"Bearer {number}"})
            assert response.content.decode() == f"bare run {number}"

    def test_the_request_is_itself_again_afterwards(self) -> None:
        request = RequestFactory().get("/reads/cookies/", headers={"Cookie": "a=1"})
        request.user = user = User(pk=1, username="ann")
        before = {name: getattr(request, name) for name in ("COOKIES", "META", "headers")}
        pages.reads(request, what="cookies")
        for name, value in before.items():
            assert getattr(request, name) is value
        assert request.user is user

    def test_what_the_view_leaves_in_the_request_stays(self) -> None:
        @cache_view
        def view(request: HttpRequest) -> HttpResponse:
            request.META["LEFT"] = "here"
            request.user = other
            return HttpResponse()

        other = User(pk=2)
        request = RequestFactory().get("/")
        request.user = User(pk=1)
        view(request)
        assert request.META["LEFT"] == "here"
        assert request.user is other


class TestInvalidation:
    @pytest.fixture
    def book(self) -> Book:
        return Book.objects.create(title="old")

    def test_a_page_follows_its_row_and_no_other(self, client: Client, book: Book) -> None:
        other = Book.objects.create(title="other")
        for row in (book, other):
            assert outcome(client, f"/books/{row.pk}/") == "MISS"
        book.title = "new"
        book.save()
        assert text(client, f"/books/{book.pk}/").startswith("new")
        assert outcome(client, f"/books/{other.pk}/") == "HIT"

    def test_a_label_means_any_row(self, client: Client, book: Book) -> None:
        assert text(client, "/books/").startswith("1")
        Author.objects.create(name="unrelated")
        assert outcome(client, "/books/") == "HIT"
        Book.objects.create(title="second")
        assert text(client, "/books/").startswith("2")
        book.save()
        assert outcome(client, "/books/") == "MISS"

    def test_deps_added_inside(self, client: Client, book: Book) -> None:
        assert text(client, "/titles/old/").startswith("None")
        book.author = Author.objects.create(name="a")
        book.save()
        assert text(client, "/titles/old/").startswith(str(book.author.pk))

    def test_class_based_views(self, client: Client, book: Book) -> None:
        path = f"/decorated-detail/{book.pk}/"
        assert text(client, path) == "plain old DecoratedDetail run 1"
        assert outcome(client, path) == "HIT"
        book.title = "new"
        book.save()
        assert text(client, path) == "plain new DecoratedDetail run 2"

    def test_a_rolled_back_edit_changes_nothing(self, client: Client, book: Book) -> None:
        path = f"/books/{book.pk}/"
        assert text(client, path).startswith("old")
        with transaction.atomic():
            book.title = "never"
            book.save()
            inside = client.get(path)
            assert inside.content.decode().startswith("never")
            assert inside["X-Cache"] != "HIT"
            transaction.set_rollback(True)
        response = client.get(path)
        assert response.content.decode().startswith("old")
        assert response["X-Cache"] == "HIT"

    def test_by_view_and_arguments(self, client: Client) -> None:
        for path in ("/bare/1/", "/bare/2/"):
            client.get(path)
        pages.bare.invalidate(pk=1)
        assert outcome(client, "/bare/1/") == "MISS"
        assert outcome(client, "/bare/2/") == "HIT"
        pages.bare.invalidate()
        assert outcome(client, "/bare/2/") == "MISS"

    def test_a_view_that_writes_what_it_shows_is_not_kept(self, client: Client, book: Book) -> None:
        for marks in ("!", "!!"):
            assert text(client, f"/writes/{book.pk}/").startswith(f"old{marks} ")

    def test_requests_in_transactions(
        self, client: Client, book: Book, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        path = f"/books/{book.pk}/"
        assert text(client, path).startswith("old")
        assert outcome(client, path) == "HIT"
        book.title = "new"
        book.save()
        assert text(client, path).startswith("new")
        assert outcome(client, path) == "HIT"
        for marks in ("!", "!!"):
            assert text(client, f"/writes/{book.pk}/").startswith(f"new{marks} ")


class TestAsync:
    async def get(self, path: str, client: AsyncClient | None = None) -> HttpResponse:
        response: HttpResponse = await (client or AsyncClient()).get(path)
        return response

    @pytest.mark.parametrize("path", ["/async/template/", "/async-class/", "/async/reads/nothing/"])
    async def test_the_second_request_is_a_hit(self, path: str) -> None:
        first, second = await self.get(path), await self.get(path)
        assert (first["X-Cache"], second["X-Cache"]) == ("MISS", "HIT")
        assert first.content == second.content

    async def test_a_page_follows_its_row(self) -> None:
        book = await Book.objects.acreate(title="old")
        path = f"/async/books/{book.pk}/"
        assert (await self.get(path)).content.decode().startswith("old")
        assert (await self.get(path))["X-Cache"] == "HIT"
        book.title = "new"
        await book.asave()
        assert (await self.get(path)).content.decode().startswith("new")

    @sync_to_async
    def log_in(self, name: str) -> AsyncClient:
        client = AsyncClient()
        client.force_login(User.objects.create_user(name))
        return client

    @sync_to_async
    def put_in_cart(self, client: AsyncClient, cart: str) -> None:
        session = client.session
        session["cart"] = cart
        session.save()

    @pytest.mark.parametrize("what", ["user", "user by thread"])
    async def test_a_page_made_for_one_user_is_never_shown_to_another(self, what: str) -> None:
        clients = {name: await self.log_in(name) for name in ("ann", "bob")}
        clients[""] = AsyncClient()
        for _ in range(2):
            for name, client in clients.items():
                response = await self.get(f"/async/reads/{what}/", client)
                found = response.content.decode().partition(" ")[0]
                assert found.replace("AnonymousUser", "") == name
        assert pages.runs[f"async_reads {what}"] == 3

    async def test_sessions_with_another_content_see_another_page(self) -> None:
        client = AsyncClient()
        for cart in ("tea", "coffee"):
            await self.put_in_cart(client, cart)
            for _ in range(2):
                response = await self.get("/async/reads/session/", client)
                assert response.content.decode().startswith(cart)

    async def test_a_page_that_reads_nobody_is_shared(self) -> None:
        client = await self.log_in("ann")
        first = await self.get("/async/reads/nothing/", client)
        assert "Cookie" not in first.get("Vary", "")
        assert (await self.get("/async/reads/nothing/"))["X-Cache"] == "HIT"


class TestDecoration:
    def view(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @pytest.mark.parametrize(
        ("options", "error", "named"),
        [
            ({"ttl": 0}, ConfigurationError, "ttl=0"),
            ({"ttl": "60"}, ConfigurationError, "ttl='60'"),
            ({"dependencies": []}, ConfigurationError, "dependencies"),
            ({"deps": ["a b"]}, InvalidTag, "a b"),
            ({"deps": 5}, ConfigurationError, "deps=5"),
        ],
    )
    def test_mistakes_are_named_at_once(
        self, options: dict[str, Any], error: type[Exception], named: str
    ) -> None:
        with pytest.raises(error, match=named):
            cache_view(**options)

    @pytest.mark.parametrize("ttl", [60, 60.0, timedelta(minutes=1)])
    def test_durations(self, ttl: Any) -> None:
        assert cache_view(ttl)(self.view)(RequestFactory().get("/"))["X-Cache"] == "MISS"

    def test_what_is_learned_about_a_classs_pages_outlives_the_request(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []

        def make(name: str, *args: Any) -> PageCache:
            made.append(name)
            return PageCache(name, *args)

        monkeypatch.setattr(views, "PageCache", make)
        monkeypatch.setattr(views, "_bare_caches", {})

        @method_decorator(cache_view, name="dispatch")
        class Page(View):
            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse()

        for _ in range(3):
            Page.as_view()(RequestFactory().get("/"))
        # Once more for the function that method_decorator tries a decorator on.
        assert len([name for name in made if name.endswith("Page")]) == 1

    def test_two_views_at_one_url_are_two_pages(self) -> None:
        def make(text: str) -> Callable[..., HttpResponse]:
            class Page:
                def __call__(self, request: HttpRequest) -> HttpResponse:
                    return HttpResponse(text)

            Page.__qualname__ = f"Page{text}"
            return cache_view(Page())

        request = RequestFactory().get("/")
        assert make("a")(request).content == b"a"
        assert make("b")(request).content == b"b"

    def test_with_settings_that_cannot_be_used_the_view_says_so(self, client: Client) -> None:
        with (
            override_settings(ZOOCACHE={"TTL": 5}),
            pytest.raises((ConfigurationError, ImproperlyConfigured), match="TTL"),
        ):
            client.get("/bare/")
