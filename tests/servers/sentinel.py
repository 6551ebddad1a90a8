"""Redis Sentinel, from the same program as Redis."""

from __future__ import annotations

from contextlib import suppress

import redis

from tests.servers.process import HOST, ServerProcess
from tests.servers.redis import RedisServer, find_redis_server


class SentinelServer(ServerProcess):
    """Watches `master` under the name `service`, alone and impatiently."""

    name = "sentinel"

    def __init__(self, master: RedisServer, service: str) -> None:
        super().__init__()
        self._master = master
        self.service = service

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.port}/{self.service}/0"

    def command(self) -> list[str]:
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.directory}",
            f"sentinel monitor {self.service} {HOST} {self._master.port} 1",
            f"sentinel down-after-milliseconds {self.service} 300",
            f"sentinel failover-timeout {self.service} 2000",
        ]
        path = self.directory / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n")
        return [find_redis_server(), str(path), "--sentinel"]

    def client(self) -> redis.Redis:
        return redis.Redis(host=HOST, port=self.port, retry=None, socket_timeout=1.0)

    def answers(self) -> bool:
        with suppress(redis.RedisError), self.client() as client:
            return int(client.info("server")["process_id"]) == self.pid
        return False

    def replicas(self) -> int:
        """How many replicas of the service it knows and takes for alive."""
        with self.client() as client:
            found = client.sentinel_slaves(self.service)
        return sum(not replica["is_sdown"] for replica in found)
