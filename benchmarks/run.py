"""`python -m benchmarks.run SUITE`: ask a suite's questions, print the tables, write the JSON."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack

from benchmarks.measure import HERE, Answer, ask
from benchmarks.report import growth, machine, markdown, write_json
from benchmarks.worker import load

REDIS = "ZOOCACHE_BENCH_REDIS"
"""Environment variable with the URL of the Redis to measure on; one is started if unset."""


def suites() -> dict[str, list[str]]:
    """Suite -> its questions: the directories beside this file that hold any."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.glob("*/*.py")):
        if not file.name.startswith("_"):
            found.setdefault(file.parent.name, []).append(file.stem)
    return found


def arguments(found: dict[str, list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("suite", nargs="?", default="core", choices=found)
    parser.add_argument("--question", action="append", help="ask only this one (may be repeated)")
    parser.add_argument("--contender", action="append", help="measure only this one, and ours")
    parser.add_argument("--rounds", type=int, help="rounds of each question (default: its own)")
    chosen = parser.parse_args()
    unknown = set(chosen.question or ()) - set(found[chosen.suite])
    if unknown:
        parser.error(
            f"no question {', '.join(unknown)}; there are {', '.join(found[chosen.suite])}"
        )
    return chosen


def main() -> None:
    found = suites()
    chosen = arguments(found)
    only = {"ours", *chosen.contender} if chosen.contender else None
    facts = machine()
    print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    with ExitStack() as servers:
        answers = ask_all(chosen, found[chosen.suite], only, servers)
    if chosen.question or only or chosen.rounds:
        return
    path = HERE / "results" / f"{chosen.suite}.json"
    write_json(path, chosen.suite, answers)
    print(f"Written: {path.relative_to(HERE.parent)}")


def ask_all(
    chosen: argparse.Namespace, questions: list[str], only: set[str] | None, servers: ExitStack
) -> list[Answer]:
    """Ask the chosen questions, with a Redis started before the first that needs one."""
    answers: list[Answer] = []
    for question in chosen.question or questions:
        began = time.monotonic()
        file = HERE / chosen.suite / f"{question}.py"
        if getattr(load(file), "NEEDS_REDIS", False) and REDIS not in os.environ:
            from tests.servers.redis import RedisServer

            os.environ[REDIS] = servers.enter_context(RedisServer()).url
        variants = []
        for answer in ask(file, only, chosen.rounds):
            variants.append(answer)
            print(f"\n{markdown(answer)}", flush=True)
        limit = getattr(load(file), "GROWTH", None)
        if limit is not None:
            print(f"\n{growth(variants, limit)}", flush=True)
        answers += variants
        print(f"({question}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return answers


if __name__ == "__main__":
    main()
