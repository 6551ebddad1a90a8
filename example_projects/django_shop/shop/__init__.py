"""Categories, products, reviews and sales."""
