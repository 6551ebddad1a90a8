"""A shop's data in every shape that Django's ORM has, with all ways to read and to write it."""
