"""The notes, tested through their own pages."""
