"""Pages that are read often are cached; forms, which belong to one visitor, are not.

While a cached view runs, the rows and tables that it reads become what its page depends on. Once a
transaction that writes them has committed, the page is made anew. So no view here names what its
page is made of, and none of those that write has to know which pages exist.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Avg, Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from shop.forms import BuyForm, ProductForm, ReviewForm
from shop.models import Category, Product, Sale

from zoocache_django import cache_view

HOUR = 3600
PRODUCTS_ON_A_PAGE = 48
BESTSELLERS = 8

View = Callable[..., HttpResponse]


def editors_only(view: View) -> View:
    """Ask for a staff account, unless the settings let anyone edit."""
    for_staff = staff_member_required(view)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        allowed = view if settings.SHOP_ANYONE_MAY_EDIT else for_staff
        return allowed(request, *args, **kwargs)

    return guarded


@cache_view(ttl=HOUR)
def home(request: HttpRequest) -> HttpResponse:
    """All categories, and what sells best."""
    context = {
        "categories": Category.objects.annotate(product_count=Count("products")),
        "bestsellers": Product.objects.bestsellers().select_related("category")[:BESTSELLERS],
    }
    return render(request, "shop/home.html", context)


@cache_view(ttl=HOUR)
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """The products of one category with their ratings, best rated first."""
    shelf = get_object_or_404(Category, slug=slug)
    products = shelf.products.with_ratings().order_by("-rating", "-review_count", "pk")
    page = Paginator(products, PRODUCTS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "shop/category.html", {"category": shelf, "page": page})


@cache_view(ttl=HOUR)
def product(request: HttpRequest, pk: int) -> HttpResponse:
    """One product and what people say about it."""
    item = get_object_or_404(Product.objects.select_related("category"), pk=pk)
    reviews = item.reviews.all()
    context = {
        "product": item,
        "reviews": reviews[:20],
        **reviews.aggregate(rating=Avg("rating"), review_count=Count("pk")),
    }
    return render(request, "shop/product.html", context)


@cache_view(ttl=HOUR)
def product_json(request: HttpRequest, pk: int) -> JsonResponse:
    """One product as JSON."""
    item = get_object_or_404(Product.objects.with_ratings(), pk=pk)
    return JsonResponse(_as_json(item))


@cache_view(ttl=HOUR)
def category_json(request: HttpRequest, slug: str) -> JsonResponse:
    """One category with all its products as JSON."""
    shelf = get_object_or_404(Category, slug=slug)
    products = shelf.products.with_ratings().order_by("pk")
    return JsonResponse(
        {"name": shelf.name, "slug": shelf.slug, "products": [_as_json(item) for item in products]}
    )


def _as_json(item: Product) -> dict[str, Any]:
    return {
        "id": item.pk,
        "name": item.name,
        "price": str(item.price),
        "stock": item.stock,
        "rating": item.rating,
        "review_count": item.review_count,
    }


@editors_only
@transaction.atomic
def edit_product(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a product. Pages that show it are right again once the transaction has committed."""
    item = get_object_or_404(Product.objects.select_for_update(), pk=pk)
    form = ProductForm(request.POST or None, instance=item)
    if form.is_valid():
        form.save()
        return redirect(item)
    return render(request, "shop/form.html", {"form": form, "product": item, "action": "Edit"})


@transaction.atomic
def write_review(request: HttpRequest, pk: int) -> HttpResponse:
    """Add a review to a product."""
    item = get_object_or_404(Product, pk=pk)
    form = ReviewForm(request.POST or None)
    form.instance.product = item
    if form.is_valid():
        form.save()
        return redirect(item)
    return render(request, "shop/form.html", {"form": form, "product": item, "action": "Review"})


@transaction.atomic
def buy(request: HttpRequest, pk: int) -> HttpResponse:
    """Take some pieces of a product out of stock."""
    item = get_object_or_404(Product.objects.select_for_update(), pk=pk)
    form = BuyForm(request.POST or None, stock=item.stock)
    if form.is_valid():
        item.stock -= form.cleaned_data["quantity"]
        item.save(update_fields=["stock", "updated"])
        Sale.objects.create(product=item, quantity=form.cleaned_data["quantity"])
        return redirect(item)
    return render(request, "shop/form.html", {"form": form, "product": item, "action": "Buy"})
