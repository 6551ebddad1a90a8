"""The shop, tested through its own pages."""
