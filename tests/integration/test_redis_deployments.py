"""The ways in which Redis is set up: login, sockets, TLS, Sentinel, Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.servers import RedisServer, wait_until
from tests.servers.process import HOST
from tests.servers.sentinel import SentinelServer
from tests.servers.tls import TlsFront
from zoocache_core import Engine
from zoocache_core.redis.address import Address

SOON = 20.0

COMMANDS = (
    *("get", "mget", "set", "setrange", "unlink", "del", "exists"),
    *("pttl", "pexpire", "persist"),
    *("zadd", "zcard", "zscore", "zrange", "zrevrange", "zrem"),
    *("xadd", "xrange", "xrevrange", "xread", "hget", "hset"),
    *("eval", "evalsha", "info", "time", "select", "client"),
)
"""All that a user of the access control list has to be allowed; the documentation says the same."""


@contextmanager
def engines(url: str, **settings: Any) -> Iterator[tuple[Engine, Engine]]:
    """Two, as two processes have them."""
    options = {"storage_url": url, "prefix": "app", "socket_timeout": 2.0, **settings}
    one, other = Engine(**options), Engine(**options)
    try:
        yield one, other
    finally:
        one.reset()
        other.reset()


def check(one: Engine, other: Engine) -> None:
    """What one stores the other finds, until one of them invalidates it; in both colours."""
    one.set("k", "value", deps="t")
    assert other.get("k") == "value"
    other.invalidate("t")
    assert one.get("k") is None

    async def asynchronously() -> None:
        await one.set_async("k", "x" * 200_000, deps="t")
        assert await other.get_async("k") == "x" * 200_000
        await other.invalidate_async("t")
        assert await one.get_async("k") is None

    asyncio.run(asynchronously())
    assert one.stats().errors == other.stats().errors == 0


def test_password_and_unix_socket() -> None:
    with (
        RedisServer(password="p@ss/w:rd", unix_socket=True) as server,
        engines(server.url) as pair,
    ):
        check(*pair)


def test_a_user_of_the_access_control_list(private_redis: RedisServer) -> None:
    with private_redis.client() as client:
        client.acl_setuser(
            "cache",
            enabled=True,
            passwords=["+secret"],
            keys=["zoocache:{app}:*"],
            categories=["-@all"],
            commands=[f"+{name}" for name in COMMANDS],
        )
    url = f"redis://cache:secret@{HOST}:{private_redis.port}/0"
    with engines(url) as (one, other):
        check(one, other)
        one.prune(0)
        one.set("k", 1, ttl=10)
        assert one.touch("k", 20)
        assert one.fetch("f", lambda: 1) == 1
        assert one.delete("k")
        assert one.stats().errors == 0


def test_databases_of_one_server_are_separate(private_redis: RedisServer) -> None:
    urls = [f"redis://{HOST}:{private_redis.port}/{number}" for number in (0, 5)]
    with engines(urls[0]) as (one, _), engines(urls[1]) as (two, other):
        one.set("k", 0, deps="t")
        two.set("k", 5, deps="t")
        one.invalidate("t")
        assert one.get("k") is None
        assert other.get("k") == 5


def test_tls(private_redis: RedisServer, tmp_path: Path) -> None:
    with TlsFront(private_redis.port, tmp_path) as front:
        url = f"rediss://{HOST}:{front.port}/0?ssl_ca_certs={quote(str(front.authority))}"
        with engines(url) as pair:
            check(*pair)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with (
        TlsFront(private_redis.port, tmp_path) as front,
        engines(f"rediss://{HOST}:{front.port}/0") as (one, _),
    ):
        assert one.set("k", 1) is False
        assert asyncio.run(one.set_async("k", 1)) is False
    with private_redis.client() as client:
        assert client.dbsize() == 0


def test_sentinel_and_a_failover() -> None:
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer())
        replica = RedisServer([f"replicaof {HOST} {master.port}"])
        stack.enter_context(replica)
        sentinel = stack.enter_context(SentinelServer(master, "shop"))
        assert wait_until(lambda: sentinel.replicas() == 1, SOON)
        with engines(sentinel.url, socket_timeout=0.5) as (one, other):
            check(one, other)
            one.set("page", "old", deps="t")
            assert other.get("page") == "old"
            master.kill()
            one.invalidate("t")

            def back(engine: Engine) -> bool:
                engine.set("probe", 1)
                return engine.get("probe") == 1

            assert wait_until(lambda: back(one) and back(other), SOON)
            assert other.get("page") is None
            with replica.client() as client:
                assert client.info("replication")["role"] == "master"
            one.set("page", "new", deps="t")
            assert other.get("page") == "new"

            # A sentinel in such a hurry takes a busy machine for a dead server now and then.
            assert wait_until(lambda: asyncio.run(other.get_async("page")) == "new", SOON)
        with engines(sentinel.url) as (late, _):
            assert wait_until(lambda: late.get("page") == "new", SOON)


def test_a_sentinel_that_is_gone_is_not_asked_first_again(private_redis: RedisServer) -> None:
    with SentinelServer(private_redis, "shop") as sentinel:
        gone = (HOST, 1)
        address = Address.of(f"redis+sentinel://{HOST}:1,{HOST}:{sentinel.port}/shop", 1.0)
        assert wait_until(lambda: _connects(address), SOON)
        assert address.sentinels == [(HOST, sentinel.port), gone]
        asyncio.run(_aconnect(address))


def _connects(address: Address) -> bool:
    try:
        address.connect().disconnect()
    except redis.RedisError:
        return False
    return True


async def _aconnect(address: Address) -> None:
    connection = await address.aconnect()
    await connection.disconnect(nowait=False)


def _cluster_port() -> int:
    """A free port whose companion for the cluster's own traffic, 10000 above, is free as well."""
    while True:
        port = random.randrange(15_000, 30_000)
        with (
            contextlib.suppress(OSError),
            socket.create_server((HOST, port)),
            socket.create_server((HOST, port + 10_000)),
        ):
            return port


