"""Ask one question of all its contenders, in interleaved rounds.

A question is a module with:

    TITLE       what is measured, in words
    one public function per contender, which prepares it and returns the names that its statement
                uses; under "run" the statement itself (with `i`, the number of the run), and under
                "before", where needed, a callable that is run untimed before each round
    VARIANTS    optional: name -> the argument of those functions
    GOALS       optional: contender -> the highest ratio (ours / contender) that is good enough, or
                variant -> such a table
    LOOPS       optional: runs of the statement in a round; else as many as fill ROUND_SECONDS
    ROUNDS      optional: rounds, where the default would take too long
    UNIT        optional: "ns" a run (default), or "bytes" that a run has left allocated
    GROWTH      optional: the highest ratio of our last variant to our first that is good enough

Contenders are `ours` and any other name; a coroutine function makes an asynchronous one, which is
compared with `ours_async` where there is that.

Every contender runs in a process of its own, for the memory and the garbage of one would slow
another, and one of them shares our import name. In each round all of them take one turn, in an
order that rotates, so that what the machine does beside falls on all alike; the median of the
rounds counts.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from types import ModuleType
from typing import TYPE_CHECKING

from benchmarks.worker import load

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = Path(__file__).parent
OURS = "ours"
OURS_ASYNC = "ours_async"
PEER_A = "zoocache_pypi"
ROUND_SECONDS = 0.02
DEFAULT_ROUNDS = 15


class ContenderFailed(RuntimeError):
    """A contender's process ended; its traceback went to standard error."""


@dataclass
class Measurement:
    """What one contender needed: one sample a round, in the question's unit, per run."""

    contender: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.samples) < 2:
            return self.samples[0], self.samples[0]
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return low, high


@dataclass
class Answer:
    question: str
    title: str
    variant: str
    unit: str
    goals: dict[str, float]
    measurements: dict[str, Measurement]
    asynchronous: frozenset[str]

    def ratio(self, contender: str) -> float | None:
        """Ours to theirs: below 1 we are ahead. None for ourselves, and where we are missing."""
        ours, theirs = self.measurements.get(OURS), self.measurements[contender]
        if contender in self.asynchronous:
            ours = self.measurements.get(OURS_ASYNC, ours)
        return None if ours is None or ours is theirs else ours.median / theirs.median


class Worker:
    """A contender that waits in its process for the number of runs to do."""

    def __init__(self, file: Path, contender: str, variant: str) -> None:
        self.name = contender
        # Isolated (-I), or our package would be found in place of the one of that name.
        command = [python_of(contender), "-I", str(HERE / "worker.py"), str(file)]
        self._process = subprocess.Popen(
            [*command, contender, variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            self._answer()
        except ContenderFailed:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the process end by closing its standard input, and wait for it."""
        self._process.communicate()

    def run(self, loops: int) -> int:
        if self._process.stdin is None:
            raise ContenderFailed(self.name)
        self._process.stdin.write(f"{loops}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise ContenderFailed(f"{self.name} ended with status {self._process.wait()}")
        return line.strip()


def python_of(contender: str) -> str:
    """The interpreter whose environment has that contender installed."""
    if contender != PEER_A:
        return sys.executable
    try:
        return os.environ["ZOOCACHE_BENCH_PEER_A"]
    except KeyError:
        raise ContenderFailed(
            f"{PEER_A} has our import name and needs an environment of its own. Start through "
            "script/bench, or name its Python in ZOOCACHE_BENCH_PEER_A."
        ) from None


def contenders_of(question: ModuleType) -> list[str]:
    """Its public functions, in the order of their definition."""
    functions = inspect.getmembers(question, inspect.isfunction)
    own = [
        f for name, f in functions if not name.startswith("_") and f.__module__ == question.__name__
    ]
    own.sort(key=lambda function: function.__code__.co_firstlineno)
    return [function.__name__ for function in own]


def ask(file: Path, only: set[str] | None = None, rounds: int | None = None) -> Iterator[Answer]:
    """The answers to one question, one a variant.

    Args:
        file: the question's module.
        only: contenders to leave it at.
        rounds: in place of the question's own number.
    """
    question = load(file)
    names = [name for name in contenders_of(question) if only is None or name in only]
    for variant in getattr(question, "VARIANTS", [""]):
        goals = getattr(question, "GOALS", {})
        measurements = {name: Measurement(name) for name in names}
        default: int = getattr(question, "ROUNDS", DEFAULT_ROUNDS)
        if getattr(question, "UNIT", "ns") == "bytes":
            take_once(question, file, variant, measurements, rounds or default)
        else:
            take_turns(question, file, variant, measurements, rounds or default)
        yield Answer(
            question=file.stem,
            title=question.TITLE,
            variant=variant,
            unit=getattr(question, "UNIT", "ns"),
            goals=goals.get(variant, {}) if variant in goals else goals,
            measurements=measurements,
            asynchronous=frozenset(
                name for name in names if inspect.iscoroutinefunction(getattr(question, name))
            ),
        )


def take_turns(
    question: ModuleType,
    file: Path,
    variant: str,
    measurements: dict[str, Measurement],
    rounds: int,
) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(file, name, variant)) for name in measurements]
        fixed: int | None = getattr(question, "LOOPS", None)
        loops = {worker: fixed or calibrate(worker) for worker in workers}
        for turn in range(rounds):
            shift = turn % len(workers)
            for worker in workers[shift:] + workers[:shift]:
                taken = worker.run(loops[worker])
                measurements[worker.name].samples.append(taken / loops[worker])


def take_once(
    question: ModuleType,
    file: Path,
    variant: str,
    measurements: dict[str, Measurement],
    rounds: int,
) -> None:
    """Rounds of a question about memory: each in a fresh process, which starts from nothing."""
    for _ in range(rounds):
        for name, measurement in measurements.items():
            with Worker(file, name, variant) as worker:
                measurement.samples.append(worker.run(question.LOOPS) / question.LOOPS)


def calibrate(worker: Worker) -> int:
    """How many runs fill a round; running them also warms the contender up."""
    loops = 1
    while (taken := worker.run(loops)) < ROUND_SECONDS * 1e9:
        loops = max(loops * 2, int(loops * ROUND_SECONDS * 1e9 / max(taken, 1)))
    return loops
