"""Rows from the cache, played back to Django's own code, which makes of them what it always does.

The iterables of a queryset (of instances, dicts, tuples…) ask the queryset's query for a compiler,
and that for rows. Here they are given a queryset whose compiler has the rows already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.db import models
from django.db.models.sql.constants import MULTI
from django.db.models.sql.query import Query

from zoocache_django.queries.plans import Compiled, Plan

__all__ = ["executed", "play"]

Rows = Sequence[Sequence[Any]]


def executed(asked: Compiled | Query, using: str, converted: bool, direct: bool) -> Any:
    """The rows of a query, compiled or not, from the database.

    ``direct`` says that they stay in this process, where what cannot be changed is shared; for
    others, lists are what is written and read soonest.
    """
    compiler: Any
    if isinstance(asked, Query):
        compiler = asked.get_compiler(using=using)
    else:
        compiler, made = asked
        # It was compiled for the key, and need not be once more.
        compiler.as_sql = lambda *args, **kwargs: made
    chunks = compiler.execute_sql(MULTI)
    rows: Iterable[Any]
    if converted:
        rows = compiler.results_iter(chunks, tuple_expected=True)
    else:
        rows = chain.from_iterable(chunks)
    return tuple(map(tuple, rows)) if direct else list(map(list, rows))


def play(
    queryset: models.QuerySet[Any, Any],
    query: Any,
    iterable: Any,
    plan: Plan,
    rows: Rows,
    found: Compiled | None,
) -> Iterator[Any]:
    """What ``iterable``, one of Django's classes, makes of ``rows``.

    ``found`` is the compiled query, needed where the rows have still to be converted.
    """
    compiler: Any
    if plan.converted or found is None:
        compiler = _Compiler(plan, rows)
    else:
        compiler, _ = found
        compiler.execute_sql = lambda *args, **kwargs: [rows]
    return iter(iterable(_QuerySet(queryset, _Query(query, compiler))))


class _Compiler:
    """A compiler that has executed its query."""

    def __init__(self, plan: Plan, rows: Rows) -> None:
        self.select = plan.select
        self.klass_info = plan.klass_info
        self.annotation_col_map = plan.annotation_col_map
        self._rows = rows

    def execute_sql(self, *args: Any, **kwargs: Any) -> Rows:
        return self._rows

    def results_iter(
        self, results: Any = None, tuple_expected: bool = False, **kwargs: Any
    ) -> Iterator[Any]:
        return map(tuple, self._rows) if tuple_expected else iter(self._rows)


class _Query:
    """A query with a compiler that is given."""

    def __init__(self, query: Any, compiler: Any) -> None:
        self._query = query
        self._compiler = compiler

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)


class _QuerySet:
    """A queryset with a query that is given."""

    def __init__(self, queryset: Any, query: _Query) -> None:
        self._queryset = queryset
        self.query = query

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queryset, name)
