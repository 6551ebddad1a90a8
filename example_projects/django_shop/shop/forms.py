"""What visitors can tell the shop: search terms, changes, reviews, orders."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from shop.models import Category, Product, ProductQuerySet, Review

CHEAPEST, DEAREST, BY_NAME = "price", "-price", "name"


class SearchForm(forms.Form):
    """The query parameters of a search, for the page and for the API alike."""

    q = forms.CharField(label="Words", max_length=80, required=False)
    category = forms.ModelChoiceField(
        Category.objects.all(),
        to_field_name="slug",
        empty_label="All categories",
        required=False,
    )
    max_price = forms.DecimalField(label="Up to $", min_value=0, max_digits=8, required=False)
    order = forms.ChoiceField(
        label="Order",
        choices=[
            ("", "Best rated first"),
            (CHEAPEST, "Cheapest first"),
            (DEAREST, "Most expensive first"),
            (BY_NAME, "By name"),
        ],
        required=False,
    )
    # Not shown: changing what is searched for leads to the first page again.
    page = forms.IntegerField(min_value=1, required=False, widget=forms.HiddenInput)

    def products(self) -> ProductQuerySet:
        """What a valid form asks for."""
        wanted = self.cleaned_data
        found = Product.objects.with_ratings().select_related("category").matching(wanted["q"])
        if wanted["category"] is not None:
            found = found.filter(category=wanted["category"])
        if wanted["max_price"] is not None:
            found = found.filter(price__lte=wanted["max_price"])
        if wanted["order"]:
            return found.order_by(wanted["order"], "pk")
        return found.best_rated_first()

    def query(self) -> str:
        """The parameters that were filled in, for links to the other pages of the result."""
        given = [(field.name, field.data) for field in self.visible_fields()]
        return urlencode([(name, value) for name, value in given if value])


class ProductForm(forms.ModelForm):
    """Edit a product."""

    class Meta:
        model = Product
        fields = ("category", "name", "description", "price", "stock")
        widgets = {"description": forms.Textarea(attrs={"rows": 4})}


class ReviewForm(forms.ModelForm):
    """Say what one thinks of a product."""

    class Meta:
        model = Review
        fields = ("author", "rating", "text")
        widgets = {
            "rating": forms.NumberInput(attrs={"min": 1, "max": 5}),
            "text": forms.Textarea(attrs={"rows": 4}),
        }


class BuyForm(forms.Form):
    """Choose how many pieces to buy."""

    quantity = forms.IntegerField(min_value=1, initial=1)

    def __init__(self, *args: Any, stock: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stock = stock

    def clean_quantity(self) -> int:
        """Refuse more than there is."""
        quantity: int = self.cleaned_data["quantity"]
        if quantity > self.stock:
            raise forms.ValidationError(f"Only {self.stock} left in stock.")
        return quantity
