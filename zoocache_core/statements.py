"""Which tables a statement of SQL reads and writes, told from its text.

The text is all there is of a raw query, and it is complete for a compiled one too: joins,
subqueries, set operations and raw fragments are in it, whichever way they came there. It is read
by a tokenizer, not a parser, and every doubt is resolved towards *more*: any word that names a
known table counts as a use of it, a name in the place of a table that is not known counts as a
view, which may show anything, and a statement that cannot be understood may write anything.
A trigger, a function or a rule of the database works unseen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from zoocache_core.sqlwords import (
    AFTER_A_COLUMN,
    AFTER_A_TABLE,
    DDL,
    DML,
    END_OF_FROM,
    HARMLESS_DDL,
    KEYWORDS,
    MODIFIERS,
    READING,
    WRITING,
)

__all__ = ["Statement", "control", "parse"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement does, in names of tables (lower case, without schema).

    ``relations`` counts the places where a table is named as one. ``unknown`` are names in such
    places that are no known tables. ``opaque``: what is written cannot be told. ``counted``: the
    cursor's ``rowcount`` says whether anything was written. ``ddl``: it changes definitions.
    """

    reads: frozenset[str] = frozenset()
    relations: Mapping[str, int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    opaque: bool = False
    counted: bool = False
    returning: bool = False
    ddl: bool = False


_CONTROL: Final = re.compile(
    r"""\s*(?:
        (?P<begin>begin\b|start\s+transaction\b)
      | (?P<commit>(?:commit|end)\b(?!\s+prepared))
      | (?P<undo>rollback\s+(?:(?:work|transaction)\s+)?to\s+(?:savepoint\s+)?)
        (?P<to>\S+?)\s*;?\s*\Z
      | (?P<rollback>(?:rollback|abort)\b(?!\s+prepared))
      | (?P<savepoint>savepoint\s+)(?P<name>\S+?)\s*;?\s*\Z
      | (?P<release>release\b)
      | (?P<snapshot>set\s+transaction\s+snapshot\b)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


# As Django and drivers write them.
_PLAIN: Final = {kind.upper(): (kind, "") for kind in ("begin", "commit", "rollback")}


def control(sql: str) -> tuple[str, str] | None:
    """The kind of a statement that steers a transaction, and the savepoint that it names.

    The kinds: ``begin``, ``commit``, ``rollback``, ``savepoint``, ``undo`` (roll back to a
    savepoint), ``release``, ``snapshot`` (read what another transaction does, of PostgreSQL).
    """
    if sql in _PLAIN:
        return _PLAIN[sql]
    found = _CONTROL.match(sql)
    if found is None or ";" in sql.rstrip().rstrip(";"):
        return None
    for kind in ("begin", "commit", "undo", "rollback", "savepoint", "release", "snapshot"):
        if found[kind]:
            return kind, (found["to"] or found["name"] or "").strip('"`').lower()
    return None


_TOKEN: Final = re.compile(
    r"""
      (?P<skip>\s+ | --[^\n]* | /\*.*?\*/ | %s | %\(\w+\)s | \d[\w.]*)
    | (?P<string>'(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")+" | `[^`]+`)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD: Final = re.compile(r"[\w$]+")


@dataclass(slots=True)
class _Frame:
    """One level of parentheses. ``cte``: the name of the common table expression that they hold;
    ``ctes``: those that are defined in them."""

    expecting: str = ""
    in_from: bool = False
    in_list: bool = False
    statement: bool = False
    in_with: bool = False
    cte: str = ""
    ctes: set[str] = field(default_factory=set)


def parse(sql: str, tables: Container[str]) -> Statement:
    """Read a statement. ``tables`` are the names of the known tables, in lower case."""
    lowered = sql.lower()
    words = set(_WORD.findall(lowered))
    tokens = list(_tokens(lowered))
    damaged = any(kind == "damaged" for kind, _ in tokens)
    verb = next((text for kind, text in tokens if kind == "word"), "")
    relations, foreign, targets, written = _walk(
        [token for token in tokens if token[0] != "damaged"], "recursive" in words
    )
    known = {word for word in words if word in tables and word not in KEYWORDS}
    known.update(name for name in (*relations, *targets) if name in tables)
    unknown = {name for name in foreign if name not in tables}
    ddl = verb in DDL
    if ddl and _second(tokens) not in HARMLESS_DDL:
        targets |= known
        opaque = "table" not in words
    else:
        opaque = not ddl and verb not in READING and verb not in DML
    if "cascade" in words and verb in ("truncate", "drop"):
        # It takes along tables that it does not name.
        opaque = True
    # Words are told whatever became of the quotes, so a query without a verb that writes is one.
    if damaged and verb == "select" and not words & WRITING and ";" not in lowered:
        damaged = False
    if written or damaged:
        # A write whose target was not found, or a text that was not understood.
        if damaged or not targets:
            targets |= known
        opaque = opaque or not targets
    return Statement(
        reads=frozenset(known),
        relations=relations,
        unknown=frozenset(unknown),
        writes=frozenset(targets),
        opaque=opaque,
        counted=written == 1
        and verb in ("insert", "update", "delete", "replace")
        and not damaged
        and len(targets) == 1
        and ";" not in lowered.rstrip().rstrip(";"),
        returning="returning" in words,
        ddl=ddl,
    )


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(sql):
        kind = found.lastgroup
        text = found.group()
        if kind == "word":
            yield "word", text
        elif kind == "quoted":
            yield "name", text[1:-1].replace('""', '"')
        elif kind == "other":
            # A quote that nothing closes; also in a string that ends in another dialect.
            yield ("damaged" if text in "'\"`" else "sign"), text
        elif kind in ("string", "tag"):
            if "\\" in text:
                yield "damaged", ""
            yield "sign", "'"


def _second(tokens: list[tuple[str, str]]) -> str:
    words = [text for kind, text in tokens[:6] if kind == "word" and text not in ("or", "replace")]
    return words[1] if len(words) > 1 else ""


def _walk(
    tokens: list[tuple[str, str]], recursive: bool
) -> tuple[Counter[str], set[str], set[str], int]:
    """Names in the places of tables that are read, those of them that are no common table
    expressions, names of tables that are written, and how many verbs that write there are."""
    relations: Counter[str] = Counter()
    foreign: set[str] = set()
    targets: set[str] = set()
    written = 0
    frames = [_Frame(statement=True)]
    previous = ""
    skip = 0
    for index, (kind, text) in enumerate(tokens):
        if skip:
            skip -= 1
            previous = text
            continue
        frame = frames[-1]
        if kind == "sign":
            if text == "(":
                # The inside of a parenthesised join is as much a place for a table.
                inside = frame.expecting if frame.expecting == "read" else ""
                frame.expecting = ""
                cte = _defined(tokens, index) if frame.in_with else ""
                if recursive:
                    frame.ctes.add(cte)
                frames.append(
                    _Frame(expecting=inside, in_from=bool(inside), statement=bool(inside), cte=cte)
                )
                if inside:
                    frame.in_from = True
            elif text == ")" and len(frames) > 1:
                # From here on its name is not that of a table any more.
                cte = frames.pop().cte
                frames[-1].ctes.add(cte)
            elif text == "," and frame.in_from:
                frame.expecting = "read"
            elif text == "," and frame.in_list:
                frame.expecting = "write"
            elif text == ";":
                frames = [_Frame(statement=True)]
        elif frame.expecting and (
            kind == "name"
            or text not in MODIFIERS | {"select", "with", "values"}
            or (text in MODIFIERS and _ends_a_place(tokens, index, frame.expecting))
        ):
            name, skip = _dotted(tokens, index)
            following = tokens[index + skip + 1][1] if index + skip + 1 < len(tokens) else ""
            if frame.expecting == "write":
                targets.add(name)
            elif following != "(":
                relations[name] += 1
                if skip or not any(name in one.ctes for one in frames):
                    foreign.add(name)
            frame.in_from = frame.in_from or frame.expecting == "read"
            frame.expecting = ""
        elif kind == "word":
            written += _keyword(text, previous, _text(tokens, index + 1), frame)
        previous = text
    return relations, foreign, targets, written


def _keyword(word: str, previous: str, following: str, frame: _Frame) -> int:
    """Let a word change what is expected next; 1 if it begins to write, else 0."""
    if word in ("select", "with", "values"):
        frame.in_with = word == "with"
        frame.statement = True
        frame.expecting = ""
        frame.in_from = False
    elif word == "from":
        if previous == "delete":
            frame.expecting = "write"
        elif frame.statement and previous != "distinct":
            frame.expecting = "read"
    elif word == "join":
        frame.expecting = "read"
    elif word == "into" and not frame.expecting:
        frame.expecting = "write"
        return 1
    elif word in END_OF_FROM:
        frame.in_from = frame.in_list = False
        frame.expecting = ""
    elif (
        word in DML
        and previous not in (".", "for", "key", "do", "on", "then", "or", "returns")
        and following not in AFTER_A_COLUMN
    ):
        frame.statement = True
        frame.in_with = False
        if word in ("insert", "update", "merge", "truncate", "copy") or (
            word == "replace" and previous in ("", ";")
        ):
            frame.expecting = "write"
            frame.in_list = word == "truncate"
        elif word != "delete":
            return 0
        return 1
    elif word == "table" and previous in ("", "(", "as", "union", "all", "except", "intersect"):
        frame.expecting = "read"
    elif word in ("table", "view") and previous in (*DDL, "materialized", "temporary", "temp"):
        frame.expecting = "write"
        frame.in_list = True
        return 1
    return 0


def _text(tokens: list[tuple[str, str]], index: int) -> str:
    return tokens[index][1] if 0 <= index < len(tokens) else ""


def _ends_a_place(tokens: list[tuple[str, str]], index: int, expecting: str) -> bool:
    """Whether what could be a modifier before the name of a table is that name, as in
    ``UPDATE quick SET``."""
    following = _text(tokens, index + 1)
    return following in AFTER_A_TABLE or (following == "(" and expecting == "write")


def _defined(tokens: list[tuple[str, str]], index: int) -> str:
    """The name of the common table expression whose text begins at this parenthesis, if it does:
    ``name (columns) AS NOT MATERIALIZED (``."""
    index -= 1
    if _text(tokens, index) == "materialized":
        index -= 1
    if _text(tokens, index) == "not":
        index -= 1
    if _text(tokens, index) != "as":
        return ""
    index -= 1
    if _text(tokens, index) == ")":
        while index > 0 and _text(tokens, index) != "(":
            index -= 1
        index -= 1
    return _text(tokens, index)


def _dotted(tokens: list[tuple[str, str]], index: int) -> tuple[str, int]:
    """The last part of a name such as ``schema.table``, and how many more tokens it takes."""
    taken = 0
    while tokens[index + taken + 1 : index + taken + 2] == [("sign", ".")] and len(tokens) > (
        index + taken + 2
    ):
        taken += 2
    return tokens[index + taken][1], taken
