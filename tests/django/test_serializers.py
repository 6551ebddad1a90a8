"""``@cacheable_serializer``: representations of instances."""

from __future__ import annotations

import threading
from datetime import timezone
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.request import Request

from tests.django.store.models import Item, Kind
from zoocache_core import UnsupportedValue, default_engine
from zoocache_django import cacheable, cacheable_serializer
from zoocache_django.pages.portraits import portrait

pytestmark = pytest.mark.django_db


class KindSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Kind
        fields = ("name",)


@cacheable_serializer
class ItemSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    kind = KindSerializer()
    kind_name = serializers.CharField(source="kind.name")
    badges = serializers.StringRelatedField(many=True)
    others = serializers.SerializerMethodField()

    class Meta:
        model = Item
        fields = ("name", "price", "made", "kind", "kind_name", "badges", "others")

    def get_others(self, item: Item) -> int:
        return Item.objects.exclude(pk=item.pk).count()


@cacheable_serializer(ttl=60)
class GreetingSerializer(serializers.Serializer):  # type: ignore[misc]
    greeting = serializers.SerializerMethodField()

    def get_greeting(self, item: Item) -> str:
        word = self.context.get("word", "hello")
        if "request" not in self.context:
            return f"{word}"
        request = self.context["request"]
        return f"{word} {request.user} {request.build_absolute_uri('/')}"


@pytest.fixture
def item() -> Item:
    kind = Kind.objects.create(pk=1, name="k")
    Item.objects.create(pk=1, name="one", kind=kind)
    return fresh()


def fresh() -> Item:
    return Item.objects.get(pk=1)


def test_the_second_time_nothing_is_asked(item: Item, django_assert_num_queries: Any) -> None:
    first = ItemSerializer(item).data
    assert first["kind"] == {"name": "k"}
    again = fresh()
    with django_assert_num_queries(0):
        assert ItemSerializer(again).data == first
        assert ItemSerializer([again], many=True).data == [first]


def test_what_it_loads_itself_is_noticed(item: Item) -> None:
    assert ItemSerializer(item).data["kind_name"] == "k"
    Kind.objects.update(name="new")
    assert ItemSerializer(fresh()).data["kind_name"] == "new"
    Item.objects.create(name="another")
    assert ItemSerializer(fresh()).data["others"] == 1


def test_an_instance_is_shown_as_it_is(item: Item) -> None:
    ItemSerializer(item).data  # noqa: B018
    old = fresh()
    Item.objects.update(name="new")
    assert ItemSerializer(old).data["name"] == "one"
    assert ItemSerializer(fresh()).data["name"] == "new"
    changed = fresh()
    changed.name = "unsaved"
    assert ItemSerializer(changed).data["name"] == "unsaved"
    assert ItemSerializer(fresh()).data["name"] == "new"


def test_what_was_loaded_before_a_write_does_not_stay(item: Item) -> None:
    old = Item.objects.select_related("kind").get(pk=1)
    Kind.objects.update(name="new")
    assert ItemSerializer(old).data["kind_name"] == "k"
    assert ItemSerializer(fresh()).data["kind_name"] == "new"
    assert ItemSerializer(Item.objects.select_related("kind").get(pk=1)).data["kind_name"] == "new"


def request_of(user: Any, host: str = "testserver", wrapped: bool = True) -> Any:
    request = RequestFactory().get("/", headers={"host": host})
    request.user = user
    if not wrapped:
        return request
    found = Request(request)
    found.user = user
    return found


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_context_counts_as_far_as_it_is_read(item: Item, wrapped: bool) -> None:
    ann = User.objects.create_user("ann")

    def greeting(user: Any, host: str = "testserver", **context: Any) -> str:
        request = request_of(user, host, wrapped)
        shown = GreetingSerializer(fresh(), context={"request": request, **context})
        return str(shown.data["greeting"])

    for _ in range(3):
        assert greeting(ann) == "hello ann http://testserver/"
        assert greeting(AnonymousUser()) == "hello AnonymousUser http://testserver/"
        assert greeting(ann, "other.example") == "hello ann http://other.example/"
        assert greeting(ann, word="hi") == "hi ann http://testserver/"
        assert greeting(ann, word="hi", unread=object()) == "hi ann http://testserver/"
        assert GreetingSerializer(fresh()).data["greeting"] == "hello"
    stored = default_engine.stats().sets
    greeting(ann)
    assert default_engine.stats().sets == stored


