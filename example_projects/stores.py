"""Where the demos keep their pages: a storage URL, and a Redis to go with it if there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["STORAGES", "store"]

STORAGES = ("memory", "lmdb", "redis")


@contextmanager
def store(storage: str, directory: Path) -> Iterator[str | None]:
    """The URL of ``storage``, usable while the context lasts.

    For ``redis`` it is ``REDIS_URL`` if that is set; otherwise a server is started on a free port,
    the one that the project's tests use.
    """
    if storage == "memory":
        yield None
    elif storage == "lmdb":
        yield f"lmdb://{directory}/cache"
    elif url := os.environ.get("REDIS_URL"):
        yield url
    else:
        from tests.servers.redis import RedisServer

        with RedisServer() as server:
            yield server.url
