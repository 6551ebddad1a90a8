"""Pages, forms, accounts and the API of the shop."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from shop import api, views

router = SimpleRouter()
router.register("products", api.ProductViewSet, basename="api-product")

app_name = "shop"
urlpatterns = [
    path("", views.home, name="home"),
    path("search/", views.search, name="search"),
    path("reviews/", views.latest_reviews, name="latest-reviews"),
    path("categories/<slug:slug>/", views.category, name="category"),
    path("products/<int:pk>/", views.product, name="product"),
    path("products/<int:pk>/edit/", views.edit_product, name="edit-product"),
    path("products/<int:pk>/review/", views.write_review, name="write-review"),
    path("products/<int:pk>/buy/", views.buy, name="buy"),
    path("orders/", views.orders, name="orders"),
    path("account/", views.account, name="account"),
    path("login/", LoginView.as_view(template_name="shop/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("api/", include(router.urls)),
]
