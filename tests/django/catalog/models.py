"""Products and what hangs on them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.django.catalog import recent  # noqa: F401  defines models


class Maker(models.Model):
    """Its key is a text."""

    code = models.CharField(primary_key=True, max_length=20)
    name = models.CharField(max_length=20)


class Category(models.Model):
    name = models.CharField(max_length=20)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")


class Label(models.Model):
    name = models.CharField(max_length=20)


class Note(models.Model):
    text = models.CharField(max_length=20)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveIntegerField()
    subject = GenericForeignKey()


class Product(models.Model):
    name = models.CharField(max_length=20)
    price = models.IntegerField(default=0)
    category = models.ForeignKey(
        Category, null=True, on_delete=models.SET_NULL, related_name="products"
    )
    maker = models.ForeignKey(
        Maker, default="none", on_delete=models.SET_DEFAULT, related_name="products"
    )
    labels = models.ManyToManyField(Label, related_name="products")
    suppliers = models.ManyToManyField("Supplier", through="Supply", related_name="products")
    notes = GenericRelation(Note)


class Special(Product):
    """A table of its own, with a row for each row of its parent's."""

    discount = models.IntegerField(default=0)


class Cheap(Product):
    class Meta:
        proxy = True


class Supplier(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)


class Supply(models.Model):
    """Links products and suppliers, and says something about the link."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    supplier = models.ForeignKey(Supplier, on_delete=models.CASCADE)
    days = models.IntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["product", "supplier"], name="one_supply")
        ]


class Review(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    stars = models.IntegerField()


class Shown(models.Manager["Sheet"]):
    def get_queryset(self) -> models.QuerySet[Sheet]:
        return super().get_queryset().filter(hidden=False)


class Sheet(models.Model):
    """Its default manager leaves rows out."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="sheets")
    hidden = models.BooleanField(default=False)
    data = models.JSONField(default=dict)
    made = models.DateTimeField(null=True)

    objects = Shown()
    everything = models.Manager["Sheet"]()


class Detail(models.Model):
    """Its key is that of another row."""

    product = models.OneToOneField(Product, primary_key=True, on_delete=models.CASCADE)
    text = models.CharField(max_length=20)
