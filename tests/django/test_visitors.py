"""What keeps the pages of two visitors apart though the view is not seen to look at the visitor.

Middleware, ``setup()``, decorators and factories look first, and leave what they have found where
the view takes it from: attributes of the request, of the view's object, variables, the server's
environment. Whatever the view is given and reads is part of the page.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import django
import django.urls
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import RequestContext, Template
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.urls.converters import IntConverter, get_converters
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.generic import TemplateView
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response
from rest_framework.versioning import BaseVersioning
from rest_framework.views import APIView

from tests.django.library.models import Author, Book
from tests.django.visits import logged_in, outcome, text, with_cookies
from zoocache_django import cache_view
from zoocache_django.pages.identities import identify

pytestmark = pytest.mark.django_db

Serve = Callable[..., None]


def shows(look: Callable[[HttpRequest], object], **options: Any) -> Any:
    """A cached view that shows what is found at a look."""
    return cache_view(**options)(lambda request: HttpResponse(str(look(request))))


def put(name: str, look: Callable[[HttpRequest], object]) -> Callable[[HttpRequest], None]:
    """A middleware that puts what it finds into an attribute of the request."""
    return lambda request: setattr(request, name, look(request))


def each_sees_their_own(**expected: Client) -> None:
    """Each visitor sees a page with their own name, the first time and the next; then it is
    cached."""
    for _ in range(2):
        for name, visitor in expected.items():
            assert text(visitor) == name
    for visitor in expected.values():
        assert outcome(visitor) == "HIT"


def name_of(request: HttpRequest) -> str:
    return request.user.get_username()


class TestHeaders:
    @pytest.mark.parametrize("name", ["Host", "Port", "Proto", "For"])
    def test_a_forwarded_header_that_the_key_says_nothing_of(self, serve: Serve, name: str) -> None:
        serve(shows(lambda request: request.headers.get(f"X-Forwarded-{name}")))
        assert text(Client(), headers={f"X-Forwarded-{name}": "evil"}) == "evil"
        assert text(Client()) == "None"

    def test_the_host_that_django_did_not_check(self, serve: Serve, settings: Any) -> None:
        settings.USE_X_FORWARDED_HOST = True
        serve(shows(lambda request: request.META.get("HTTP_HOST")))
        for host in ("evil", "good"):
            headers = {"X-Forwarded-Host": "testserver", "Host": host}
            assert text(Client(), headers=headers) == host

    @pytest.mark.parametrize("options", [{"key": lambda request: "x"}, {"include_host": False}])
    def test_the_host_where_the_key_leaves_it_out(self, serve: Serve, options: Any) -> None:
        serve(shows(lambda request: request.get_host(), **options))
        for host in ("other.example", "testserver"):
            assert text(Client(), SERVER_NAME=host) == host
            assert text(Client(), headers={"host": host}) == host

    def test_what_was_made_of_them_before_the_view(self, serve: Serve) -> None:
        serve(shows(lambda request: request.accepts("text/html")), lambda r: r.accepts("a/b"))
        for accept, shown in (("text/html", "True"), ("text/plain", "False")) * 2:
            assert text(Client(), headers={"accept": accept}) == shown
        assert outcome(Client(), headers={"accept": "text/html"}) == "HIT"

    def test_the_address_of_the_site_is_told_by_the_key(self, serve: Serve) -> None:
        look = HttpRequest.build_absolute_uri
        serve(shows(lambda request: (look(request), look(request))))
        assert [outcome(Client()) for _ in range(2)] == ["MISS", "HIT"]

    @pytest.mark.parametrize("name", ["content_type", "content_params", "encoding"])
    def test_the_type_of_content_that_is_not_there(self, serve: Serve, name: str) -> None:
        serve(shows(lambda request: getattr(request, name)))
        kinds = ("text/plain; charset=latin-1", "application/json; charset=ascii")
        assert len({text(Client(), headers={"content-type": kind}) for kind in kinds}) == 2
        assert text(Client(), headers={"content-type": kinds[0]}) != text(Client())

    def test_the_encoding_that_parameters_are_read_in(self, serve: Serve) -> None:
        serve(shows(lambda request: request.GET["q"]))
        latin = {"content-type": "text/plain; charset=latin-1"}
        for _ in range(2):
            assert text(Client(), "/?q=%C3%A9", headers=latin) == "Ã©"
            assert text(Client(), "/?q=%C3%A9") == "é"

    @pytest.mark.parametrize("where", ["META", "environ"])
    def test_what_the_server_has_found_out(self, serve: Serve, where: str) -> None:
        serve(shows(lambda request: getattr(request, where).get("SSL_CLIENT_S_DN")))
        for name in ("ann", "bob") * 2:
            assert text(Client(), SSL_CLIENT_S_DN=name) == name
        assert outcome(Client(), SSL_CLIENT_S_DN="ann") == "HIT"

    def test_the_environment_of_wsgi(self, serve: Serve) -> None:
        serve(shows(lambda request: request.environ.get("HTTP_X_DEVICE")))
        for device in ("desk", "phone"):
            assert text(Client(), headers={"X-Device": device}) == device

    @pytest.mark.parametrize("name", ["tenant", "headers", "client"])
    def test_the_scope_of_asgi(self, name: str) -> None:
        @cache_view
        async def view(request: Any) -> HttpResponse:
            return HttpResponse(str(request.scope[name]))

        async def shown(visitor: int) -> str:
            request = AsyncRequestFactory().get("/", headers={"X-Visitor": str(visitor)})
            request.scope["tenant"] = visitor
            request.scope["client"] = (f"192.0.2.{visitor}", 80)
            request.META["REMOTE_ADDR"] = f"192.0.2.{visitor}"
            page: str = (await view(request)).content.decode()
            assert page == str(request.scope[name])
            return page

        assert asyncio.run(shown(1)) != asyncio.run(shown(2))

    def test_content_where_no_header_tells_of_any(self) -> None:
        view = shows(lambda request: request.body)
        request = RequestFactory().get("/")
        # As HTTP/2 may send it.
        request._stream = request.environ["wsgi.input"]
        request._body = b"evil"  # type: ignore[attr-defined]
        assert view(request)["X-Cache"] == "BYPASS"
        assert view(RequestFactory().get("/")).content == b"b''"

    def test_the_query_string_as_it_was_written(self, serve: Serve) -> None:
        serve(shows(lambda request: request.META["QUERY_STRING"]))
        for query in ("q=<script>", "q=%3Cscript%3E", "b=2&a=1", "a=1&b=2", ""):
            assert text(Client(), QUERY_STRING=query) == query
            assert outcome(Client(), QUERY_STRING=query) == "HIT"

    def test_the_path_with_its_parameters(self, serve: Serve) -> None:
        serve(shows(lambda request: request.get_full_path()))
        for path, query, shown in (
            ("/", "b=2&a=1", "/?b=2&a=1"),
            ("/", "a=1&b=2", "/?a=1&b=2"),
            ("/", "", "/"),
            ("//evil.example/", "", "//evil.example/"),
        ):
            for _ in range(2):
                assert text(Client(), PATH_INFO=path, QUERY_STRING=query) == shown
        assert outcome(Client(), QUERY_STRING="a=1&b=2") == "HIT"

    def test_parameters_alone_are_the_same_in_any_order(self, serve: Serve) -> None:
        serve(shows(lambda request: (request.GET["a"], request.GET["b"])))
        assert outcome(Client(), QUERY_STRING="a=1&b=2") == "MISS"
        assert outcome(Client(), QUERY_STRING="b=%32&a=1") == "HIT"


class TestAttributesOfTheRequest:
    def test_their_values_keep_pages_apart(self, serve: Serve) -> None:
        serve(shows(lambda request: request.profile), put("profile", name_of))
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_one_that_only_some_requests_have(self, serve: Serve) -> None:
        def flag(request: Any) -> None:
            if "preview" in request.COOKIES:
                request.preview = True

        serve(shows(lambda request: getattr(request, "preview", False)), flag)
        each_sees_their_own(**{"True": with_cookies(preview="1"), "False": Client()})

    @pytest.mark.parametrize("how", [copy.copy, lambda request: vars(request)])
    def test_by_way_of_all_attributes(self, serve: Serve, how: Callable[[Any], Any]) -> None:
        def look(request: HttpRequest) -> object:
            found = how(request)
            return found["profile"] if isinstance(found, dict) else found.profile

        serve(shows(look), put("profile", name_of))
        for name in ("ann", "bob"):
            assert text(logged_in(name)) == name

    def test_objects_are_told_by_what_they_hold(self, serve: Serve) -> None:
        class Plan:
            def __init__(self, request: HttpRequest) -> None:
                self.request = request
                self.names = {"plan": [request.COOKIES.get("plan")]}

        serve(shows(lambda request: request.plan.names["plan"][0]), put("plan", Plan))
        each_sees_their_own(**{"gold": with_cookies(plan="gold"), "None": Client()})

    def test_what_nothing_tells_apart_is_not_kept(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        serve(shows(lambda request: bool(request.lock)), put("lock", lambda _: threading.Lock()))
        caplog.set_level("DEBUG", "zoocache.http")
        for _ in range(2):
            assert outcome(Client()) == "BYPASS"
        assert "the view read request lock, and it is a _thread.lock" in caplog.text
        assert "__zoocache_key__" in caplog.text

    def test_a_lazy_one_counts_if_it_is_looked_at(self, serve: Serve) -> None:
        lazy = put("profile", lambda request: SimpleLazyObject(lambda: name_of(request)))
        serve(shows(lambda request: request.profile), lazy)
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))
        serve(shows(lambda request: len([request.profile])), lazy)
        assert outcome(logged_in("eve")) == "MISS"
        assert outcome(Client()) == "HIT"

    def test_in_asynchronous_views(self, serve: Serve) -> None:
        @cache_view
        async def view(request: Any) -> HttpResponse:
            return HttpResponse(await sync_to_async(lambda: request.profile.username)())

        def profile(request: Any) -> object:
            name = request.session["_auth_user_id"]
            return SimpleLazyObject(lambda: User.objects.get(pk=name))

        serve(view, put("profile", profile))
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_what_the_view_puts_there_itself_is_its_own(self, serve: Serve) -> None:
        def look(request: Any) -> str:
            request.mine = object()
            return type(request.mine).__name__

        serve(shows(look))
        assert [outcome(Client()) for _ in range(2)] == ["MISS", "HIT"]

    def test_what_django_does_with_a_request_is_no_look(self, serve: Serve) -> None:
        serve(cache_view(lambda request: render(request, "plain.html", {"n": 1})))
        assert "Vary" not in Client().get("/")
        assert outcome(logged_in("ann")) == "HIT"


class TestRowsReadBefore:
    """A page depends on rows that were read before its view ran."""

    def test_in_an_attribute(self, serve: Serve) -> None:
        book = Book.objects.create(title="old")
        look = put("book", lambda _: Book.objects.get(pk=book.pk))
        serve(shows(lambda request: request.book.title), look)
        assert (text(Client()), outcome(Client())) == ("old", "HIT")
        Book.objects.create(title="another")
        assert outcome(Client()) == "HIT"
        book.title = "new"
        book.save()
        assert text(Client()) == "new"

    def test_loaded_along(self, serve: Serve) -> None:
        author = Author.objects.create(name="old")
        Book.objects.create(title="b", author=author)
        look = put("book", lambda _: Book.objects.select_related("author").get())
        serve(shows(lambda request: request.book.author.name), look)
        assert (text(Client()), outcome(Client())) == ("old", "HIT")
        Author.objects.update(name="new")
        assert text(Client()) == "new"

    def test_prefetched(self, serve: Serve) -> None:
        author = Author.objects.create(name="a")
        Book.objects.create(title="old", author=author)
        look = put("author", lambda _: Author.objects.prefetch_related("books").get())
        serve(shows(lambda request: [book.title for book in request.author.books.all()]), look)
        assert (text(Client()), outcome(Client())) == ("['old']", "HIT")
        Book.objects.create(title="new", author=author)
        assert text(Client()) == "['old', 'new']"

    @pytest.mark.parametrize("kind", [list, lambda found: found])
    def test_many(self, serve: Serve, kind: Callable[[Any], Any]) -> None:
        def menu(request: Any) -> object:
            found = kind(Author.objects.order_by("pk"))
            assert len(found) > 0
            return found

        Author.objects.create(name="a")
        serve(shows(lambda request: [one.name for one in request.menu]), put("menu", menu))
        assert (text(Client()), outcome(Client())) == ("['a']", "HIT")
        Author.objects.update(name="c")
        assert text(Client()) == "['c']"
        Author.objects.create(name="d")
        assert text(Client()) == "['c', 'd']"

    def test_written_between_the_middleware_and_the_view(self, serve: Serve) -> None:
        Book.objects.create(title="old")
        look = put("book", lambda _: Book.objects.get())
        write = iter([lambda: Book.objects.update(title="new")])
        serve(
            shows(lambda request: request.book.title),
            look,
            lambda _: next(write, lambda: None)(),
        )
        assert text(Client()) == "old"
        assert text(Client()) == "new"

    def test_the_users_permissions(self, serve: Serve) -> None:
        kind = ContentType.objects.get_for_model(Book)
        permission = Permission.objects.create(codename="x", name="x", content_type=kind)
        group = Group.objects.create(name="g")
        group.permissions.add(permission)
        serve(
            shows(lambda request: request.user.has_perm("library.x")),
            lambda request: request.user.has_perm("library.x"),
        )
        ann = logged_in("ann")
        User.objects.get().groups.add(group)
        assert (text(ann), outcome(ann)) == ("True", "HIT")
        group.permissions.clear()
        assert text(ann) == "False"


class TestUsers:
    def test_kept_by_somebody_who_has_looked(self, serve: Serve) -> None:
        """As middleware does that keeps the user in a variable of the thread."""
        kept: dict[str, Any] = {}

        def keep(request: HttpRequest) -> None:
            assert request.user.is_authenticated
            kept["user"] = request.user

        serve(shows(lambda _: kept["user"].get_username()), keep)
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_of_another_kind_with_the_same_key(self, serve: Serve) -> None:
        class Machine:
            pk = 1
            is_authenticated = True

            def __str__(self) -> str:
                return "machine"

        def authenticate(request: Any) -> None:
            if "X-Machine" in request.headers:
                request.user = Machine()

        serve(shows(lambda request: request.user), authenticate)
        ann = Client()
        ann.force_login(User.objects.create(pk=1, username="ann"))
        for _ in range(2):
            assert text(ann) == "ann"
            assert text(Client(), headers={"X-Machine": "1"}) == "machine"

    def test_who_have_proved_more(self, serve: Serve) -> None:
        """As middleware for a second factor says of the user: in an attribute."""

        def verify(request: Any) -> None:
            request.user.is_verified = "verified" in request.COOKIES

        serve(shows(lambda request: request.user.is_verified), verify)
        ann = logged_in("ann")
        verified = copy.deepcopy(ann)
        verified.cookies["verified"] = "1"
        each_sees_their_own(**{"True": verified, "False": ann})

    def test_put_in_place_of_another_by_middleware(self, serve: Serve) -> None:
        def impersonate(request: Any) -> None:
            if "as" in request.COOKIES:
                request.user = User.objects.get(username=request.COOKIES["as"])
                request.user.is_hijacked = True

        look = lambda request: f"{request.user} {getattr(request.user, 'is_hijacked', False)}"  # noqa: E731
        serve(shows(look), impersonate)
        bob, ann = logged_in("bob"), logged_in("ann")
        ann.cookies["as"] = "bob"
        for _ in range(2):
            assert text(ann) == "bob True"
            assert text(bob) == "bob False"

    def test_put_in_place_of_another_by_the_view(self, serve: Serve) -> None:
        def look(request: Any) -> str:
            real = request.user.get_username()
            request.user = User.objects.get(username="bob")
            return f"{real} as {request.user}"

        serve(shows(look))
        bob, ann = logged_in("bob"), logged_in("ann")
        for _ in range(2):
            assert text(ann) == "ann as bob"
            assert text(bob) == "bob as bob"

    @pytest.mark.skipif(django.VERSION < (5, 0), reason="request.auser() came with Django 5.0")
    def test_looked_up_while_another_task_looks_at_something_else(self, serve: Serve) -> None:
        @cache_view
        async def view(request: Any) -> HttpResponse:
            async def theme() -> str:
                await asyncio.sleep(0)
                return str(request.COOKIES.get("theme"))

            _, found = await asyncio.gather(request.auser(), theme())
            return HttpResponse(found)

        serve(view)
        dark = logged_in("ann")
        light = copy.deepcopy(dark)
        dark.cookies["theme"], light.cookies["theme"] = "dark", "light"
        each_sees_their_own(dark=dark, light=light)


class TestViewsThatHoldSomething:
    def test_made_by_one_factory(self, serve: Serve) -> None:
        def make(shown: str) -> Any:
            return cache_view(lambda request: HttpResponse(shown))

        staff, others = make("staff"), make("others")
        serve(lambda request: (staff if "staff" in request.COOKIES else others)(request))
        each_sees_their_own(staff=with_cookies(staff="1"), others=Client())

    @pytest.mark.parametrize("decorate", ["function", "class"])
    def test_made_of_one_class(self, serve: Serve, decorate: str) -> None:
        class Page(TemplateView):
            template_name = "plain.html"

        if decorate == "class":
            kind = method_decorator(cache_view, name="dispatch")(Page)
            staff, others = (kind.as_view(extra_context={"n": n}) for n in (1, 2))
        else:
            staff, others = (cache_view(Page.as_view(extra_context={"n": n})) for n in (1, 2))
        serve(lambda request: (staff if "staff" in request.COOKIES else others)(request))
        for _ in range(2):
            assert text(with_cookies(staff="1")) == "plain 1"
            assert text(Client()) == "plain 2"
        assert outcome(Client()) == "HIT"

    @pytest.mark.parametrize("decorate", ["function", "class"])
    def test_of_classes_made_by_one_factory(self, serve: Serve, decorate: str) -> None:
        def make(shown: str) -> Any:
            class Page(View):
                def get(self, request: HttpRequest) -> HttpResponse:
                    return HttpResponse(shown)

            if decorate == "class":
                return method_decorator(cache_view, name="dispatch")(Page).as_view()
            return cache_view(Page.as_view())

        staff, others = make("staff"), make("others")
        serve(lambda request: (staff if "staff" in request.COOKIES else others)(request))
        each_sees_their_own(staff=with_cookies(staff="1"), others=Client())

    def test_over_things_that_nothing_tells_apart(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        numbers = count()
        serve(cache_view(lambda request: HttpResponse(str(next(numbers)))))
        assert [text(Client()) for _ in range(2)] == ["0", "0"]
        assert "are not shared with other processes" in caplog.text
        assert "numbers is a itertools.count" in caplog.text

    def test_what_setup_has_found(self, serve: Serve) -> None:
        @method_decorator(cache_view, name="dispatch")
        class Page(View):
            def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
                super().setup(request, *args, **kwargs)
                self.shown = request.user.get_username()

            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse(self.shown)

        serve(Page.as_view())
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_what_dispatch_has_found(self, serve: Serve) -> None:
        class Page(View):
            def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                assert request.user.is_authenticated
                self.shown = request.user
                return super().dispatch(request, *args, **kwargs)

            @method_decorator(cache_view)
            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse(self.shown.get_username())

        serve(Page.as_view())
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_what_setup_of_an_asynchronous_view_has_put_off(self, serve: Serve) -> None:
        @method_decorator(cache_view, name="dispatch")
        class Page(View):
            def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
                super().setup(request, *args, **kwargs)
                self.shown = request.user

            async def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse(await sync_to_async(lambda: self.shown.get_username())())

        serve(Page.as_view())
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    def test_rows_that_setup_has_read(self, serve: Serve) -> None:
        Book.objects.create(title="old")

        @method_decorator(cache_view, name="dispatch")
        class Page(View):
            def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
                super().setup(request, *args, **kwargs)
                self.book = Book.objects.get()

            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse(self.book.title)

        serve(Page.as_view())
        assert (text(Client()), outcome(Client())) == ("old", "HIT")
        Book.objects.update(title="new")
        assert text(Client()) == "new"

    @pytest.mark.skipif(django.VERSION < (5, 2), reason="its method_decorator knows no coroutines")
    def test_an_asynchronous_method(self, serve: Serve) -> None:
        class Page(View):
            @method_decorator(cache_view)
            async def get(self, request: Any) -> HttpResponse:
                return HttpResponse(await sync_to_async(name_of)(request))

        serve(Page.as_view())
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))


class TestObjectsThatViewsAreGiven:
    """By the URL patterns, beside or in place of what is written in the path."""

    def test_that_a_pattern_hands_over(self, settings: Any) -> None:
        class Listing:
            def __init__(self, **conditions: Any) -> None:
                self.queryset = Book.objects.filter(**conditions).order_by("title")

        @cache_view(key=lambda request, listings: "one")
        def view(request: HttpRequest, listings: Any) -> HttpResponse:
            return HttpResponse(" ".join(book.title for book in listings["books"].queryset.all()))

        patterns = [
            django.urls.path("all/", view, {"listings": {"books": Listing()}}),
            django.urls.path("b/", view, {"listings": {"books": Listing(title__startswith="b")}}),
        ]
        settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": patterns})
        Book.objects.create(title="a1")
        Book.objects.create(title="b1")
        for _ in range(2):
            assert [text(Client(), where) for where in ("/all/", "/b/")] == ["a1 b1", "b1"]
        assert outcome(Client(), "/all/") == "HIT"
        Book.objects.create(title="b2")
        assert text(Client(), "/all/") == "a1 b1 b2"

    def test_that_a_converter_has_looked_up(self, settings: Any) -> None:
        class BookConverter(IntConverter):
            def to_python(self, value: str) -> Any:
                return Book.objects.get(pk=value)

        @cache_view
        def view(request: HttpRequest, book: Book) -> HttpResponse:
            return HttpResponse(book.title)

        if "book" not in get_converters():
            django.urls.register_converter(BookConverter, "book")
        patterns = [django.urls.path("<book:book>/", view)]
        settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": patterns})
        one, two = Book.objects.create(title="one"), Book.objects.create(title="two")
        assert text(Client(), f"/{one.pk}/") == "one"
        assert text(Client(), f"/{two.pk}/") == "two"
        assert outcome(Client(), f"/{one.pk}/") == "HIT"
        Book.objects.filter(pk=one.pk).update(title="new")
        assert text(Client(), f"/{one.pk}/") == "new"
        assert outcome(Client(), f"/{two.pk}/") == "HIT"


class TestParts:
    def test_a_cached_view_in_a_cached_view(self, serve: Serve) -> None:
        inner = shows(name_of)
        serve(shows(lambda request: inner(request).content.decode()))
        each_sees_their_own(ann=logged_in("ann"), bob=logged_in("bob"))

    @pytest.mark.parametrize("what", ["request.user", "request.COOKIES.theme", "request.profile"])
    def test_a_fragment_in_a_cached_view(self, serve: Serve, what: str) -> None:
        fragment = Template(
            "{% load zoocache %}{% zoocache 60 part "
            f"{what}.username|default:{what}"
            " %}{{ "
            f"{what}.username|default:{what}"
            " }}{% endzoocache %}"
        )
        serve(
            cache_view(lambda request: HttpResponse(fragment.render(RequestContext(request)))),
            put("profile", name_of),
        )
        ann, bob = logged_in("ann"), logged_in("bob")
        ann.cookies["theme"], bob.cookies["theme"] = "ann", "bob"
        each_sees_their_own(ann=ann, bob=bob)

    def test_a_fragment_that_is_given_the_visitor_by_its_page(self, serve: Serve) -> None:
        inner = "{% zoocache 60 given_inner %}{{ request.name }}{% endzoocache %}"
        source = "{% load zoocache %}{% zoocache 60 given_outer %}" + inner + "{% endzoocache %}"

        def view(request: Any) -> HttpResponse:
            request.name = request.COOKIES["name"]
            return HttpResponse(Template(source).render(RequestContext(request)))

        serve(cache_view(view))
        each_sees_their_own(ann=with_cookies(name="ann"), bob=with_cookies(name="bob"))

    def test_a_fragment_that_looks_at_nobody_keeps_the_page_shared(self, serve: Serve) -> None:
        fragment = Template("{% load zoocache %}{% zoocache 60 plain %}part{% endzoocache %}")
        serve(cache_view(lambda request: HttpResponse(fragment.render(RequestContext(request)))))
        assert outcome(logged_in("ann")) == "MISS"
        assert outcome(Client()) == "HIT"


class TestResponses:
    def test_a_cookie_in_a_header_of_its_own(self, serve: Serve) -> None:
        numbers = count()
        headers = {"Set-Cookie": "name=ann"}
        serve(cache_view(lambda request: HttpResponse(str(next(numbers)), headers=headers)))
        assert [text(Client()) for _ in range(2)] == ["0", "1"]

    def test_what_a_decorator_leaves_for_the_middleware(self, serve: Serve, settings: Any) -> None:
        frames = "django.middleware.clickjacking.XFrameOptionsMiddleware"
        settings.MIDDLEWARE = [frames, *settings.MIDDLEWARE]
        serve(cache_view(xframe_options_exempt(lambda request: HttpResponse("in a frame"))))
        for expected in ("MISS", "HIT"):
            answer = Client().get("/")
            assert answer["X-Cache"] == expected
            assert "X-Frame-Options" not in answer

    def test_what_cannot_be_stored_for_the_middleware(self, serve: Serve) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            answer = HttpResponse("page")
            answer.for_middleware = object()  # type: ignore[attr-defined]
            return answer

        serve(cache_view(view))
        assert [outcome(Client()) for _ in range(2)] == ["BYPASS", "BYPASS"]

    @pytest.mark.skipif(django.VERSION < (6, 0), reason="nonces came with Django 6.0")
    def test_a_nonce_of_django(self, serve: Serve, settings: Any) -> None:
        policy = "django.middleware.csp.ContentSecurityPolicyMiddleware"
        settings.MIDDLEWARE = [policy, *settings.MIDDLEWARE]
        settings.SECURE_CSP = {"script-src": ["<CSP_NONCE_SENTINEL>"]}
        serve(shows(lambda request: request._csp_nonce))
        for _ in range(2):
            answer = Client().get("/")
            assert answer.content.decode() in answer["Content-Security-Policy"]
            assert answer["X-Cache"] == "BYPASS"
        serve(cache_view(lambda request: HttpResponse("page")))
        assert [outcome(Client()) for _ in range(2)] == ["MISS", "HIT"]


class KeyAuthentication(BaseAuthentication):  # type: ignore[misc]
    def authenticate(self, request: Any) -> Any:
        key = request.META.get("HTTP_X_KEY")
        return (User.objects.get(username="ann"), key) if key else None


class TestRestFramework:
    def shown(self, **headers: str) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return text(Client(), headers=names)

    @pytest.mark.parametrize("where", ["method", "view"])
    def test_two_proofs_of_one_user(self, serve: Serve, where: str) -> None:
        class Scopes(APIView):  # type: ignore[misc]
            authentication_classes = (KeyAuthentication,)

            def get(self, request: Any) -> Response:
                return Response({"scope": request.auth})

        User.objects.create_user("ann")
        if where == "method":
            Scopes.get = method_decorator(cache_view)(Scopes.get)
        serve(Scopes.as_view() if where == "method" else cache_view(Scopes.as_view()))
        for _ in range(2):
            assert self.shown(X_Key="read") == '{"scope":"read"}'
            assert self.shown(X_Key="write") == '{"scope":"write"}'
            assert self.shown() == '{"scope":null}'
        assert outcome(Client(), headers={"X-Key": "read"}) == "HIT"

    def test_headers_that_a_renderer_shows(self, serve: Serve) -> None:
        """As that of the browsable API does."""

        class Headers(BaseRenderer):  # type: ignore[misc]
            media_type = "text/html"
            charset = "utf-8"

            def render(self, data: Any, *args: Any) -> str:
                shown: str = args[1]["response"].headers["Allow"]
                return shown

        class Rendered(APIView):  # type: ignore[misc]
            renderer_classes = (Headers,)

            @method_decorator(cache_view)
            def get(self, request: Any) -> Response:
                return Response([1])

        serve(Rendered.as_view())
        for _ in range(2):
            assert self.shown() == "GET, HEAD, OPTIONS"
        assert Client().get("/")["Allow"] == "GET, HEAD, OPTIONS"

    def test_what_a_permission_has_found(self, serve: Serve) -> None:
        class Member(BasePermission):  # type: ignore[misc]
            def has_permission(self, request: Any, view: Any) -> bool:
                request.project = request.META.get("HTTP_X_PROJECT")
                view.team = request.META.get("HTTP_X_TEAM")
                return True

        class Projects(APIView):  # type: ignore[misc]
            authentication_classes = ()
            permission_classes = (Member,)

            @method_decorator(cache_view)
            def get(self, request: Any) -> Response:
                return Response([request.project, self.team])

        serve(Projects.as_view())
        for _ in range(2):
            assert self.shown(X_Project="p") == '["p",null]'
            assert self.shown(X_Project="q") == '["q",null]'
            assert self.shown(X_Team="t") == '[null,"t"]'
            assert self.shown(X_Team="u") == '[null,"u"]'
        assert outcome(Client(), headers={"X-Team": "t"}) == "HIT"

    def test_versions(self, serve: Serve) -> None:
        class HeaderVersioning(BaseVersioning):  # type: ignore[misc]
            def determine_version(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                return request.META.get("HTTP_X_VERSION")

        class Version(APIView):  # type: ignore[misc]
            authentication_classes = ()
            versioning_class = HeaderVersioning

            @method_decorator(cache_view)
            def get(self, request: Any) -> Response:
                return Response(request.version)

        serve(Version.as_view())
        for version in ("1", "2") * 2:
            assert self.shown(X_Version=version) == f'"{version}"'

    def test_the_row_of_the_user_who_was_authenticated_before(self, serve: Serve) -> None:
        class Account(APIView):  # type: ignore[misc]
            authentication_classes = (KeyAuthentication,)

            @method_decorator(cache_view)
            def get(self, request: Any) -> Response:
                return Response(request.user.email)

        serve(Account.as_view())
        User.objects.create_user("ann", email="old")
        assert [self.shown(X_Key="k") for _ in range(2)] == ['"old"', '"old"']
        assert outcome(Client(), headers={"X-Key": "k"}) == "HIT"
        User.objects.update(email="new")
        assert self.shown(X_Key="k") == '"new"'

    def test_function_views_are_forgotten_one_by_one(self, serve: Serve) -> None:
        def one(request: Any) -> Response:
            return Response("one")

        def other(request: Any) -> Response:
            return Response("other")

        views = [cache_view(api_view(["GET", "HEAD"])(view)) for view in (one, other)]
        for forgotten, outcomes in ((0, ["MISS", "HIT"]), (1, ["HIT", "MISS"])):
            for view in views:
                view(RequestFactory().get("/"))
            views[forgotten].invalidate()
            assert [view(RequestFactory().get("/"))["X-Cache"] for view in views] == outcomes
        # Every process knows them by the same.
        texts = [identify(view)[0] for view in views]
        assert "~" not in "".join(texts)
        assert texts[0] != texts[1]

    @pytest.mark.parametrize("order", ["outside", "inside"])
    def test_function_views(self, serve: Serve, order: str) -> None:
        def name(request: Any) -> Response:
            return Response(str(request.user), content_type="text/plain")

        get = api_view(["GET"])
        serve(cache_view(get(name)) if order == "outside" else get(cache_view(name)))
        ann, bob = logged_in("ann"), logged_in("bob")
        for _ in range(2):
            assert text(ann) == '"ann"'
            assert text(bob) == '"bob"'
        assert outcome(ann) == "HIT"
