"""What was measured, on what: as JSON for programs and as Markdown for people."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, OURS, PEER_A, Answer, python_of

LABELS = {
    OURS: "ZooCache",
    "ours_async": "ZooCache, async",
    PEER_A: "zoocache (PyPI)",
    "lru_cache": "functools.lru_cache",
    "cachetools_locked": "cachetools with a lock",
    "dogpile": "dogpile.cache",
    "plain_dict": "dict",
}


def label(contender: str) -> str:
    return LABELS.get(contender, contender)


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def versions() -> dict[str, str]:
    """What the requirements name, as installed."""
    lines = (HERE / "requirements.txt").read_text().splitlines()
    names = [re.split("[<=>~]", line)[0] for line in lines if line and line[0] != "#"]
    program = "from importlib.metadata import version; print(version('zoocache'))"
    # Isolated, or this directory's packages would be found before the installed ones.
    command = [python_of(PEER_A), "-I", "-c", program]
    peer = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: version(name) for name in names} | {label(PEER_A): peer.stdout.strip()}


def write_json(path: Path, suite: str, answers: list[Answer]) -> None:
    document = {
        "suite": suite,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "answers": [
            {
                "question": answer.question,
                "title": answer.title,
                "variant": answer.variant,
                "unit": answer.unit,
                "goals": answer.goals,
                "contenders": {
                    name: {
                        "median": measurement.median,
                        "quartiles": measurement.quartiles,
                        "ratio": answer.ratio(name),
                        "samples": measurement.samples,
                    }
                    for name, measurement in answer.measurements.items()
                },
            }
            for answer in answers
        ],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def markdown(answer: Answer) -> str:
    """One table: a contender a row, with our ratio to it and the goal where there is one."""
    heading = f"{answer.title}: {answer.variant}" if answer.variant else answer.title
    lines = [
        f"### {heading}",
        "",
        f"| contender | {answer.unit} | quartiles | ours / theirs | goal |",
        "|---|--:|--:|--:|---|",
    ]
    ranked = sorted(answer.measurements.values(), key=lambda measurement: measurement.median)
    for measurement in ranked:
        name = measurement.contender
        low, high = (amount(value) for value in measurement.quartiles)
        ratio = answer.ratio(name)
        shown = "" if ratio is None else f"{ratio:.2f}"
        text = f"**{label(name)}**" if name.startswith(OURS) else label(name)
        cells = (text, amount(measurement.median), f"{low} to {high}", shown, goal(answer, name))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def growth(answers: list[Answer], limit: float) -> str:
    """A line a contender: how its last variant compares with its first."""
    first, last = answers[0], answers[-1]
    lines = []
    for name in first.measurements:
        ratio = last.measurements[name].median / first.measurements[name].median
        line = f"- {label(name)}: from {first.variant} to {last.variant}, times {ratio:.2f}"
        judged = f" (goal ≤ {limit:g}: {'met' if ratio <= limit else '**missed**'})"
        lines.append(line + judged if name == OURS else line)
    return "\n".join(lines)


def goal(answer: Answer, contender: str) -> str:
    limit, ratio = answer.goals.get(contender), answer.ratio(contender)
    if limit is None or ratio is None:
        return ""
    return f"≤ {limit:g}: {'met' if ratio <= limit else '**missed**'}"


def amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
