"""Transactions and cached reads at random, each answer held against what had been committed.

A process of the differential test has a :class:`Client` of its ORM and is sent :class:`Task`s, a
line of JSON each; of every one it prints a :class:`Report`. Two threads work on a task.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from tests.integration.commits import PARTS, ROWS, TOKENS, Commits, Seen, part_of
from zoocache_core import Engine, Stats, publishing
from zoocache_core.moments import Moment
from zoocache_core.publishing import Publishing
from zoocache_core.transactions import Transaction, WriteBuffer

THREADS = 2
KEPT_OBJECTIONS = 5
DEADLINE = 30.0
"""Seconds after which nothing is waited for any longer, however slow the machine is."""
LEVELS = ("READ COMMITTED", "REPEATABLE READ")


@dataclass
class Task:
    commits: str
    settings: dict[str, Any]
    first_actor: int
    seed: int
    seconds: float
    """How long to go on at least; until enough has happened."""
    allowed: float = 0.0
    """Staleness, in seconds, that the configuration permits towards other processes."""
    slow: float = 1.0
    """How often, and for how long, everything is delayed where that is most dangerous."""
    without: str = ""
    """A mechanism to do without, and then to go on until something is wrong."""


@dataclass
class Report:
    reads: int = 0
    in_snapshots: int = 0
    own: int = 0
    """Reads of rows that the transaction itself has written."""
    commits: int = 0
    rollbacks: int = 0
    savepoints: int = 0
    conflicts: int = 0
    hits: int = 0
    wrong: int = 0
    objections: list[str] = field(default_factory=list)

    def enough(self) -> bool:
        """Whether it proves something that nothing is wrong."""
        rare = (self.in_snapshots, self.own, self.commits, self.rollbacks, self.savepoints)
        return min(rare) >= 5 and min(self.reads, 4 * self.hits) >= 40

    def add(self, other: Report) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


class Undo(Exception):
    """Rolls back the transaction, or the savepoint, that it is raised in."""


class Client(Protocol):
    """An ORM, and what it caches."""

    conflicts: tuple[type[Exception], ...]
    """What the ORM raises where transactions are in each other's way."""
    reads: Mapping[str, Callable[[int], dict[int, tuple[int, int]]]]
    """Cached reads of a row, of its part, of all rows."""
    loaded: frozenset[str]
    """Those of objects that a transaction loads once."""
    outside: frozenset[str]
    """Those on connections of their own."""
    writes: Mapping[str, Callable[[int, int], None]]
    """Ways to write a row, with the token that is left there."""
    bulk: Mapping[str, Callable[[int, int], None]]
    """Ways to write a part; the token in a row is that number plus the row's."""

    def start(self, task: Task) -> None:
        """Begin with an empty cache."""

    def stop(self) -> None: ...

    def stats(self) -> Stats: ...

    def request(self) -> AbstractContextManager[object]:
        """Around anything else; what is read in it is committed."""

    def transaction(self, level: str) -> AbstractContextManager[object]: ...

    def savepoint(self) -> AbstractContextManager[object]: ...

    def plain(self) -> dict[int, tuple[int, int]]:
        """All rows, as the database shows them now."""

    def swap(self, row: int, version: int, token: int) -> bool:
        """Write ``row`` if it has that version, without a transaction."""


