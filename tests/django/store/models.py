"""Models with columns of every type, read through cached managers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from zoocache_django import ZooCacheManager
from zoocache_django.querysets import CachedQuerySet


class Kind(models.Model):
    name = models.CharField(max_length=20)

    cached: ClassVar[Any] = ZooCacheManager()


class Badge(models.Model):
    name = models.CharField(max_length=20)


class Shouting(models.CharField):  # type: ignore[type-arg]
    """Converts values in a way of its own."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value and value.upper()


class Item(models.Model):
    name = models.CharField(max_length=20)
    kind = models.ForeignKey(Kind, null=True, on_delete=models.SET_NULL, related_name="items")
    badges = models.ManyToManyField(Badge, related_name="items")
    stock = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    weight = models.FloatField(default=0)
    sold = models.BooleanField(default=False)
    made = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    hour = models.TimeField(null=True)
    lasts = models.DurationField(null=True)
    code = models.UUIDField(null=True)
    data = models.JSONField(default=dict)
    raw = models.BinaryField(default=b"")
    picture = models.FileField(default="")

    objects = models.Manager()
    cached: ClassVar[Any] = ZooCacheManager()


class Loud(models.Model):
    word = Shouting(max_length=20)

    cached: ClassVar[Any] = ZooCacheManager(ttl=60)


class Part(Item):
    """A table of its own beside its parent's."""

    size = models.IntegerField(default=1)


class Gadget(Item):
    class Meta:
        proxy = True


class Watched(models.Model):
    """Takes a part in how its instances are made."""

    name = models.CharField(max_length=20)

    cached: ClassVar[Any] = ZooCacheManager()

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().from_db(*args, **kwargs)
        made.loaded = made.name
        return made


class Base(models.Model):
    name = models.CharField(max_length=20)

    cached: ClassVar[Any] = ZooCacheManager()

    class Meta:
        abstract = True


class Left(Base):
    pass


class Right(Base):
    pass


class CheapQuerySet(CachedQuerySet["Offer"]):
    def cheap(self) -> Any:
        return self.filter(price__lt=10)


class Offer(models.Model):
    price = models.IntegerField()

    objects: ClassVar[Any] = CheapQuerySet.as_manager()


class Shelf(models.Model):
    """Its manager caches everything, related objects included."""

    name = models.CharField(max_length=20)

    objects = ZooCacheManager(ttl=10)


class Book(models.Model):
    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="books")
    readers = models.ManyToManyField(Shelf, related_name="read")

    objects = ZooCacheManager(ttl=10, prefix="books")


class Visible(models.Manager["Room"]):
    def get_queryset(self) -> models.QuerySet[Room]:
        return super().get_queryset().filter(hidden=False)


class Room(models.Model):
    """Its default manager leaves rows out."""

    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="rooms")
    hidden = models.BooleanField(default=False)

    objects = Visible()


class Door(models.Model):
    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="doors")

    objects = models.Manager()
    cached: ClassVar[Any] = ZooCacheManager()


class Initial(Gadget):
    """Adds something to each instance, as the next ones do in other ways."""

    class Meta:
        proxy = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first = self.name


class Fresh(Gadget):
    class Meta:
        proxy = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.fresh = True
        return made


class Setting(Gadget):
    class Meta:
        proxy = True

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__["last"] = name


class Described(Gadget):
    class Meta:
        proxy = True

    @property
    def name(self) -> str:
        return str(self.__dict__["kept"])

    @name.setter
    def name(self, value: str) -> None:
        self.__dict__["kept"] = f"kept {value}"
