"""Header fields with a syntax of their own: Cache-Control and Vary (RFC 9110, RFC 9111).

Where a field is malformed the reading is the one that caches less: an application that tried to say
"private" and misspelt it must not have its page shown to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "MAX_SECONDS",
    "CacheControl",
    "cache_control",
    "header_values",
    "is_token",
    "seconds_of",
    "vary_names",
]

MAX_SECONDS: Final = 1 << 31
"""Longest lifetime worth distinguishing (RFC 9111, section 1.2.2)."""

CacheControl = Mapping[str, "tuple[str | None, ...]"]
"""Directives by lower-case name; each occurrence's argument, unquoted, or ``None``."""

# A directive is a token, maybe with an argument that is a token or a quoted string (RFC 9111,
# section 5.2). Space around "=" and ";" between directives are not allowed there, but written. A
# quote anywhere else is caught by the second line.
_DIRECTIVE = re.compile(
    r"""([^\s,;="]+) (?: \s*=\s* (?: "((?:[^"\\]|\\.)*)" | ([^\s,;"]*) ) )?
    | (")""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def header_values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """The values of every field called `name` (lower case)."""
    return [value for field, value in headers if field.lower() == name]


def is_token(text: str) -> bool:
    """Whether `text` can be the name of a header field or cookie (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def cache_control(values: Iterable[str]) -> CacheControl:
    """Parse the ``Cache-Control`` fields of one message.

    A field with a quote where none belongs, or one that does not end, reads as ``no-store``.
    """
    directives: dict[str, tuple[str | None, ...]] = {}
    for found in _DIRECTIVE.finditer(",".join(values)):
        name, quoted, token, stray_quote = found.groups()
        if stray_quote is not None:
            directives["no-store"] = (None,)
            continue
        argument = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        name = name.lower()
        directives[name] = (*directives.get(name, ()), argument)
    return directives


def seconds_of(directives: CacheControl, name: str) -> int | None:
    """The argument of a directive that takes seconds, or ``None`` if it is absent.

    The smallest if it is repeated, and 0 if it is not a number: such a response is to be considered
    stale (RFC 9111, section 4.2.1).
    """
    arguments = directives.get(name)
    if arguments is None:
        return None
    return min(_delta_seconds(argument) for argument in arguments)


def _delta_seconds(argument: str | None) -> int:
    if argument is None or not (argument.isascii() and argument.isdigit()):
        return 0
    return MAX_SECONDS if len(argument) > 10 else min(int(argument), MAX_SECONDS)


def vary_names(values: Iterable[str]) -> tuple[str, ...] | None:
    """The header names that a response varies on: lower case, sorted, each one once.

    ``None`` if nothing that a cache can see decides: ``*``, or a member that is no header name.
    """
    names = {name.strip().lower() for value in values for name in value.split(",")} - {""}
    if any(name == "*" or not is_token(name) for name in names):
        return None
    return tuple(sorted(names))
