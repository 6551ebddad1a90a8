"""Words of SQL, for those who tell from a statement's text what it does."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AFTER_A_COLUMN",
    "AFTER_A_TABLE",
    "DDL",
    "DML",
    "END_OF_FROM",
    "HARMLESS_DDL",
    "KEYWORDS",
    "MODIFIERS",
    "READING",
    "WRITING",
]

READING: Final = frozenset(
    {"select", "values", "table", "show", "explain", "describe", "desc", "pragma", "with", "set"}
    | {"reset", "analyze", "vacuum", "listen", "notify", "unlisten", "declare", "fetch", "close"}
    | {"move", "discard", "lock", "grant", "revoke", "comment", "deallocate", "prepare", "use"}
    | {"checkpoint", "reindex", "cluster", "optimize", "detach", "attach", "rollback", "load"}
)
DML: Final = frozenset({"insert", "update", "delete", "replace", "merge", "truncate", "copy"})
DDL: Final = frozenset({"create", "alter", "drop", "rename", "refresh"})
WRITING: Final = DML | DDL | {"into", "call", "do", "execute"}
# What else can change what a table shows, apart from the definition of a table.
HARMLESS_DDL: Final = frozenset(
    {"index", "unique", "extension", "sequence", "role", "user", "database", "trigger", "type"}
    | {"collation", "concurrently", "statistics", "domain", "cast", "aggregate", "operator"}
)
MODIFIERS: Final = frozenset(
    {"only", "lateral", "into", "table", "or", "replace", "rollback", "abort", "fail", "ignore"}
    | {"if", "exists", "not", "low_priority", "delayed", "high_priority", "quick", "overwrite"}
    | {"materialized", "view", "concurrently"}
)
END_OF_FROM: Final = frozenset(
    {"where", "group", "order", "having", "limit", "offset", "window", "returning", "set"}
    | {"values", "union", "intersect", "except", "minus", "for"}
)
AFTER_A_TABLE: Final = END_OF_FROM | {"", ",", ";", ")", "as", "join", "on"} - {"values"}
# What stands here is the name of a column, whatever verb it could be elsewhere.
AFTER_A_COLUMN: Final = frozenset(",)=<>!+-*/|:;.]") | {"", "as", "is", "in", "like", "and", "or"}
# Only in the place of a table are these names of tables.
KEYWORDS: Final = (
    READING
    | DML
    | DDL
    | MODIFIERS
    | END_OF_FROM
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
