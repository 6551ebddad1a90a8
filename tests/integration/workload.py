"""Reads and invalidations at random, every answer checked against the shared truth.

``python -m tests.integration.workload`` is one process of a differential test: it is given its
:class:`Task` as JSON in its argument, says "ready", waits for a line, works, and prints a
:class:`Report` as JSON. Each process works through one thread and, in another thread, two tasks of
an event loop.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.truth import Answer, Shape, Truth
from zoocache_core import BusUnavailable
from zoocache_core.engine import Engine
from zoocache_core.missing import MISSING

ACTORS = 3
"""One thread, two asynchronous tasks."""

KEPT_OBJECTIONS = 5


@dataclass
class Task:
    truth: str
    settings: dict[str, Any]
    first_writer: int
    seed: int
    operations: int
    """Of the whole process."""
    seconds: float = 0.0
    """How long to go on at least."""
    allowed: float = 0.0
    """Staleness, in seconds, that the configuration permits towards other processes."""
    reads_only: bool = False
    """Whoever writes learns thereby what others invalidated; a process that only reads does not."""
    strict: bool = True
    """Whether only what others can know of counts as announced. If not, an invalidation that is
    still on its way because of an outage counts too."""
    shape: Shape = field(default_factory=Shape)


@dataclass
class Report:
    reads: int = 0
    writes: int = 0
    hits: int = 0
    objections: list[str] = field(default_factory=list)
    wrong: int = 0


class Actor:
    """One thread or task: its random choices, its counters, its own writer in the truth."""

    def __init__(self, engine: Engine, truth: Truth, task: Task, index: int) -> None:
        self.engine = engine
        self.truth = truth
        self.shape = task.shape
        self.allowed = task.allowed
        self.reads_only = task.reads_only
        self.strict = task.strict
        self.own = range(task.first_writer, task.first_writer + ACTORS)
        self.writer = task.first_writer + index
        self.random = random.Random(task.seed * 1000 + index)
        self.report = Report()

    # What is checked

    def check(self, item: int, answer: object, asked: float) -> None:
        self.report.reads += 1
        objection = self.truth.objection(item, answer, asked, self.allowed, self.own)
        if objection is not None:
            self.report.wrong += 1
            if len(self.report.objections) < KEPT_OBJECTIONS:
                self.report.objections.append(objection)

    def check_all(self, items: range, answer: object, asked: float) -> None:
        if type(answer) is not list or len(answer) != len(items):
            self.report.wrong += 1
            self.report.objections.append(f"asked for {items}, got {answer!r}")
            return
        for item, one in zip(items, answer, strict=True):
            self.check(item, one, asked)

    # What is chosen

    def item(self) -> int:
        # Some items are read and written far more than others.
        return min(self.random.randrange(self.shape.items), self.random.randrange(self.shape.items))

    def share_of_reads(self, reads: float) -> float:
        return reads if self.reads_only else 1.0

    def pause(self) -> float:
        """How long a computation takes between reading the data and returning: often nothing."""
        return self.random.choice((0.0, 0.0, 0.0, 0.0005, 0.003))

    def tag(self, item: int) -> str:
        return f"group:{self.shape.group_of(item)}:item:{item}"

    def written(self) -> tuple[str, list[int]]:
        """A tag to invalidate, empty for everything, and the items it stands for."""
        kind = self.random.random()
        item = self.item()
        if kind < 0.75:
            return self.tag(item), [item]
        group = self.shape.group_of(item)
        if kind < 0.96:
            return f"group:{group}", list(self.shape.items_of(group))
        return "", list(range(self.shape.items))


def cached_functions(actor: Actor) -> tuple[Callable[..., Any], ...]:
    """Blocking readers: of an item, of a group through its items, of a group by wildcard."""
    engine, truth, shape = actor.engine, actor.truth, actor.shape

    @engine.cacheable(namespace="item", deps=actor.tag)
    def item(number: int) -> Answer:
        answer = truth.read(number)
        time.sleep(actor.pause())
        return answer

    @engine.cacheable(namespace="page")
    def page(group: int) -> list[Answer]:
        return [item(number) for number in shape.items_of(group)]

    @engine.cacheable(namespace="overview", deps=lambda group: f"group:{group}:*")
    def overview(group: int) -> list[Answer]:
        answers = [truth.read(number) for number in shape.items_of(group)]
        time.sleep(actor.pause())
        return answers

    return item, page, overview


def cached_coroutines(actor: Actor) -> tuple[Callable[..., Any], ...]:
    """The same readers, under the same keys, for asynchronous callers."""
    engine, truth, shape = actor.engine, actor.truth, actor.shape

    @engine.cacheable(namespace="item", deps=actor.tag)
    async def item(number: int) -> Answer:
        answer = truth.read(number)
        await asyncio.sleep(actor.pause())
        return answer

    @engine.cacheable(namespace="page")
    async def page(group: int) -> list[Answer]:
        return [await item(number) for number in shape.items_of(group)]

    @engine.cacheable(namespace="overview", deps=lambda group: f"group:{group}:*")
    async def overview(group: int) -> list[Answer]:
        answers = [truth.read(number) for number in shape.items_of(group)]
        await asyncio.sleep(actor.pause())
        return answers

    return item, page, overview


def act(actor: Actor) -> Callable[[], None]:
    """One random operation per call of what is returned."""
    engine, truth, shape, choose = actor.engine, actor.truth, actor.shape, actor.random
    item, page, overview = cached_functions(actor)

    def by_hand(number: int) -> Any:
        answer = engine.get(f"hand:{number}", MISSING)
        if answer is MISSING:
            answer = truth.read(number)
            time.sleep(actor.pause())
            engine.set(f"hand:{number}", answer, deps=actor.tag(number))
        return answer

    def write() -> None:
        tag, items = actor.written()
        counts = [truth.write(number, actor.writer) for number in items]
        actor.report.writes += 1
        try:
            engine.publish((tag,), strict=actor.strict)
            if not tag:
                engine.clear()
        except BusUnavailable:
            # Kept and delivered later: nothing is promised to other processes yet.
            return
        for number, count in zip(items, counts, strict=True):
            truth.note_returned(number, actor.writer, count)

    def operation() -> None:
        kind, number = choose.random() * actor.share_of_reads(0.86), actor.item()
        group = shape.group_of(number)
        asked = time.monotonic()
        if kind < 0.55:
            actor.check(number, item(number), asked)
        elif kind < 0.66:
            actor.check_all(shape.items_of(group), page(group), asked)
        elif kind < 0.72:
            actor.check_all(shape.items_of(group), overview(group), asked)
        elif kind < 0.82:
            actor.check(number, by_hand(number), asked)
        elif kind < 0.86:
            keys = {f"hand:{other}": other for other in shape.items_of(group)}
            for key, answer in engine.get_many(keys).items():
                actor.check(keys[key], answer, asked)
        elif kind < 0.87:
            engine.delete(f"hand:{number}")
        elif kind < 0.873:
            engine.prune(0.05)
        elif kind < 0.88:
            # Forgetting a call is not announced as a write: the data did not change.
            item.invalidate(number)
        else:
            write()

    return operation


def act_async(actor: Actor) -> Callable[[], Coroutine[Any, Any, None]]:
    """As :func:`act`, through the asynchronous methods."""
    engine, truth, shape, choose = actor.engine, actor.truth, actor.shape, actor.random
    item, page, overview = cached_coroutines(actor)

    async def by_hand(number: int) -> Any:
        answer = await engine.get_async(f"hand:{number}", MISSING)
        if answer is MISSING:
            answer = truth.read(number)
            await asyncio.sleep(actor.pause())
            await engine.set_async(f"hand:{number}", answer, deps=actor.tag(number))
        return answer

    async def write() -> None:
        tag, items = actor.written()
        counts = [truth.write(number, actor.writer) for number in items]
        actor.report.writes += 1
        try:
            await engine.apublish((tag,), strict=actor.strict)
            if not tag:
                await engine.clear_async()
        except BusUnavailable:
            return
        for number, count in zip(items, counts, strict=True):
            truth.note_returned(number, actor.writer, count)

    async def operation() -> None:
        kind, number = choose.random() * actor.share_of_reads(0.88), actor.item()
        group = shape.group_of(number)
        asked = time.monotonic()
        if kind < 0.60:
            actor.check(number, await item(number), asked)
        elif kind < 0.70:
            actor.check_all(shape.items_of(group), await page(group), asked)
        elif kind < 0.75:
            actor.check_all(shape.items_of(group), await overview(group), asked)
        elif kind < 0.86:
            actor.check(number, await by_hand(number), asked)
        elif kind < 0.88:
            keys = {f"hand:{other}": other for other in shape.items_of(group)}
            for key, answer in (await engine.get_many_async(keys)).items():
                actor.check(keys[key], answer, asked)
        else:
            await write()
        # A hit in memory does not suspend; the other task and its timers get their turn.
        await asyncio.sleep(0)

    return operation


def work(engine: Engine, task: Task) -> Report:
    """Do ``task`` with ``engine``: one thread here, two tasks in another."""
    truth = Truth(Path(task.truth), task.shape)
    actors = [Actor(engine, truth, task, index) for index in range(ACTORS)]
    share = task.operations // ACTORS
    ends = time.monotonic() + task.seconds
    failures: list[BaseException] = []

    def in_thread() -> None:
        operation = act(actors[0])
        done = 0
        while done < share or time.monotonic() < ends:
            operation()
            done += 1

    async def in_loop() -> None:
        async def run(actor: Actor) -> None:
            operation = act_async(actor)
            done = 0
            while done < share or time.monotonic() < ends:
                await operation()
                done += 1

        await asyncio.gather(*(run(actor) for actor in actors[1:]))

    def guarded(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=guarded, args=(target,))
        for target in (in_thread, lambda: asyncio.run(in_loop()))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return summed([actor.report for actor in actors], engine.stats().hits)


def summed(reports: list[Report], hits: int) -> Report:
    return Report(
        reads=sum(report.reads for report in reports),
        writes=sum(report.writes for report in reports),
        hits=hits,
        objections=[objection for report in reports for objection in report.objections],
        wrong=sum(report.wrong for report in reports),
    )


def main() -> None:
    options = json.loads(sys.argv[1])
    task = Task(**{**options, "shape": Shape(**options["shape"])})
    engine = Engine(**task.settings)
    print("ready", flush=True)
    sys.stdin.readline()
    report = work(engine, task)
    engine.reset()
    print(json.dumps(asdict(report)), flush=True)


if __name__ == "__main__":
    main()
