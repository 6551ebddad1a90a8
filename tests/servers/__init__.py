"""Real servers for tests: each a process of its own, on loopback, in a temporary directory.

Servers are stopped by the pid of the process started here, by `stop()`, on leaving a `with`
block, and when the interpreter exits. One that cannot start raises `ServerDidNotStart`, which
fails the test run: no test is skipped for want of a server.
"""

from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerDidNotStart, ServerProcess, wait_until
from tests.servers.redis import RedisServer

__all__ = ["PostgresServer", "RedisServer", "ServerDidNotStart", "ServerProcess", "wait_until"]
