"""The servers that other tests rely on do what those tests assume of them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.servers import PostgresServer, RedisServer, ServerDidNotStart, wait_until
from tests.servers import redis as redis_servers

ROOT = Path(__file__).parents[2]


def read(server: RedisServer, key: str) -> bytes | None:
    with server.client(socket_timeout=5) as client:
        value: bytes | None = client.get(key)
        return value


def write(server: RedisServer, key: str, value: str) -> None:
    with server.client(socket_timeout=5) as client:
        client.set(key, value)


def test_redis_url_is_of_an_empty_server(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url.startswith("redis://127.0.0.1:")
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")
    redis_server.flush()
    assert read(redis_server, "left") is None


def test_redis_is_new_enough(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        version = client.info("server")["redis_version"]
    assert tuple(map(int, version.split(".")))[:2] >= (6, 2)


def test_a_frozen_redis_accepts_connections_and_answers_after_thawing(
    private_redis: RedisServer,
) -> None:
    write(private_redis, "k", "v")
    private_redis.freeze()
    with private_redis.client(socket_timeout=0.1) as client, pytest.raises(redis.TimeoutError):
        client.get("k")
    assert private_redis.running
    private_redis.thaw()
    assert read(private_redis, "k") == b"v"


def test_a_frozen_redis_can_be_killed_and_stopped() -> None:
    for end in (RedisServer.kill, RedisServer.stop):
        with RedisServer() as server:
            server.freeze()
            end(server)
            assert not server.running


def test_a_killed_redis_refuses_connections_and_comes_back_empty_on_its_port(
    private_redis: RedisServer,
) -> None:
    url = private_redis.url
    write(private_redis, "k", "v")
    private_redis.kill()
    with private_redis.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()
    private_redis.start()
    assert private_redis.url == url
    assert read(private_redis, "k") is None


def test_restart_keeps_or_loses_data(private_redis: RedisServer) -> None:
    write(private_redis, "k", "v")
    first = private_redis.pid
    private_redis.restart(empty=False)
    assert private_redis.pid != first
    assert read(private_redis, "k") == b"v"
    private_redis.restart(empty=True)
    assert read(private_redis, "k") is None


def test_restart_from_a_snapshot_loses_what_came_after(private_redis: RedisServer) -> None:
    write(private_redis, "k", "old")
    snapshot = private_redis.save()
    write(private_redis, "k", "new")
    later = private_redis.save()
    private_redis.restart_from(snapshot)
    assert read(private_redis, "k") == b"old"
    private_redis.restart_from(later)
    assert read(private_redis, "k") == b"new"


def test_password() -> None:
    with RedisServer(password="p@ss/word") as server:
        assert server.answers()
        stranger = redis.Redis.from_url(f"redis://127.0.0.1:{server.port}", retry=None)
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_unix_socket() -> None:
    with RedisServer(unix_socket=True) as server:
        assert server.url.startswith("unix://")
        write(server, "k", "v")
        assert read(server, "k") == b"v"
        stranger = redis.Redis.from_url(f"redis://127.0.0.1:{server.port}", retry=None)
        with stranger, pytest.raises(redis.ConnectionError):
            stranger.ping()


def test_config_lines_reach_the_server() -> None:
    with RedisServer(["maxmemory 3mb"]) as server, server.client() as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(3 * 1024**2)}


def test_a_server_that_cannot_start_says_why() -> None:
    server = RedisServer(["no-such-directive yes"])
    try:
        with pytest.raises(ServerDidNotStart, match="no-such-directive"):
            server.start()
        assert not server.running
    finally:
        server.close()


def test_a_taken_port_is_exchanged_on_the_first_start_only(private_redis: RedisServer) -> None:
    with RedisServer() as taken:
        newcomer = RedisServer()
        newcomer.port = taken.port
        with newcomer:
            assert newcomer.port != taken.port
            newcomer.kill()
            newcomer.port = taken.port
            with pytest.raises(ServerDidNotStart, match=r"(?i)address already in use"):
                newcomer.start()


def test_no_redis_anywhere_is_an_error_that_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(redis_servers, "REDIS_PACKAGES", ("no_such_package",))
    with pytest.raises(ServerDidNotStart, match="Install Redis"):
        redis_servers.find_redis_server()


def run_program(source: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(source)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_servers_end_with_the_interpreter_that_started_them() -> None:
    ended = run_program("""
        from tests.servers import RedisServer
        server = RedisServer().start()
        print(server.pid, server.directory)
        raise SystemExit("an error nobody handles")
    """)
    pid, directory = ended.stdout.split()
    assert "an error nobody handles" in ended.stderr
    assert wait_until(lambda: not psutil.pid_exists(int(pid)), deadline=10)
    assert not Path(directory).exists()


def test_a_forked_child_that_exits_leaves_the_server_alone() -> None:
    ended = run_program("""
        import os, sys
        from tests.servers import RedisServer
        server = RedisServer().start()
        child = os.fork()
        if child == 0:
            sys.exit()
        os.waitpid(child, 0)
        print(server.answers(), server.directory.exists())
    """)
    assert ended.stdout.split() == ["True", "True"], ended.stderr


def test_postgres_answers_and_databases_are_separate(postgres: PostgresServer) -> None:
    dsn = postgres.create_database("first")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE t (n integer)")
    with psycopg.connect(postgres.create_database("second")) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
    with psycopg.connect(postgres.create_database("first")) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_postgres_stops_while_clients_are_connected_and_starts_with_its_data() -> None:
    with PostgresServer() as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE t (n integer)")
            connection.execute("INSERT INTO t VALUES (42)")
            server.stop()
            assert not server.running
        server.start()
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (42,)
