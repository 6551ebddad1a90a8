"""How long does an invalidation take to be seen on another host?

From the call in one process to the moment at which another process knows; the network is the
loopback interface. Bare Pub/Sub, which loses messages, is the limit: one PUBLISH, and a process
that waits for it. The receiver says that it knows in memory that both share, which the sender
watches, so that no way back is measured.
"""

from __future__ import annotations

import atexit
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TITLE = "An invalidation from one process to another over the bus"
NEEDS_REDIS = True
GOALS = {"pub_sub": 1.3}

REDIS = "ZOOCACHE_BENCH_REDIS"
CELL = Path("arrivals")


def _arrivals() -> memoryview:
    """A counter in memory that sender and receiver share."""
    with CELL.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), mmap.PAGESIZE)).cast("Q")


def _exchange_with(receiver: str, send: Callable[[], Any]) -> dict[str, Any]:
    CELL.write_bytes(bytes(mmap.PAGESIZE))
    # Not as a script: its directory, first on the path, has a module named `redis`.
    program = f"import runpy; runpy.run_path({__file__!r}, run_name={receiver!r})"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    atexit.register(process.kill)
    if process.stdout is None or process.stdout.readline() != b"ready\n":
        raise RuntimeError("the receiver did not start")
    arrived = _arrivals()

    def send_and_watch() -> None:
        before, lost = arrived[0], time.monotonic() + 10
        send()
        while arrived[0] == before:
            if time.monotonic() > lost:
                raise RuntimeError("lost")

    return {"run": "send_and_watch()", "send_and_watch": send_and_watch}


def ours() -> dict[str, Any]:
    from zoocache_core import Engine

    engine = Engine(bus_url=os.environ[REDIS], prefix="bus")
    return _exchange_with("listen_to_bus", lambda: engine.invalidate("a:b"))


def pub_sub() -> dict[str, Any]:
    import redis

    client = redis.Redis.from_url(os.environ[REDIS])
    return _exchange_with("listen_to_channel", lambda: client.publish("channel", "a:b"))


def _listen_to_bus() -> None:
    from zoocache_core import Engine, LoggingSink

    arrived = _arrivals()

    class Arrivals(LoggingSink):
        def bus_lag(self, seconds: float) -> None:
            arrived[0] += 1

    engine = Engine(bus_url=os.environ[REDIS], prefix="bus", events=[Arrivals()])
    engine.get("warm")


def _listen_to_channel() -> None:
    import redis

    arrived = _arrivals()
    subscriber = redis.Redis.from_url(os.environ[REDIS]).pubsub()
    subscriber.subscribe("channel")

    def listen() -> None:
        for message in subscriber.listen():
            if message["type"] == "message":
                arrived[0] += 1

    threading.Thread(target=listen, daemon=True).start()


RECEIVERS = {"listen_to_bus": _listen_to_bus, "listen_to_channel": _listen_to_channel}

if __name__ in RECEIVERS:
    RECEIVERS[__name__]()
    time.sleep(0.5)  # Until it listens.
    print("ready", flush=True)
    threading.Event().wait()