def test_fields_that_are_left_out(item: Item) -> None:
    ItemSerializer(item).data  # noqa: B018
    fewer = ItemSerializer(fresh())
    del fewer.fields["price"]
    assert "price" not in fewer.data
    assert "price" in ItemSerializer(fresh()).data


def test_what_shows_it_depends_on_it(item: Item) -> None:
    @cacheable
    def shown() -> Any:
        return dict(ItemSerializer(fresh()).data)["kind_name"]

    assert (ItemSerializer(item).data["kind_name"], shown()) == ("k", "k")
    Kind.objects.update(name="new")
    assert shown() == "new"


@pytest.mark.parametrize("decorated", [int, len, serializers.ListSerializer])
def test_only_serializers_of_instances_are_decorated(decorated: Any) -> None:
    with pytest.raises(TypeError, match="decorates"):
        cacheable_serializer()(decorated)


class TestWhatIsShownDiffers:
    """One class, one row: what tells its representations apart."""

    def test_options_of_the_class(self, item: Item) -> None:
        @cacheable_serializer
        class Options(serializers.Serializer):  # type: ignore[misc]
            stock = serializers.SerializerMethodField()

            def __init__(self, *args: Any, show_stock: bool = False, **kwargs: Any) -> None:
                self.show_stock = show_stock
                super().__init__(*args, **kwargs)

            def get_stock(self, item: Item) -> int | None:
                return item.stock if self.show_stock else None

        class Parent(serializers.Serializer):  # type: ignore[misc]
            items = Options(many=True, show_stock=True)

        for _ in range(2):
            assert Options(fresh(), show_stock=True).data == {"stock": 0}
            assert Options(fresh()).data == {"stock": None}
            assert Options([fresh()], many=True, show_stock=True).data == [{"stock": 0}]
            assert Options([fresh()], many=True).data == [{"stock": None}]
            assert Parent(Kind.objects.get()).data == {"items": [{"stock": 0}]}

    def test_somebody_given_to_it(self, item: Item) -> None:
        @cacheable_serializer
        class Viewer(serializers.Serializer):  # type: ignore[misc]
            viewer = serializers.SerializerMethodField()

            def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
                self._user = user
                super().__init__(*args, **kwargs)

            def get_viewer(self, item: Item) -> str:
                return str(self._user)

        ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
        for _ in range(2):
            for user in (ann, bob, AnonymousUser()):
                assert Viewer(fresh(), user=user).data["viewer"] == str(user)

    def test_settings_of_a_field(self, item: Item) -> None:
        @cacheable_serializer
        class Amount(serializers.Serializer):  # type: ignore[misc]
            amount = serializers.IntegerField(source="pk")
            nested = GreetingSerializer(source="*")

        plain = {"amount": 1, "nested": {"greeting": "hello"}}
        other = Amount(fresh())
        other.fields["amount"] = serializers.IntegerField(source="stock")
        assert Amount(fresh()).data == plain
        assert other.data["amount"] == 0
        changed = Amount(fresh())
        changed.fields["amount"].source_attrs = ["stock"]
        assert changed.data["amount"] == 0
        fewer = Amount(fresh())
        del fewer.fields["nested"].fields["greeting"]
        assert fewer.data["nested"] == {}
        later = Amount(fresh())
        assert later.to_representation(fresh()) == plain
        later.fields.pop("amount")
        assert later.to_representation(fresh()) == {"nested": plain["nested"]}

    @pytest.mark.parametrize("name", ["mine", "_mine"])
    def test_what_was_put_into_the_instance(self, item: Item, name: str) -> None:
        @cacheable_serializer
        class Mine(serializers.Serializer):  # type: ignore[misc]
            mine = serializers.SerializerMethodField()

            def get_mine(self, item: Item) -> bool:
                return bool(getattr(item, name, False))

        marked = fresh()
        setattr(marked, name, True)
        for _ in range(2):
            assert Mine(marked).data == {"mine": True}
            assert Mine(fresh()).data == {"mine": False}

    def test_what_a_parent_was_told(self, item: Item) -> None:
        @cacheable_serializer
        class Child(serializers.Serializer):  # type: ignore[misc]
            mode = serializers.SerializerMethodField()

            def get_mode(self, item: Item) -> str:
                return str(self.parent.parent.mode)

        class Parent(serializers.Serializer):  # type: ignore[misc]
            items = Child(many=True)

        for mode in ("a", "b") * 2:
            parent = Parent(Kind.objects.get())
            parent.mode = mode
            assert parent.data == {"items": [{"mode": mode}]}

    def test_links_to_a_host(self, item: Item, settings: Any) -> None:
        paths = [path("items/<int:pk>/", lambda request, pk: None, name="item-detail")]  # type: ignore[arg-type, return-value]
        settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": paths})

        @cacheable_serializer
        class Linked(serializers.HyperlinkedModelSerializer):  # type: ignore[misc]
            class Meta:
                model = Item
                fields = ("url",)

        for host in ("testserver", "other.example") * 3:
            request = request_of(AnonymousUser(), host)
            shown = Linked(fresh(), context={"request": request}).data
            assert shown == {"url": f"http://{host}/items/1/"}

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_what_is_in_the_request(self, item: Item, wrapped: bool) -> None:
        @cacheable_serializer
        class Asked(serializers.Serializer):  # type: ignore[misc]
            asked = serializers.SerializerMethodField()

            def get_asked(self, item: Item) -> str:
                request = self.context["request"]
                return f"{request.tenant} {request.user.email} {getattr(request, 'auth', None)}"

        ann = User.objects.create_user("ann", email="old")

        def asked(tenant: str, auth: str = "") -> str:
            request = request_of(User.objects.get(pk=ann.pk), wrapped=wrapped)
            request.tenant = tenant
            if wrapped:
                request.auth = auth
            return str(Asked(fresh(), context={"request": request}).data["asked"])

        proof = "" if wrapped else "None"
        for _ in range(3):
            assert asked("a") == f"a old {proof}"
            assert asked("b") == f"b old {proof}"
        if wrapped:
            assert [asked("a", auth) for auth in ("x", "y")] == ["a old x", "a old y"]
        User.objects.update(email="new")
        assert asked("a") == f"a new {proof}"

    def test_what_nothing_is_known_of(self, item: Item, caplog: pytest.LogCaptureFixture) -> None:
        @cacheable_serializer
        class Odd(serializers.Serializer):  # type: ignore[misc]
            name = serializers.CharField()

        for name in ("one", "two"):
            odd = Odd(Item(name=name))
            odd.lock = threading.Lock()
            assert odd.data == {"name": name}
        (record,) = caplog.records
        assert "TestWhatIsShownDiffers" in record.message
        assert "is not cached: it is a _thread.lock" in record.message


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=2)
    | st.binary(max_size=2)
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.uuids()
)
held = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(held, held)
def test_equal_portraits_are_of_equal_values(one: Any, other: Any) -> None:
    def exact(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({[exact(item) for item in value]})"
        if isinstance(value, dict):
            return f"dict({[(key, exact(item)) for key, item in value.items()]})"
        return f"{type(value).__name__}({value!r})"

    assert (portrait(one) == portrait(other)) == (exact(one) == exact(other))


def test_a_portrait_of_something_that_contains_itself() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(UnsupportedValue, match="contains itself"):
        portrait(cycle)
