"""The shop in Django's admin, which writes like any other code: pages follow."""

from __future__ import annotations

from django.contrib import admin
from shop.models import Category, Product, Review, Sale


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("name", "category", "price", "stock", "updated")
    list_editable = ("price", "stock")
    list_filter = ("category",)
    list_select_related = ("category",)
    search_fields = ("name",)


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    list_display = ("product", "author", "rating", "created")
    list_filter = ("rating",)
    list_select_related = ("product",)
    raw_id_fields = ("product",)


@admin.register(Sale)
class SaleAdmin(admin.ModelAdmin):
    list_display = ("product", "quantity", "price", "buyer", "sold")
    list_select_related = ("product", "buyer")
    raw_id_fields = ("product", "buyer")
