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
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def control(sql: str) -> tuple[str, str] | None:
    """The kind of a statement that steers a transaction, and the savepoint that it names.

    The kinds: ``begin``, ``commit``, ``rollback``, ``savepoint``, ``undo`` (roll back to a
    savepoint), ``release``.
    """
    found = _CONTROL.match(sql)
    if found is None or ";" in sql.rstrip().rstrip(";"):
        return None
    for kind in ("begin", "commit", "undo", "rollback", "savepoint", "release"):
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
_CTE: Final = re.compile(
    r'("[^"]+"|\w+)\s*(?:\([^()]*\)\s*)?\bas\s*(?:not\s+)?(?:materialized\s*)?\(', re.IGNORECASE
)

_READING: Final = frozenset(
    {"select", "values", "table", "show", "explain", "describe", "desc", "pragma", "with", "set"}
    | {"reset", "analyze", "vacuum", "listen", "notify", "unlisten", "declare", "fetch", "close"}
    | {"move", "discard", "lock", "grant", "revoke", "comment", "deallocate", "prepare", "use"}
    | {"checkpoint", "reindex", "cluster", "optimize", "detach", "attach", "rollback", "load"}
)
_DML: Final = frozenset({"insert", "update", "delete", "replace", "merge", "truncate", "copy"})
_DDL: Final = frozenset({"create", "alter", "drop", "rename", "refresh"})
_WRITING: Final = _DML | _DDL | {"into", "call", "do", "execute"}
# What else can change what a table shows, apart from the definition of a table.
_HARMLESS_DDL: Final = frozenset(
    {"index", "unique", "extension", "sequence", "role", "user", "database", "trigger", "type"}
    | {"collation", "concurrently", "statistics", "domain", "cast", "aggregate", "operator"}
)
_MODIFIERS: Final = frozenset(
    {"only", "lateral", "into", "table", "or", "replace", "rollback", "abort", "fail", "ignore"}
    | {"if", "exists", "not", "low_priority", "delayed", "high_priority", "quick", "overwrite"}
    | {"materialized", "view", "concurrently"}
)
_END_OF_FROM: Final = frozenset(
    {"where", "group", "order", "having", "limit", "offset", "window", "returning", "set"}
    | {"values", "union", "intersect", "except", "minus", "for"}
)
# Only in the place of a table are these names of tables.
_KEYWORDS: Final = (
    _READING
    | _DML
    | _DDL
    | _MODIFIERS
    | _END_OF_FROM
    | {
        *("from", "join", "on", "using", "as", "and", "by", "in", "is", "null", "like", "between"),
        *(
            "case",
            "when",
            "then",
            "else",
            "end",
            "left",
            "right",
            "inner",
            "outer",
            "full",
            "cross",
        ),
        *("natural", "distinct", "all", "asc", "desc", "count", "sum", "min", "max", "key", "user"),
        *(
            "default",
            "primary",
            "foreign",
            "references",
            "check",
            "date",
            "time",
            "interval",
            "cast",
        ),
    }
)


@dataclass(slots=True)
class _Frame:
    """One level of parentheses."""

    expecting: str = ""
    in_from: bool = False
    in_list: bool = False
    statement: bool = False


def parse(sql: str, tables: Container[str]) -> Statement:
    """Read a statement. ``tables`` are the names of the known tables, in lower case."""
    lowered = sql.lower()
    words = set(_WORD.findall(lowered))
    tokens = list(_tokens(lowered))
    damaged = any(kind == "damaged" for kind, _ in tokens)
    verb = next((text for kind, text in tokens if kind == "word"), "")
    relations, targets, written = _walk([token for token in tokens if token[0] != "damaged"])
    known = {word for word in words if word in tables and word not in _KEYWORDS}
    known.update(name for name in (*relations, *targets) if name in tables)
    ctes = {name.strip('"') for name in _CTE.findall(lowered)} if "with" in words else set()
    unknown = {name for name in relations if name not in tables and name not in ctes}
    ddl = verb in _DDL
    if ddl and _second(tokens) not in _HARMLESS_DDL:
        targets |= known
        opaque = "table" not in words
    else:
        opaque = not ddl and verb not in _READING and verb not in _DML
    if "cascade" in words and verb in ("truncate", "drop"):
        # It takes along tables that it does not name.
        opaque = True
    # Words are told whatever became of the quotes, so a query without a verb that writes is one.
    if damaged and verb == "select" and not words & _WRITING and ";" not in lowered:
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


def _walk(tokens: list[tuple[str, str]]) -> tuple[Counter[str], set[str], int]:
    """Names in the places of tables that are read, of tables that are written, and how many
    verbs that write there are."""
    relations: Counter[str] = Counter()
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
                frames.append(
                    _Frame(expecting=inside, in_from=bool(inside), statement=bool(inside))
                )
                if inside:
                    frame.in_from = True
            elif text == ")" and len(frames) > 1:
                frames.pop()
            elif text == "," and frame.in_from:
                frame.expecting = "read"
            elif text == "," and frame.in_list:
                frame.expecting = "write"
            elif text == ";":
                frames = [_Frame(statement=True)]
        elif frame.expecting and (
            kind == "name" or text not in _MODIFIERS | {"select", "with", "values"}
        ):
            name, skip = _dotted(tokens, index)
            following = tokens[index + skip + 1][1] if index + skip + 1 < len(tokens) else ""
            if frame.expecting == "write":
                targets.add(name)
            elif following != "(":
                relations[name] += 1
            frame.in_from = frame.in_from or frame.expecting == "read"
            frame.expecting = ""
        elif kind == "word":
            written += _keyword(text, previous, frame)
        previous = text
    return relations, targets, written


def _keyword(word: str, previous: str, frame: _Frame) -> int:
    """Let a word change what is expected next; 1 if it begins to write, else 0."""
    if word in ("select", "with", "values"):
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
    elif word in _END_OF_FROM:
        frame.in_from = frame.in_list = False
        frame.expecting = ""
    elif word in _DML and previous not in ("for", "key", "do", "on", "then", "or", "returns"):
        frame.statement = True
        if word in ("insert", "update", "merge", "truncate", "copy") or (
            word == "replace" and previous in ("", ";")
        ):
            frame.expecting = "write"
            frame.in_list = word == "truncate"
        elif word != "delete":
            return 0
        return 1
    elif word in ("table", "view") and previous in (*_DDL, "materialized", "temporary", "temp"):
        frame.expecting = "write"
        frame.in_list = True
        return 1
    return 0


def _dotted(tokens: list[tuple[str, str]], index: int) -> tuple[str, int]:
    """The last part of a name such as ``schema.table``, and how many more tokens it takes."""
    taken = 0
    while tokens[index + taken + 1 : index + taken + 2] == [("sign", ".")] and len(tokens) > (
        index + taken + 2
    ):
        taken += 2
    return tokens[index + taken][1], taken