class Actor:
    """One thread, its random choices, its tokens."""

    def __init__(self, client: Client, commits: Commits, task: Task, index: int) -> None:
        self.client = client
        self.commits = commits
        self.task = task
        self.colleagues = range(task.first_actor, task.first_actor + THREADS)
        self.number = task.first_actor + index
        self.random = random.Random(task.seed * 1000 + index)
        self.report = Report()
        self.tokens = self.number * TOKENS
        self.own: dict[int, tuple[int, int]] = {}
        self.opened: list[int] = []

    # What is checked

    def object_to(self, name: str, objection: str | None) -> None:
        if objection is not None:
            self.report.wrong += 1
            if len(self.report.objections) < KEPT_OBJECTIONS:
                self.report.objections.append(f"{name}, actor {self.number}: {objection}")

    def read(self, level: str, began: float) -> None:
        """Read something in the transaction that ``began`` then; ``level`` is empty outside one."""
        client = self.client
        name = self.random.choice(sorted(client.reads))
        row = self.random.choice(ROWS)
        shown = client.plain() if self.random.random() < 0.5 else {}
        asked = time.monotonic()
        seen = client.reads[name](row)
        self.report.reads += 1
        if name in client.outside:
            level, shown = "", {} if level else shown
        told = f"{name}, {level or 'no transaction'}"
        loaded = bool(level) and name in client.loaded
        if shown and not loaded:
            self.object_to(told, self.commits.gone_back(seen, shown, self.colleagues))
        if level:
            seen = self.without_own(told, seen)
        if level == LEVELS[1]:
            self.report.in_snapshots += 1
            if self.is_as_shown(told, seen, shown or client.plain(), asked):
                return
        self.object_to(
            told,
            self.commits.objection(
                seen, began if loaded else asked, self.task.allowed, self.colleagues, torn=loaded
            ),
        )

    def without_own(self, told: str, seen: Seen) -> dict[int, tuple[int, int]]:
        """What others have written; the rest has to be what the transaction itself wrote last."""
        for row in seen.keys() & self.own.keys():
            self.report.own += 1
            if seen[row] != self.own[row]:
                self.object_to(told, f"wrote {self.own[row]} to row {row}, sees {seen[row]}")
        return {row: what for row, what in seen.items() if row not in self.own}

    def is_as_shown(self, told: str, seen: Seen, shown: Seen, asked: float) -> bool:
        """Whether it is what the database shows; it must not be newer. If it is older, it is to be
        judged as if there were no snapshot: others may have been about to tell of a commit."""
        if all(shown[row] == what for row, what in seen.items()):
            return True
        allowed, own = self.task.allowed, self.colleagues
        self.object_to(told, self.commits.unlike(seen, shown, asked, allowed, own))
        return False

    # What is done

    def token(self) -> int:
        """A new one, and room for one more for each row."""
        self.tokens += len(ROWS) + 1
        if self.tokens >= (self.number + 1) * TOKENS:
            raise OverflowError(f"actor {self.number} has no token left")
        return self.tokens

    def write(self) -> None:
        row, rows = self.random.choice(ROWS), range(0)
        token = self.token()
        if self.random.random() < 0.3:
            part = part_of(row)
            rows = PARTS[part]
            mine = [token + one for one in rows]
            write = self.client.bulk[self.random.choice(sorted(self.client.bulk))]
        else:
            part, rows, mine = row, range(row, row + 1), [token]
            write = self.client.writes[self.random.choice(sorted(self.client.writes))]
        for one in mine:
            self.commits.open(one)
        self.opened += mine
        write(part, token)
        now = self.client.plain()
        for one, expected in zip(rows, mine, strict=True):
            if now[one][1] != expected:
                raise AssertionError(f"wrote {expected} to row {one}, found {now[one]}")
            self.own[one] = now[one]

    def pause(self) -> None:
        time.sleep(self.random.choice((0.0, 0.0, 0.0, 0.001, 0.005)) * self.task.slow)

    def step(self, level: str, began: float, writes: float) -> None:
        chance = self.random.random()
        if chance < writes:
            self.write()
        elif chance < writes * 1.4:
            self.savepoint(level, began)
        else:
            self.read(level, began)
        self.pause()

    def savepoint(self, level: str, began: float) -> None:
        before, opened = dict(self.own), len(self.opened)
        self.report.savepoints += 1
        try:
            with self.client.savepoint():
                self.write()
                self.read(level, began)
                if self.random.random() < 0.6:
                    raise Undo
        except Undo:
            self.commits.undone(self.opened[opened:])
            del self.opened[opened:]
            self.own = before
            self.read(level, began)

    def transact(self, writes: float) -> None:
        level = self.random.choice(LEVELS)
        self.own, self.opened = {}, []
        committing = False
        try:
            with self.client.transaction(level):
                began = time.monotonic()
                for _ in range(self.random.randint(1, 4)):
                    self.step(level, began, writes)
                if self.random.random() < 0.3:
                    raise Undo
                last = {token for _, token in self.own.values()}
                self.commits.undone(set(self.opened) - last)
                self.commits.committing(last)
                committing = True
        except Undo:
            self.commits.undone(self.opened)
            self.report.rollbacks += 1
        except self.client.conflicts:
            if committing:
                raise
            self.commits.undone(self.opened)
            self.report.conflicts += 1
        else:
            self.commits.returned(self.own)
            self.report.commits += bool(self.own)

    def swap(self) -> None:
        row, token = self.random.choice(ROWS), self.token()
        version, _ = self.client.plain()[row]
        self.commits.committing([token])
        try:
            swapped = self.client.swap(row, version, token)
        except self.client.conflicts:
            self.report.conflicts += 1
            swapped = False
        if swapped:
            self.commits.returned({row: (version + 1, token)})
            self.report.commits += 1
        else:
            self.commits.undone([token])

    def act(self) -> None:
        chance = self.random.random()
        with self.client.request():
            if chance < 0.6:
                self.read("", 0.0)
            elif chance < 0.75:
                self.transact(0.0)
            elif chance < 0.95:
                self.transact(0.45)
            else:
                self.swap()


