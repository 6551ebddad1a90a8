"""The shop's own project, configured for this process."""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from shop.models import Product

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"


def pytest_configure() -> None:
    import django

    django.setup()


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Start from an engine that has stored and invalidated nothing."""
    from zoocache_core import reset
    from zoocache_django import conf

    reset()
    conf.apply()


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def stock(transactional_db: None) -> None:
    """Two categories of two products, each with a review and some sales."""
    from shop.models import Category, Product, Review, Sale

    for name in ("Books", "Tea"):
        category = Category.objects.create(name=name, slug=name.lower())
        for number in (1, 2):
            price = Decimal(number * 10)
            item = Product.objects.create(
                category=category, name=f"{name} {number}", price=price, stock=5
            )
            Review.objects.create(product=item, author="Ada", rating=2 + number, text="Fine.")
            Sale.objects.create(product=item, quantity=number, price=price)


@pytest.fixture
def book(stock: None) -> Product:
    from shop.models import Product

    return Product.objects.get(name="Books 1")


@pytest.fixture
def tea(stock: None) -> Product:
    from shop.models import Product

    return Product.objects.get(name="Tea 1")
