"""Event sinks for metrics systems: one module each, imported by whoever uses it."""
