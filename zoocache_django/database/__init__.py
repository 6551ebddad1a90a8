"""What goes to the database and comes back: Django's cursors, compilers and connections."""
