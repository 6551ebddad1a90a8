"""The code blocks of a Markdown page, and what their info strings ask for.

Every block must say what it is. `python` blocks run, in order, in one namespace for the page:

    ```python                       runs; a block of `>>>` examples is checked as a doctest
    ```python async                 runs in an event loop, so `await` works at the top level
    ```python redis                 the page gets a Redis, in place of `localhost:6379`
    ```python django                the page gets a fresh Django project `mysite` with an app `shop`
    ```python file=shop/models.py   is appended to that file before anything runs

There is no way to show Python that does not run. Blocks in the languages of `NOT_RUN` are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

SWITCHES = frozenset({"async", "django", "redis"})
FILE = "file="
NOT_RUN = frozenset(
    {
        "console",
        "diff",
        "django",
        "html",
        "http",
        "ini",
        "jinja",
        "json",
        "sql",
        "text",
        "toml",
        "yaml",
    }
)


class PageError(ValueError):
    """A block's info string is not understood. The message gives the place and what is allowed."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    """The line of the page, from 1, that holds the block's first line of code."""
    source: str
    switches: frozenset[str] = frozenset()
    file: str | None = None


def python_blocks(page: Path) -> list[Block]:
    """The blocks of a page that run, in order.

    Raises:
        PageError: a block does not say what it is, or asks for something unknown.
    """
    blocks = []
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type not in ("fence", "code_block") or token.map is None:
            continue
        language, *words = token.info.split() or [""]
        if language in NOT_RUN:
            continue
        # The map counts from 0; a fence's code begins on the line after its opening.
        line = token.map[0] + (2 if token.type == "fence" else 1)
        place = f"{page}:{line}"
        if language != "python":
            raise PageError(
                f"{place}: a block marked {token.info!r}. Mark it as python, or as one of "
                f"{', '.join(sorted(NOT_RUN))}, with a fence."
            )
        blocks.append(_block(page, line, token.content, words, place))
    return blocks


def _block(page: Path, line: int, source: str, words: list[str], place: str) -> Block:
    files = [word.removeprefix(FILE) for word in words if word.startswith(FILE)]
    switches = frozenset(word for word in words if not word.startswith(FILE))
    unknown = switches - SWITCHES
    if unknown or len(files) > 1:
        raise PageError(
            f"{place}: a python block marked {' '.join(words)!r}. "
            f"Allowed: {', '.join(sorted(SWITCHES))}, and one {FILE}PATH."
        )
    return Block(page, line, source, switches, files[0] if files else None)
