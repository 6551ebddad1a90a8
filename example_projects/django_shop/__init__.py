"""A small shop whose pages are cached, and stay right when its data changes."""