def work(client: Client, task: Task) -> Report:
    """Do ``task`` in two threads."""
    commits = Commits(Path(task.commits))
    actors = [Actor(client, commits, task, index) for index in range(THREADS)]
    began = time.monotonic()
    failures: list[BaseException] = []

    def so_far() -> Report:
        report = Report(hits=client.stats().hits)
        for actor in actors:
            report.add(actor.report)
        return report

    def go_on() -> bool:
        passed = time.monotonic() - began
        if failures or commits.over or passed > DEADLINE:
            return False
        if task.without:
            if any(actor.report.wrong for actor in actors):
                commits.end()
            return True
        return passed < task.seconds or not so_far().enough()

    def run(actor: Actor) -> None:
        try:
            while go_on():
                actor.act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(actor,)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return so_far()


# Where a delay is most dangerous


def delay(slow: float) -> None:
    """Let what the promises depend on take its time."""
    chance = random.Random()

    def wait() -> None:
        if chance.random() < 0.25:
            time.sleep(chance.choice((0.0, 0.001, 0.004)) * slow)

    def before(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def delayed(*args: Any, **kwargs: Any) -> Any:
            wait()
            return original(*args, **kwargs)

        setattr(owner, name, delayed)

    def after(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def delayed(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            finally:
                wait()

        setattr(owner, name, delayed)

    # Between what this process distrusts and COMMIT; between COMMIT and the invalidation.
    after(Publishing, "__enter__")
    before(Publishing, "__exit__")
    # Between the stamp of a transaction and its first statement.
    after(Moment, "__init__")
    # Between what a computation has read and its storing; between that and the answer.
    before(Engine, "entry")
    after(Engine, "entry")
    # Between the looking up of an entry and its judging.
    before(Engine, "hides")


# Without one of the mechanisms that make it right

WITHOUT: dict[str, tuple[tuple[Any, str, Callable[..., Any]], ...]] = {
    "": (),
    "invalidation at the commit": ((publishing, "_invalidate", lambda engine, tags: None),),
    "a stamp from before the transaction": (
        (Moment, "position", lambda self, engine: engine.present()),
    ),
    "private reads in a transaction that has written": (
        (WriteBuffer, "touches_any", lambda self, tags: False),
        (Transaction, "uncommitted", lambda self: False),
    ),
}


def serve(client: Client) -> None:
    """Work on the tasks that come in."""
    delayed = False
    print("ready", flush=True)
    for line in sys.stdin:
        task = Task(**json.loads(line))
        if task.slow and not delayed:
            delay(task.slow)
            delayed = True
        with ExitStack() as patches:
            for owner, name, instead in WITHOUT[task.without]:
                patches.enter_context(patch.object(owner, name, instead))
            client.start(task)
            print("ready", flush=True)
            sys.stdin.readline()
            report = work(client, task)
            client.stop()
        print(json.dumps(asdict(report)), flush=True)
