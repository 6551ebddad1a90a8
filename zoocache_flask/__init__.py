"""ZooCache for Flask."""
