"""The forms that visitors write with."""

from __future__ import annotations

from typing import Any

from django import forms
from shop.models import Product, Review


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
