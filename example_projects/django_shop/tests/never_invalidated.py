"""Settings with which the shop's pages become stale, to see the demo notice it."""

from project.settings import *  # noqa: F403
from project.settings import ZOOCACHE

ZOOCACHE = {**ZOOCACHE, "INVALIDATE_ON_WRITE": False}
