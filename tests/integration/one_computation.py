"""A process that wants one cached value: ``python -m tests.integration.one_computation OPTIONS``.

The options are JSON: the engine's ``settings``, the ``log`` in which every computation leaves a
line, how many ``seconds`` one takes, and whether it is ``asynchronous``. The process says "ready",
waits for a line, and prints the value and how many seconds it had to wait for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from zoocache_core.engine import Engine


def main(options: dict[str, Any]) -> None:
    engine = Engine(**options["settings"])
    log, seconds = Path(options["log"]), options["seconds"]

    def note() -> int:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return os.getpid()

    def compute() -> int:
        pid = note()
        time.sleep(seconds)
        return pid

    async def acompute() -> int:
        pid = note()
        await asyncio.sleep(seconds)
        return pid

    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    if options["asynchronous"]:
        value = asyncio.run(engine.fetch_async("the key", acompute))
    else:
        value = engine.fetch("the key", compute)
    print(json.dumps([value, time.monotonic() - began]), flush=True)
    engine.reset()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
