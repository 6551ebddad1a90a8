"""Which tables a statement of SQL reads and writes: see :mod:`zoocache_core.statements`."""

from __future__ import annotations

from zoocache_core.statements import Statement, control, parse

__all__ = ["Statement", "control", "parse"]
