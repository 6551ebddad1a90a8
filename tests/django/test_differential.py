"""With caching on, no read returns anything that it could not have returned without.

Programs of random writes, in random transactions, are run on a real database. After every step some
reads are done twice, through the cache and past it, by the writer and by another connection, which
sees what is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from django.test import override_settings
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.django.catalog import (  # noqa: F401  they add their ways of reading and writing
    reading_more,
    reading_relations,
    writing_more,
)
from tests.django.catalog.models import Label, Product
from tests.django.catalog.population import define_view, populate
from tests.django.catalog.reading import READS
from tests.django.catalog.writing import WRITES
from tests.servers import RedisServer
from zoocache_core import default_engine, reset
from zoocache_django import conf


@dataclass(frozen=True)
class Write:
    name: str
    numbers: tuple[int, int, int]
    reads: int
    elsewhere: bool


@dataclass(frozen=True)
class Block:
    """Steps in a transaction or a part of one, and how it ends."""

    kind: str
    steps: tuple[Any, ...]
    kept: bool


numbers = st.integers(0, 6)
writes = st.builds(
    Write,
    st.sampled_from(sorted(WRITES)),
    st.tuples(numbers, numbers, numbers),
    st.integers(0, len(READS) - 1),
    st.integers(0, 3).map(lambda n: n == 3),
)
LOCKING = (
    *("truncate", "truncate_with_others", "alter", "change_schema", "migrate"),
    "write_other_database",
)
LEVELS = {"snapshot": "REPEATABLE READ", "serializable": "SERIALIZABLE"}
KINDS = (
    "atomic",
    "durable",
    "by hand",
    "savepoint",
    "snapshot",
    "serializable",
    "integrity error",
    "other database",
    "raw",
)


def blocks(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    contents = st.lists(steps, min_size=1, max_size=4).map(tuple)
    return st.builds(Block, st.sampled_from(KINDS), contents, st.booleans())


programs = st.lists(st.recursive(writes, blocks, max_leaves=6), min_size=1, max_size=8)


class Undo(Exception):
    """Ends a block that is to be rolled back."""


ENDS = (Undo, IntegrityError, OperationalError)
"""The last is how a database refuses to write over what others wrote after a snapshot."""


class Machine:
    """Runs programs on one database, and compares."""

    def __init__(self, using: str, elsewhere: ThreadPoolExecutor, seed: int = 0) -> None:
        self.using = using
        # Another third of all reads in each program, lest it should take too long.
        self.names = sorted(READS)[seed % 3 :: 3]
        self.elsewhere = elsewhere
        self.offset = 0
        self.written = False
        self.locked = False

    def run(self, steps: Any, depth: int = 0) -> None:
        for step in steps:
            if isinstance(step, Write):
                event(f"write: {step.name}")
                self.write(step)
            else:
                event(f"block: {step.kind}")
                self.block(step, depth)
                # What locks a whole table against readers does so until the transaction ends.
                self.locked = self.locked and depth > 0
                self.written = self.written and depth > 0
                self.compare(self.offset)

    def write(self, step: Write) -> None:
        if step.elsewhere and not self.written and step.name not in LOCKING:
            # By somebody else, which a transaction that reads a snapshot does not see.
            self.elsewhere.submit(WRITES[step.name], self.using, *step.numbers).result()
            self.compare(step.reads)
            return
        self.written = self.written or not connections[self.using].get_autocommit()
        WRITES[step.name](self.using, *step.numbers)
        if step.name in LOCKING and not connections[self.using].get_autocommit():
            self.locked = True
        self.offset = step.reads
        self.compare(step.reads)

    def block(self, block: Block, depth: int) -> None:
        using, kind, steps = self.using, block.kind, block.steps
        if depth and kind in ("durable", "by hand", "raw", *LEVELS):
            kind = "atomic"
        if kind == "by hand":
            self.by_hand(block)
        elif kind == "raw":
            self.raw(block)
        elif kind == "savepoint":
            with suppress(*ENDS), transaction.atomic(using):
                savepoint = transaction.savepoint(using)
                self.run(steps, depth + 1)
                if not block.kept:
                    transaction.savepoint_rollback(savepoint, using)
                    self.compare(self.offset)
                transaction.savepoint_commit(savepoint, using)
        elif kind == "integrity error":
            with suppress(*ENDS), transaction.atomic(using):
                self.run(steps, depth + 1)
                Label.objects.using(using).bulk_create([Label(pk=77), Label(pk=77)])
        else:
            if kind == "other database":
                using = "other"
            with suppress(*ENDS), transaction.atomic(using, durable=kind == "durable"):
                if kind in LEVELS and connections[using].vendor == "postgresql":
                    with connections[using].cursor() as cursor:
                        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {LEVELS[kind]}")
                self.run(steps, depth + 1)
                if not block.kept:
                    raise Undo

    def by_hand(self, block: Block) -> None:
        transaction.set_autocommit(False, self.using)
        try:
            for steps, end in (
                (block.steps, transaction.commit if block.kept else transaction.rollback),
                (block.steps[:1], transaction.rollback),
            ):
                try:
                    self.run(steps, 1)
                    end(self.using)
                except ENDS:
                    transaction.rollback(self.using)
                self.written = self.locked = False
                self.compare(self.offset)
        finally:
            transaction.rollback(self.using)
            transaction.set_autocommit(True, self.using)

    def raw(self, block: Block) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute("BEGIN")
            end = "COMMIT" if block.kept else "ROLLBACK"
            self.written = True
            try:
                for step in block.steps:
                    if isinstance(step, Write) and step.name.startswith("raw"):
                        self.write(step)
            except ENDS:
                end = "ROLLBACK"
            cursor.execute(end)

    def compare(self, first: int, amount: int = 6) -> None:
        """Read some things through the cache and past it, here and elsewhere."""
        names = self.names
        chosen = [names[(first + 7 * n) % len(names)] for n in range(amount)]
        self.check(chosen)
        if self.written:
            # It would wait for the rows that are locked because they were written here.
            chosen = [name for name in chosen if name != "locked_rows"]
        if not self.locked:
            self.elsewhere.submit(self.check, chosen).result()

    def check(self, names: list[str], numbers: tuple[int, ...] = (1, 5)) -> None:
        for name in names:
            for n in numbers:
                key = f"{name} {n}"
                cached = default_engine.fetch(key, lambda: READS[name](self.using, n))  # noqa: B023
                assert cached == READS[name](self.using, n), key


SQLITE = pytest.mark.django_db(transaction=True, databases=["default", "other"])
POSTGRES = pytest.mark.django_db(transaction=True, databases=["default", "other", "postgres"])


@pytest.fixture(
    params=[pytest.param("default", marks=SQLITE), pytest.param("postgres", marks=POSTGRES)]
)
def using(request: Any) -> Iterator[str]:
    """The alias of a database with the catalog in it."""
    for alias in ("default", "other"):
        with connections[alias].cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = OFF")
    using: str = request.param
    for alias in (using, "other"):
        define_view(alias)
    yield using
    for alias in (using, "other"):
        with connections[alias].cursor() as cursor:
            cursor.execute("DROP VIEW catalog_sums")


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """A thread with connections of its own."""
    with ThreadPoolExecutor(1) as executor:
        yield executor
        executor.submit(connections.close_all).result()


def run_programs(using: str, elsewhere: ThreadPoolExecutor, amount: int) -> None:
    @settings(max_examples=amount, suppress_health_check=list(HealthCheck))
    @given(programs, st.integers(0, 2))
    def check(program: list[Any], seed: int) -> None:
        reset()
        conf.apply()
        for alias in (using, "other"):
            populate(alias)
        machine = Machine(using, elsewhere, seed)
        machine.check(machine.names)
        machine.run(program)
        machine.check(machine.names)
        elsewhere.submit(machine.check, machine.names).result()

    check()


def test_random_programs(using: str, elsewhere: ThreadPoolExecutor) -> None:
    # A program costs a second or so there, and a fraction of one in a file.
    run_programs(using, elsewhere, settings().max_examples // (16 if using == "postgres" else 6))


@pytest.mark.parametrize("using", [pytest.param("default", marks=SQLITE)], indirect=True)
@pytest.mark.parametrize("storage", ["lmdb", "redis", "redis, near"])
def test_random_programs_with_shared_storage(
    storage: str,
    using: str,
    elsewhere: ThreadPoolExecutor,
    tmp_path: Path,
    redis_server: RedisServer,
) -> None:
    wanted: dict[str, Any] = {
        "STORAGE_URL": f"lmdb://{tmp_path}" if storage == "lmdb" else redis_server.url,
        "PREFIX": storage.replace(", ", "-"),
    }
    if storage == "redis, near":
        wanted["NEAR_MAX_ENTRIES"] = 1000
    with override_settings(ZOOCACHE=wanted):
        run_programs(using, elsewhere, settings().max_examples // 25)


def test_each_write_is_seen_by_each_read(using: str, elsewhere: ThreadPoolExecutor) -> None:
    machine, numbers, names = Machine(using, elsewhere), (2, 1, 3), sorted(READS)
    for place, (name, write) in enumerate(WRITES.items()):
        if using == "postgres" and write.__module__.endswith(".writing"):
            # What is not special to the database is tried on it in random programs.
            continue
        if place % 5 == 0 or not Product.objects.using(using).filter(pk=2).exists():
            for alias in (using, "other"):
                populate(alias)
            machine.check(names, (2,))
        write(using, *numbers)
        try:
            # What is read now is also what the next write finds in the cache.
            machine.check(names, (2,))
        except AssertionError as error:
            raise AssertionError(f"after {name}: {error}") from error
