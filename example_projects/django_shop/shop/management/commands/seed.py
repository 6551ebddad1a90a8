"""``manage.py seed``: fill the shop with some thousands of rows, the same ones each time."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from shop.models import Category, Product, Review, Sale

CATEGORIES = {
    "Books": ("Atlas", "Novel", "Cookbook", "Field Guide", "Biography", "Sketchbook"),
    "Coffee & Tea": ("Espresso Blend", "Green Tea", "Pour-over Set", "Grinder", "Teapot", "Mug"),
    "Camping": ("Tent", "Sleeping Bag", "Stove", "Lantern", "Hammock", "Water Filter"),
    "Cycling": ("Helmet", "Saddle Bag", "Pump", "Bell", "Rain Cape", "Front Light"),
    "Garden": ("Trowel", "Seed Box", "Watering Can", "Bird House", "Pruner", "Planter"),
    "Kitchen": ("Skillet", "Chef's Knife", "Cutting Board", "Mixing Bowl", "Kettle", "Scale"),
    "Lighting": ("Desk Lamp", "Floor Lamp", "Pendant", "Night Light", "Candle", "Bulb"),
    "Music": ("Ukulele", "Harmonica", "Tuner", "Metronome", "Kalimba", "Songbook"),
    "Office": ("Notebook", "Fountain Pen", "Desk Tray", "Stapler", "Chair Mat", "Whiteboard"),
    "Sports": ("Yoga Mat", "Jump Rope", "Dumbbell", "Racket", "Ball", "Water Bottle"),
    "Toys": ("Puzzle", "Kite", "Building Blocks", "Marble Run", "Yo-yo", "Plush Panda"),
    "Travel": ("Duffel", "Neck Pillow", "Adapter", "Packing Cubes", "Umbrella", "Passport Case"),
}
STYLES = ("Classic", "Compact", "Nordic", "Heritage", "Everyday", "Alpine", "Studio", "Pocket")
SERIES = ("No. 1", "No. 2", "Mk II", "Plus", "Lite")
AUTHORS = ("Ada", "Blaise", "Chen", "Dilip", "Edsger", "Frances", "Grace", "Hedy", "Ivan", "Joan")
OPINIONS = (
    "Does what it says.",
    "Better than the photos.",
    "Would buy it again.",
    "Arrived quickly, works well.",
    "Good value, plain packaging.",
    "A present that was liked.",
    "Not quite what I expected.",
    "Solid, if a little heavy.",
)
CUSTOMERS = ("ada", "ben")
REVIEWS_PER_PRODUCT = 8
SALES_PER_PRODUCT = 4
KNOWN_BUYERS = 0.002


class Command(BaseCommand):
    """Fill an empty shop."""

    help = "Fill the empty shop with categories, products, reviews, sales and accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name of the staff account, and a password for all accounts."""
        parser.add_argument("--staff", default="demo", metavar="NAME", help="default: %(default)s")
        parser.add_argument("--password", default="demo", help="default: %(default)s")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Make all rows in one transaction, the same ones on each run."""
        if Category.objects.exists():
            raise CommandError("The shop has categories already; seed fills an empty one.")
        users: Any = get_user_model().objects
        users.create_superuser(options["staff"], password=options["password"])
        customers = [users.create_user(name, password=options["password"]) for name in CUSTOMERS]
        dice = random.Random(42)
        categories = Category.objects.bulk_create(
            Category(
                name=name,
                slug="-".join(name.lower().replace("&", "and").split()),
                description=f"Everything for {name.lower()}, chosen with care.",
            )
            for name in CATEGORIES
        )
        products = Product.objects.bulk_create(
            Product(
                category=shelf,
                name=f"{style} {kind} {series}",
                description=f"A {style.lower()} {kind.lower()} that is made to last.",
                price=Decimal(dice.randint(300, 19999)) / 100,
                stock=dice.randint(5, 90),
            )
            for shelf in categories
            for kind in CATEGORIES[shelf.name]
            for style in STYLES
            for series in SERIES
        )
        reviews = Review.objects.bulk_create(
            Review(
                product=item,
                author=dice.choice(AUTHORS),
                rating=dice.choice((2, 3, 4, 4, 5, 5)),
                text=dice.choice(OPINIONS),
            )
            for item in products
            for _ in range(dice.randint(0, 2 * REVIEWS_PER_PRODUCT))
        )
        sales = Sale.objects.bulk_create(
            Sale(
                product=item,
                quantity=dice.randint(1, 3),
                price=item.price,
                # Most people buy without an account.
                buyer=dice.choice(customers) if dice.random() < KNOWN_BUYERS else None,
            )
            for item in products
            for _ in range(dice.randint(0, 2 * SALES_PER_PRODUCT))
        )
        self.stdout.write(
            f"{len(categories)} categories, {len(products)} products, {len(reviews)} reviews, "
            f"{len(sales)} sales; accounts "
            f"{', '.join([options['staff'], *CUSTOMERS])}."
        )
