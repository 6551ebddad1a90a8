"""`python -m benchmarks.run SUITE`: ask a suite's questions, print the tables, write the JSON."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.measure import HERE, ask
from benchmarks.report import growth, machine, markdown, write_json
from benchmarks.worker import load


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
    answers = []
    for question in chosen.question or found[chosen.suite]:
        began = time.monotonic()
        file = HERE / chosen.suite / f"{question}.py"
        variants = []
        for answer in ask(file, only, chosen.rounds):
            variants.append(answer)
            print(f"\n{markdown(answer)}", flush=True)
        limit = getattr(load(file), "GROWTH", None)
        if limit is not None:
            print(f"\n{growth(variants, limit)}", flush=True)
        answers += variants
        print(f"({question}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    if chosen.question or only or chosen.rounds:
        return
    path = HERE / "results" / f"{chosen.suite}.json"
    write_json(path, chosen.suite, answers)
    print(f"Written: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
