"""Users' type checkers see through the decorators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import mypy.api

USAGE = Path(__file__).with_name("usage.py")


def findings() -> Iterator[tuple[int, str, str]]:
    out, err, _ = mypy.api.run(["--strict", "--show-error-codes", str(USAGE)])
    assert not err, err
    for line in out.splitlines():
        if match := re.match(r".*usage\.py:(\d+): note: Revealed type is \"(.*)\"", line):
            yield (
                int(match[1]),
                "R",
                re.sub(r"\b(?:builtins|typing|collections\.abc)\.", "", match[2]),
            )
        elif match := re.match(r".*usage\.py:(\d+): error: .*\[([\w-]+)\]", line):
            yield int(match[1]), "E", match[2]


def test_usage_is_typed_as_expected() -> None:
    expected = [
        (number, match[1], match[2].strip())
        for number, line in enumerate(USAGE.read_text().splitlines(), 1)
        if (match := re.search(r"# (R|E): (.*)$", line))
    ]
    assert sorted(findings()) == sorted(expected)
