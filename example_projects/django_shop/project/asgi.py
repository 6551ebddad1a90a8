"""Entry point of ASGI servers, such as ``uvicorn project.asgi:application``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The example runs from the checkout, without installing the packages it shows.
sys.path.insert(1, str(Path(__file__).resolve().parents[3]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

# The admin's style sheets come from the same process, so that one command starts the whole shop.
application = ASGIStaticFilesHandler(get_asgi_application())
