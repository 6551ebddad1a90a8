"""Registration of the shop with Django."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The only application of the project."""

    name = "shop"
    verbose_name = "Shop"
