"""What newer releases of Django have: models, where they can be defined, and their rows."""

from __future__ import annotations

from typing import Any, Final

import django
from django.db import models

__all__ = ["GENERATED", "KEYS_OF_SEVERAL", "ON_DELETE", "populate"]

GENERATED: Final = django.VERSION >= (5, 0)
KEYS_OF_SEVERAL: Final = django.VERSION >= (5, 2)
ON_DELETE: Final = django.VERSION >= (6, 1)

if GENERATED:

    class Box(models.Model):
        """The database computes one column, and has a default for another."""

        width = models.IntegerField(default=1)
        area: Any = models.GeneratedField(
            expression=models.F("width") * models.F("width"),
            output_field=models.IntegerField(),
            db_persist=True,
        )
        weight: Any = models.IntegerField(db_default=models.Value(7))


if KEYS_OF_SEVERAL:

    class Seat(models.Model):
        """Its key has two columns."""

        pk: Any = models.CompositePrimaryKey("hall", "number")
        hall = models.IntegerField()
        number = models.IntegerField()
        guest = models.CharField(max_length=20)


if ON_DELETE:
    # Not in releases before, nor in stubs for them.
    recent: Any = models

    class Tree(models.Model):
        name = models.CharField(max_length=20)

    class Branch(models.Model):
        tree = models.ForeignKey(Tree, on_delete=recent.DB_CASCADE, related_name="branches")

    class Leaf(models.Model):
        branch = models.ForeignKey(Branch, on_delete=recent.DB_CASCADE, related_name="leaves")

    class Nest(models.Model):
        branch = models.ForeignKey(Branch, null=True, on_delete=recent.DB_SET_NULL)


def populate(using: str) -> None:
    if GENERATED:
        for n in range(1, 4):
            Box(pk=n, width=n).save(using=using)
    if KEYS_OF_SEVERAL:
        Seat.objects.using(using).bulk_create(
            Seat(hall=hall, number=n, guest=f"g{n}") for hall in (1, 2) for n in range(1, 4)
        )
    if ON_DELETE:
        for n in range(1, 4):
            tree = Tree.objects.using(using).create(pk=n, name=f"t{n}")
            branch = Branch.objects.using(using).create(pk=n, tree=tree)
            Leaf.objects.using(using).create(pk=n, branch=branch)
            Nest.objects.using(using).create(pk=n, branch=branch)
