"""A page whose code does not do what it shows fails the run."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.docs.test_pages import run_page


def run_text(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    page = directory / "the_page.md"
    page.write_text(textwrap.dedent(text))
    work = directory / "work"
    work.mkdir()
    return run_page(page, work)


PASSES = {
    "one namespace": """
        ```python
        a = 1
        ```
        text
        ```python
        assert a == 1
        ```
        """,
    "shown only": """
        ```console
        $ rm -rf /nowhere
        ```
        ```toml
        [not python]
        ```
        """,
    "top-level await": """
        ```python async
        import asyncio
        assert await asyncio.sleep(0, "value") == "value"
        ```
        """,
    "examples": """
        ```python
        n = 20
        ```
        ```python
        >>> n + 1
        21
        ```
        """,
    "a file, written before anything runs": """
        ```python
        from package.module import value
        assert value == 42
        ```
        ```python file=package/module.py
        value = 42
        ```
        """,
    "redis": """
        ```python redis
        import redis
        with redis.Redis.from_url("redis://localhost:6379") as client:
            assert client.set("k", "v")
        ```
        """,
    "django": """
        ```python django file=mysite/settings.py
        SHOP_NAME = "Zoo"
        ```
        ```python file=shop/models.py
        class Animal(models.Model):
            name = models.CharField(max_length=20)
        ```
        ```python
        from django.conf import settings
        from shop.models import Animal
        Animal.objects.create(name=settings.SHOP_NAME)
        assert Animal.objects.get().name == "Zoo"
        ```
        """,
}

FAILS = {
    "an assertion, at the line of the page": (
        """
        ```python
        a = 1
        ```
        ```python

        assert a == 2
        ```
        """,
        ["the_page.md", "line 7", "AssertionError"],
    ),
    "a name of no earlier block": ("```python\nmissing\n```", ["NameError", "missing"]),
    "an example with another result": ("```python\n>>> 1 + 1\n3\n```", ["something else"]),
    "a warning": (
        "```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```",
        ["DeprecationWarning"],
    ),
    "a block that wants not to run": ("```python no-run\n1\n```", [":2", "no-run", "Allowed"]),
    "a block that says nothing": ("```\n1\n```", ["PageError", "console"]),
    "a block by indentation": ("text\n\n    code\n", ["PageError", "with a fence"]),
    "another name for Python": ("```py\n1\n```", ["PageError", "'py'"]),
    "a block in a list": ("1. first\n   ```python\n   missing\n   ```\n", ["line 3", "NameError"]),
    "a file that nothing imports": ("```python file=a/b.py\n1 / 0\n```", ["ZeroDivisionError"]),
}


@pytest.mark.parametrize("name", PASSES)
def test_passes(name: str, tmp_path: Path) -> None:
    result = run_text(tmp_path, PASSES[name])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", FAILS)
def test_fails(name: str, tmp_path: Path) -> None:
    text, expected = FAILS[name]
    result = run_text(tmp_path, text)
    assert result.returncode != 0
    for part in expected:
        assert part in result.stdout + result.stderr
