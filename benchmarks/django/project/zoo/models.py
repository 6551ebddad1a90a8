"""What there is in a zoo. `cached` is the manager that the contender reads through."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string


def manager() -> Any:
    """The manager of the contender, or Django's own where it has none."""
    return import_string(settings.ZOO_MANAGER)(**settings.ZOO_MANAGER_OPTIONS)


class Animal(models.Model):
    name = models.CharField(max_length=100)
    legs = models.IntegerField()
    weight = models.DecimalField(max_digits=8, decimal_places=2)
    born = models.DateTimeField()
    tame = models.BooleanField(default=False)

    objects = models.Manager()
    cached = manager()


class Building(models.Model):
    name = models.CharField(max_length=100)

    objects = models.Manager()
    cached = manager()


class Aviary(Building):
    """Spread over two tables."""

    height = models.IntegerField()

    objects = models.Manager()
    cached = manager()
