"""What the shop sells, what people think of it, and what was sold."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse


class Category(models.Model):
    """A shelf of the shop."""

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:category", args=[self.slug])


class ProductQuerySet(models.QuerySet["Product"]):
    """The questions that the shop's pages ask."""

    def with_ratings(self) -> ProductQuerySet:
        """Add ``rating`` (average, None without reviews) and ``review_count``."""
        return self.annotate(
            rating=models.Avg("reviews__rating"), review_count=models.Count("reviews")
        )

    def best_rated_first(self) -> ProductQuerySet:
        """Those of ``with_ratings()`` in order; products without a review come last."""
        # Databases do not agree on where NULL belongs, so it is said here.
        return self.order_by(models.F("rating").desc(nulls_last=True), "-review_count", "pk")

    def matching(self, text: str) -> ProductQuerySet:
        """Products whose name or description contains each word of ``text``."""
        found = self
        for word in text.split():
            found = found.filter(
                models.Q(name__icontains=word) | models.Q(description__icontains=word)
            )
        return found

    def bestsellers(self) -> ProductQuerySet:
        """Products that were sold, the most sold pieces first, with ``units_sold``."""
        return (
            self.annotate(units_sold=models.Sum("sales__quantity"))
            .filter(units_sold__gt=0)
            .order_by("-units_sold", "pk")
        )


class Product(models.Model):
    """Something to buy."""

    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    price = models.DecimalField(
        max_digits=8, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    stock = models.PositiveIntegerField(default=0)
    updated = models.DateTimeField(auto_now=True)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:product", args=[self.pk])


class Review(models.Model):
    """One person's opinion of a product."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    author = models.CharField(max_length=60)
    rating = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    text = models.TextField()
    created = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-created", "-pk")

    def __str__(self) -> str:
        return f"{self.rating}/5 by {self.author}"


class Sale(models.Model):
    """Some pieces of a product that somebody bought."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="sales")
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="purchases",
        null=True,
        blank=True,
    )
    quantity = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    price = models.DecimalField(max_digits=8, decimal_places=2, help_text="For one piece.")
    sold = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.quantity} of product {self.product_id}"

    @property
    def total(self) -> Decimal:
        """What the buyer paid."""
        return self.quantity * self.price
