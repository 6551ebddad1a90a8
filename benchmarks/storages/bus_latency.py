"""How long does an invalidation take to be seen on another host?

Two caches with a connection each, as on two hosts; the network is the loopback interface. Bare
Pub/Sub, which loses messages, is the limit: one PUBLISH, and a thread that waits for it.
"""

from __future__ import annotations

import os
import threading
from typing import Any

TITLE = "An invalidation from one cache to another over the bus"
NEEDS_REDIS = True
GOALS = {"pub_sub": 1.3}


def ours() -> dict[str, Any]:
    from zoocache_core import Engine, LoggingSink

    arrived = threading.Event()

    class Arrivals(LoggingSink):
        def bus_lag(self, seconds: float) -> None:
            arrived.set()

    url = os.environ["ZOOCACHE_BENCH_REDIS"]
    here = Engine(bus_url=url, prefix="bus")
    there = Engine(bus_url=url, prefix="bus", events=[Arrivals()])
    for engine in (here, there):
        engine.get("warm")

    def send() -> None:
        arrived.clear()
        here.invalidate("a:b")
        if not arrived.wait(10):
            raise RuntimeError("lost")

    return {"run": "send()", "send": send}


def pub_sub() -> dict[str, Any]:
    import redis

    client = redis.Redis.from_url(os.environ["ZOOCACHE_BENCH_REDIS"])
    subscriber = client.pubsub()
    subscriber.subscribe("channel")
    arrived = threading.Event()

    def listen() -> None:
        for message in subscriber.listen():
            if message["type"] == "message":
                arrived.set()

    threading.Thread(target=listen, daemon=True).start()

    def send() -> None:
        arrived.clear()
        client.publish("channel", "a:b")
        if not arrived.wait(10):
            raise RuntimeError("lost")

    return {"run": "send()", "send": send}
