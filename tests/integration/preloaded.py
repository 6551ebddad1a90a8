"""A WSGI application that configures its cache, and uses it, while a server loads it.

A server that preloads forks its workers afterwards, so each of them begins with copies of the open
sockets, environments and locks of this process, and without its threads. The settings and the
:mod:`tests.integration.truth` come from the environment.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.integration.truth import Answer, Shape, Truth
from zoocache_core.engine import Engine

_options = json.loads(os.environ["PRELOADED"])
truth = Truth(Path(_options["truth"]), Shape(**_options["shape"]))
engine = Engine(**_options["settings"])


@engine.cacheable(namespace="item", deps=lambda number: f"item:{number}")
def item(number: int) -> Answer:
    return truth.read(number)


for _number in range(truth.shape.items):
    item(_number)
engine.invalidate("item:0")
item(0)


def about() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "threads": [thread.name for thread in threading.enumerate()],
        **engine.stats().as_dict(),
    }


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    _, what, *rest = environ["PATH_INFO"].split("/")
    answer: Any = None
    if what == "read":
        answer = item(int(rest[0]))
    elif what == "invalidate":
        engine.invalidate(f"item:{rest[0]}", strict=True)
    else:
        answer = about()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
