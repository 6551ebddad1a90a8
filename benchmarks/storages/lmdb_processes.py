"""What does a hit on LMDB cost while other processes read the same store?"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

TITLE = "A hit on LMDB, with that many processes reading"

VARIANTS = {"1 process": 1, "2 processes": 2, "4 processes": 4}
ROUNDS = 7

OURS = """
from zoocache_core import Engine
engine = Engine(storage_url="lmdb://./shared")
get = engine.get
"""
PYPI = """
import zoocache
zoocache.configure(storage_url="lmdb://./shared")
get = zoocache.get
"""
DISKCACHE = """
from diskcache import Cache
get = Cache("shared").get
"""
LOOP = """
import sys
print("ready", flush=True)
while True:
    for _ in range(1000):
        get("k")
"""


def _work(program: str, put: Any, get: Any, processes: int) -> dict[str, Any]:
    put("k", {"id": 7, "name": "Lion"})
    others = [
        subprocess.Popen(
            [sys.executable, "-I", "-c", program + LOOP], stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes - 1)
    ]
    for other in others:
        if other.stdout is None or other.stdout.readline() != "ready\n":
            raise RuntimeError("a reader did not start")
    import atexit

    for other in others:
        atexit.register(other.kill)
    return {"run": "get('k')", "get": get}


def ours(processes: int) -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine(storage_url="lmdb://./shared")
    return _work(OURS, engine.set, engine.get, processes)


def zoocache_pypi(processes: int) -> dict[str, Any]:
    import zoocache

    zoocache.configure(storage_url="lmdb://./shared")
    return _work(PYPI, zoocache.set, zoocache.get, processes)


def diskcache(processes: int) -> dict[str, Any]:
    from diskcache import Cache

    cache = Cache("shared")
    return _work(DISKCACHE, cache.set, cache.get, processes)
