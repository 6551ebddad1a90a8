"""ZooCache: a cache for Django and Flask that forgets a value when its data changes.

This package re-exports the public API of ``zoocache_core``.
"""

from __future__ import annotations

import zoocache_core
from zoocache_core import *  # noqa: F403

__all__ = list(zoocache_core.__all__)
