"""``@cacheable_serializer``: representations of instances."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from rest_framework import serializers
from rest_framework.request import Request

from tests.django.store.models import Item, Kind
from zoocache_core import default_engine
from zoocache_django import cacheable, cacheable_serializer

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
