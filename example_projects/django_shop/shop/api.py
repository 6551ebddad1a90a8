"""The JSON API, made with Django REST framework: everybody may read, staff may change products."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin, UpdateModelMixin
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.serializers import (
    FloatField,
    IntegerField,
    ModelSerializer,
    SerializerMethodField,
    SlugRelatedField,
)
from rest_framework.viewsets import GenericViewSet
from shop.forms import SearchForm
from shop.models import Category, Product, ProductQuerySet

from zoocache_django import cache_view, cacheable_serializer

HOUR = 3600
REVIEWS_SHOWN = 3


class StaffWrites(BasePermission):
    """Reading is for everybody, writing for staff."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or bool(request.user.is_staff)


# The reviews take a query for each product. Those whose row and reviews did not change are taken
# from the cache, in whichever list they appear.
@cacheable_serializer(ttl=HOUR)
class ProductSerializer(ModelSerializer):
    """A product with its rating and its newest reviews."""

    category = SlugRelatedField(slug_field="slug", queryset=Category.objects.all())
    rating = FloatField(read_only=True)
    review_count = IntegerField(read_only=True)
    reviews = SerializerMethodField()

    class Meta:
        model = Product
        fields = (
            *("id", "name", "description", "category", "price", "stock"),
            *("rating", "review_count", "reviews"),
        )

    def get_reviews(self, product: Product) -> list[dict[str, Any]]:
        """The newest reviews."""
        return list(product.reviews.values("author", "rating", "text")[:REVIEWS_SHOWN])


@method_decorator(cache_view(ttl=HOUR, query=SearchForm.base_fields), name="list")
@method_decorator(cache_view(ttl=HOUR, query="none"), name="retrieve")
class ProductViewSet(ListModelMixin, RetrieveModelMixin, UpdateModelMixin, GenericViewSet):
    """Products, searched with the parameters of the search page."""

    serializer_class = ProductSerializer
    permission_classes = (StaffWrites,)

    def get_queryset(self) -> ProductQuerySet:
        """What a list shows, or where one product is looked for."""
        if self.action != "list":
            return Product.objects.with_ratings().select_related("category")
        form = SearchForm(self.request.query_params)
        if not form.is_valid():
            raise ValidationError(form.errors)
        return form.products()
