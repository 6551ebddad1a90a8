"""What a statement does, worked out once for each text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from zoocache_core.statements import Statement, control, parse
from zoocache_flask.sqlalchemy.schema import known_tables

__all__ = ["Plan", "plan_of"]

_MOST: Final = 2048
_LONGEST: Final = 20_000
_DELETING: Final = re.compile(r"\b(?:delete|replace|truncate|merge|drop)\b", re.IGNORECASE)
_IMPLICIT_BEGIN: Final = re.compile(r"\s*(?:insert|update|delete|replace)\b", re.IGNORECASE)
# Within a text of several statements.
_STEERING: Final = re.compile(
    r"(?:\A|;)\s*(?:begin|start\s+transaction|commit|end|rollback|abort|savepoint|release)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``steering`` is the kind of a statement that begins or ends a transaction or a part of it,
    with the name of its savepoint (see ``zoocache_core.statements.control``).

    ``deletes``: rows may go. ``begins``: Python's sqlite3 opens a transaction for it. ``unclear``:
    it begins or ends transactions among other things.
    """

    statement: Statement
    steering: tuple[str, str] | None
    deletes: bool
    begins: bool
    unclear: bool = False

    @property
    def writes(self) -> bool:
        return bool(self.statement.writes) or self.statement.opaque or self.unclear


_plans: dict[str, Plan] = {}
_of_tables: Mapping[str, Any] | None = None


def plan_of(text: str) -> Plan:
    """The plan of ``text``, in the light of the tables that are known now."""
    global _plans, _of_tables
    known = known_tables()
    if _of_tables is not known:
        _plans, _of_tables = {}, known
    plan = _plans.get(text)
    if plan is None:
        plan = _make(text, known)
        if len(text) <= _LONGEST:
            if len(_plans) >= _MOST:
                _plans.clear()
            _plans[text] = plan
    return plan


def _make(text: str, known: Mapping[str, Any]) -> Plan:
    steering = control(text)
    if steering is not None:
        return Plan(Statement(), steering, deletes=False, begins=False)
    return Plan(
        parse(text, known),
        None,
        deletes=_DELETING.search(text) is not None,
        begins=_IMPLICIT_BEGIN.match(text) is not None,
        unclear=";" in text and _STEERING.search(text) is not None,
    )
