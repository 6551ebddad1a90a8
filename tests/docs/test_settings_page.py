"""The page on settings names every option with its default, and none that there is not."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

from zoocache_core.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_option_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| ([^|]+) \|", PAGE.read_text(), re.M))
    assert set(rows) == {option.name for option in fields(Settings)}
    for option in fields(Settings):
        if option.name != "clock":
            assert option.default is not MISSING
            assert rows[option.name].strip("`") == str(option.default)


def test_every_option_is_shown_in_an_example() -> None:
    code = "\n".join(re.findall(r"^```python[^\n]*\n(.*?)^```", PAGE.read_text(), re.M | re.S))
    for option in fields(Settings):
        assert f"{option.name}=" in code, option.name
