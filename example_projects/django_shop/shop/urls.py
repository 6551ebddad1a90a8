"""Pages, forms and the JSON interface of the shop."""

from __future__ import annotations

from django.urls import path
from shop import views

app_name = "shop"
urlpatterns = [
    path("", views.home, name="home"),
    path("categories/<slug:slug>/", views.category, name="category"),
    path("products/<int:pk>/", views.product, name="product"),
    path("products/<int:pk>/edit/", views.edit_product, name="edit-product"),
    path("products/<int:pk>/review/", views.write_review, name="write-review"),
    path("products/<int:pk>/buy/", views.buy, name="buy"),
    path("api/categories/<slug:slug>/", views.category_json, name="category-json"),
    path("api/products/<int:pk>/", views.product_json, name="product-json"),
]
