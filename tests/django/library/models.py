"""Books in many shapes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver


class Tag(models.Model):
    name = models.CharField(max_length=40)


class Author(models.Model):
    name = models.CharField(max_length=40)


class Book(models.Model):
    title = models.CharField(max_length=80)
    author = models.ForeignKey(Author, null=True, on_delete=models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")


class Novel(Book):
    """A table of its own, with a row for each row of its parent's."""

    genre = models.CharField(max_length=40)


class Trilogy(Novel):
    volumes = models.PositiveIntegerField(default=3)


class Manual(Book):
    """A second child, which may share a parent's row with a novel."""

    subject = models.CharField(max_length=40)


class Paperback(Book):
    class Meta:
        proxy = True


class Shelf(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class Room(models.Model):
    code = models.CharField(primary_key=True, max_length=40)


class Price(models.Model):
    amount = models.DecimalField(primary_key=True, max_digits=8, decimal_places=2)


class Moment(models.Model):
    at = models.DateTimeField(primary_key=True)


class Cover(models.Model):
    """Its key is that of another row."""

    book = models.OneToOneField(Book, primary_key=True, on_delete=models.CASCADE)


class Furniture(models.Model):
    piece = models.AutoField(primary_key=True)


class Asset(models.Model):
    number = models.AutoField(primary_key=True)


class Device(Asset):
    device = models.OneToOneField(
        Asset, primary_key=True, parent_link=True, on_delete=models.CASCADE
    )


class Lamp(Furniture, Device):
    """Two parents, of which only the first shares its key."""

    furniture = models.OneToOneField(
        Furniture, primary_key=True, parent_link=True, on_delete=models.CASCADE
    )
    device_part = models.OneToOneField(Device, parent_link=True, on_delete=models.CASCADE)


saved_listeners: list[Callable[[Any], None]] = []
"""Told of every saved book, as early as an application can be."""


@receiver(post_save, sender=Book)
def tell_listeners(sender: type[Book], instance: Book, **kwargs: Any) -> None:
    for listener in saved_listeners:
        listener(instance)
