"""The shop's URLs, with a page of orders that says it is the same for everybody."""

from django.contrib.auth.decorators import login_required
from django.urls import path
from project.urls import urlpatterns
from shop import views

from zoocache_django import cache_view

orders = login_required(cache_view(per_user=False)(views.orders.uncached))
urlpatterns = [path("orders/", orders), *urlpatterns]
