"""Pages that are read often are cached; forms, which belong to one visitor, are not.

While a cached view runs, the rows and tables that it reads become what its page depends on. Once a
transaction that writes them has committed, the page is made anew. So no view here names what its
page is made of, and none of those that write has to know which pages exist.

It is also noticed what a view reads of its visitor. ``orders`` reads the user, so there is one page
for each user; the others do not, so their pages are shared by all.

``query`` names the parameters that make another page of one URL. Whatever else is in a link
(``?utm_source=...``) makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required
from django.core.paginator import InvalidPage, Page, Paginator
from django.db import transaction
from django.db.models import Avg, Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from shop.forms import BuyForm, ProductForm, ReviewForm, SearchForm
from shop.models import Category, Product, ProductQuerySet, Review, Sale

from zoocache_django import cache_view

HOUR = 3600
PRODUCTS_ON_A_PAGE = 48
BESTSELLERS = 8
REVIEWS = 24
ORDERS = 50

View = Callable[..., HttpResponse]


@cache_view(ttl=HOUR, query="none")
def home(request: HttpRequest) -> HttpResponse:
    """All categories, and what sells best."""
    context = {
        "categories": Category.objects.annotate(product_count=Count("products")),
        "bestsellers": Product.objects.bestsellers().select_related("category")[:BESTSELLERS],
    }
    return render(request, "shop/home.html", context)


@cache_view(ttl=HOUR, query=["page"])
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """The products of one category with their ratings, best rated first."""
    shelf = get_object_or_404(Category, slug=slug)
    page = page_of(shelf.products.with_ratings().best_rated_first(), request.GET.get("page", 1))
    return render(request, "shop/category.html", {"category": shelf, "page": page})


@cache_view(ttl=HOUR, query=SearchForm.base_fields)
def search(request: HttpRequest) -> HttpResponse:
    """Products by words, category and price, in the order asked for."""
    form = SearchForm(request.GET)
    if not form.is_valid():
        # Only responses with status 200 are kept, so nonsense takes no space in the cache.
        return render(request, "shop/search.html", {"form": form}, status=400)
    page = page_of(form.products(), form.cleaned_data["page"] or 1)
    return render(request, "shop/search.html", {"form": form, "page": page})


def page_of(products: ProductQuerySet, number: str | int) -> Page[Product]:
    """One page of products; a number without a page is not found, and so not kept either."""
    try:
        return Paginator(products, PRODUCTS_ON_A_PAGE).page(number)
    except InvalidPage as error:
        raise Http404(str(error)) from error


@cache_view(ttl=HOUR, query="none")
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


@cache_view(ttl=HOUR, query="none")
async def latest_reviews(request: HttpRequest) -> HttpResponse:
    """What people have said last, about any product."""
    newest = Review.objects.select_related("product")[:REVIEWS]
    context = {
        # Templates are not asynchronous, so everything is read before one is rendered.
        "reviews": [review async for review in newest],
        "review_count": await Review.objects.acount(),
    }
    return render(request, "shop/latest_reviews.html", context)


# Who may see the page is asked each time; only then it may come from the cache.
@login_required
@cache_view(ttl=HOUR, query="none")
def orders(request: HttpRequest) -> HttpResponse:
    """What the visitor has bought."""
    purchases = request.user.purchases.select_related("product").order_by("-pk")[:ORDERS]
    return render(request, "shop/orders.html", {"orders": purchases})


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Who is logged in, and a form to log out."""
    return render(request, "shop/account.html")


def editors_only(view: View) -> View:
    """Ask for a staff account, unless the settings let anyone edit."""
    for_staff = staff_member_required(view)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        allowed = view if settings.SHOP_ANYONE_MAY_EDIT else for_staff
        return allowed(request, *args, **kwargs)

    return guarded


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
    form = ReviewForm(request.POST or None, initial={"author": request.user.get_username()})
    form.instance.product = item
    if form.is_valid():
        form.save()
        return redirect(item)
    return render(request, "shop/form.html", {"form": form, "product": item, "action": "Review"})


@transaction.atomic
def buy(request: HttpRequest, pk: int) -> HttpResponse:
    """Take some pieces of a product out of stock. An account is not needed."""
    item = get_object_or_404(Product.objects.select_for_update(), pk=pk)
    form = BuyForm(request.POST or None, stock=item.stock)
    if form.is_valid():
        quantity = form.cleaned_data["quantity"]
        item.stock -= quantity
        item.save(update_fields=["stock", "updated"])
        buyer = request.user if request.user.is_authenticated else None
        Sale.objects.create(product=item, buyer=buyer, quantity=quantity, price=item.price)
        return redirect("shop:orders" if buyer else item)
    return render(request, "shop/form.html", {"form": form, "product": item, "action": "Buy"})