@contextmanager
def cluster() -> Iterator[tuple[RedisServer, RedisServer]]:
    """Two nodes, each with half of the slots."""
    config = ["cluster-enabled yes", "cluster-config-file nodes.conf"]
    first, second = RedisServer(config), RedisServer(config)
    first.port, second.port = _cluster_port(), _cluster_port()
    with first, second:
        with first.client() as one, second.client() as two:
            one.cluster("ADDSLOTS", *range(8192))
            two.cluster("ADDSLOTS", *range(8192, 16384))
            one.cluster("MEET", HOST, second.port)
            for client in (one, two):
                assert wait_until(
                    lambda client=client: client.cluster("INFO")["cluster_state"] == "ok", SOON
                )
        yield first, second


def test_a_cluster() -> None:
    with cluster() as nodes:
        with nodes[0].client() as client:
            slot = client.cluster("KEYSLOT", "zoocache:{app}:log")
        home, away = nodes if slot < 8192 else reversed(nodes)
        for node in (home, away):
            with engines(f"redis://{HOST}:{node.port}") as pair:
                check(*pair)
        with home.client() as client:
            assert client.dbsize() > 0
        with away.client() as client:
            assert client.dbsize() == 0


def test_a_slot_of_a_cluster_that_moves() -> None:
    with cluster() as nodes, nodes[0].client() as one, nodes[1].client() as two:
        slot = one.cluster("KEYSLOT", "zoocache:{app}:log")
        (source, target) = (one, two) if slot < 8192 else (two, one)
        first = nodes[0] if slot < 8192 else nodes[1]
        with engines(f"redis://{HOST}:{first.port}") as (engine, other):
            engine.set("k", "old", deps="t")
            assert other.get("k") == "old"
            _move(slot, source, target)
            for _ in range(3):
                engine.invalidate("t")
            assert wait_until(lambda: other.set("probe", 1), SOON)
            assert other.get("k") is None
            assert wait_until(lambda: engine.set("k", "new", deps="t"), SOON)
            assert other.get("k") == "new"
            assert target.dbsize() > 0


def _move(slot: int, source: redis.Redis, target: redis.Redis) -> None:
    ids = [client.cluster("MYID").decode() for client in (source, target)]
    target.cluster("SETSLOT", slot, "IMPORTING", ids[0])
    source.cluster("SETSLOT", slot, "MIGRATING", ids[1])
    keys = source.cluster("GETKEYSINSLOT", slot, 100)
    port = target.connection_pool.connection_kwargs["port"]
    source.execute_command("MIGRATE", HOST, port, "", 0, 5000, "KEYS", *keys)
    for client in (target, source):
        client.cluster("SETSLOT", slot, "NODE", ids[1])
