"""Settings with which untouched pages are lost, to see the demo notice it."""

from project.settings import *  # noqa: F403
from project.settings import ZOOCACHE

ZOOCACHE = {**ZOOCACHE, "MAX_ENTRIES": 1}
