#!/usr/bin/env python
"""The shop's command line: ``python manage.py migrate``, ``seed``, ``runserver``..."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # The example runs from the checkout, without installing the packages it shows.
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
