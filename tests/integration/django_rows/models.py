"""Rows that are written again and again."""

from __future__ import annotations

from django.db import models

from zoocache_django import ZooCacheManager


class Row(models.Model):
    id = models.IntegerField(primary_key=True)
    part = models.IntegerField()
    version = models.IntegerField()
    token = models.BigIntegerField()

    objects = models.Manager()
    cached = ZooCacheManager()

    class Meta:
        db_table = "row_of_test"
        managed = True
