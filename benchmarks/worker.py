"""One contender of one question, in a process of its own: started by `measure.py`.

Runs as a plain script in any environment, with nothing but the standard library, because a
contender may share its import name with another. Arguments: the question's file, the contender,
the variant. It works in an empty directory, removed at the end.

On standard input, one number of calls a line; for each, one line on standard output with the
nanoseconds (or, for a question of memory, the bytes) that they took in all.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import inspect
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_loop(statement: str, names: dict[str, Any]) -> Callable[[int], Any]:
    """A function that runs `statement` a number of times and returns the nanoseconds it took.

    The loop is compiled, as in `timeit`, so that no call is added to what is measured. `i` counts
    the runs. A statement with an `await` makes a coroutine function.
    """
    keyword = "async def" if "await " in statement else "def"
    source = f"""
        {keyword} loop(_count, {", ".join(f"{name}={name}" for name in names)}):
            _start = _clock()
            for i in range(_count):
                {statement}
            return _clock() - _start
    """
    scope = {"_clock": time.perf_counter_ns, **names}
    exec(textwrap.dedent(source), scope)
    loop: Callable[[int], Any] = scope["loop"]
    return loop


def resident_bytes() -> int:
    """Physical memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def serve(question: ModuleType, contender: str, variant: str) -> None:
    runner = asyncio.new_event_loop()

    def finish(result: Any) -> Any:
        return runner.run_until_complete(result) if inspect.isawaitable(result) else result

    variants = getattr(question, "VARIANTS", None)
    make = getattr(question, contender)
    names = finish(make(variants[variant]) if variants else make())
    statement, before = names.pop("run"), names.pop("before", None)
    loop = compile_loop(statement, names)
    of_memory = getattr(question, "UNIT", "ns") == "bytes"

    # What a contender prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        if before is not None:
            finish(before())
        gc.collect()
        memory = resident_bytes() if of_memory else 0
        gc.disable()
        taken = finish(loop(int(line)))
        gc.enable()
        if of_memory:
            gc.collect()
            taken = resident_bytes() - memory
        print(taken, file=answers, flush=True)
    finish(_end_tasks())
    runner.close()


async def _end_tasks() -> None:
    """End what a contender left running in the background."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    file = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.chdir(scratch)
        serve(load(file), sys.argv[2], sys.argv[3])
