"""Settings, URLs and server entry points of the shop."""
