"""Where a Redis is and how to connect to it.

The URL forms of redis-py, and one for Sentinel::

    redis://[[user]:password@]host[:port][/db][?option=value...]
    rediss://...                                             the same over TLS
    unix://[[user]:password@]/path/to/socket[?db=0]
    redis+sentinel://[[user]:password@]host[:port],host[:port].../service[/db][?option=value...]
    rediss+sentinel://...                                    the same over TLS

With Sentinel, every new connection asks the sentinels for the present master. Options are those of
redis-py's connections (``ssl_ca_certs``, ``client_name``, ``socket_timeout``, ...), and
``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from redis import connection as blocking_module
from redis.asyncio import connection as asynchronous_module
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from zoocache_core.errors import ConfigurationError

if TYPE_CHECKING:
    from zoocache_core.redis.wire import AsyncConnection, BlockingConnection

__all__ = ["Address", "masked"]

# redis-py is typed in part only.
blocking: Any = blocking_module
asynchronous: Any = asynchronous_module

_SENTINEL_PORT = 26379

_KEEPALIVE = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
"""So that a connection does not lie idle for so long that a firewall forgets it."""

_FORMS = (
    "redis://host:port/db, rediss://host:port/db, unix:///path?db=0 or "
    "redis+sentinel://host:port,host:port/service/db"
)


def masked(url: str) -> str:
    """``url`` without its password, for messages."""
    url = re.sub(r"(://[^/@]*:)[^@]*@", r"\1***@", url)
    return re.sub(r"([?&]password=)[^&#]*", r"\1***", url)


@dataclass(frozen=True)
class Address:
    """A server, found directly or through Sentinel. ``timeout`` (s) bounds each operation."""

    url: str
    timeout: float
    options: Mapping[str, Any]
    kind: str
    sentinels: list[tuple[str, int]] = field(default_factory=list)
    service: str = ""
    sentinel_options: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, url: str, timeout: float) -> Address:
        """Understand ``url``.

        Raises:
            ConfigurationError: it is malformed or has an option that redis-py does not know.
        """
        try:
            parse = _with_sentinel if "+sentinel://" in url else _direct
            address = parse(url, timeout)
            # Makes the objects without connecting, so that unknown options are found now.
            address._blocking("localhost", 0)
            address._asynchronous("localhost", 0)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The Redis URL {masked(url)!r} is not understood: {error}. Expected {_FORMS}."
            ) from error
        return address

    def same_server(self, other: Address) -> bool:
        """Whether both name the same database of the same server (credentials do not matter)."""
        return self._place() == other._place()

    def _place(self) -> tuple[Any, ...]:
        options = self.options
        host = (options.get("host"), options.get("port", 6379))
        place = frozenset(self.sentinels) or options.get("path") or host
        return place, self.service, options.get("db", 0)

    def __str__(self) -> str:
        """The server and the database, without credentials."""
        place, service, db = self._place()
        server = service or (place if isinstance(place, str) else ":".join(map(str, place)))
        return f"Redis at {server}, database {db}"

    def connect(self, place: tuple[str, int] | None = None) -> BlockingConnection:
        """A new blocking connection, logged in; to ``place``, if another is to be asked than the
        URL names. Raises ``redis.RedisError``."""
        host, port = place or ("", 0)
        if self.service and place is None:
            sentinel = _sentinel(Sentinel, Retry, self)
            try:
                host, port = sentinel.discover_master(self.service)
                self._prefer(sentinel.sentinels[0])
            finally:
                for client in sentinel.sentinels:
                    client.close()
        connection = self._blocking(host, port)
        connection.connect()
        return connection

    async def aconnect(self, place: tuple[str, int] | None = None) -> AsyncConnection:
        """:meth:`connect`, asynchronously. Raises ``redis.RedisError``.

        It has no timeout of its own: whoever uses it sets one around each exchange.
        """
        host, port = place or ("", 0)
        if self.service and place is None:
            sentinel = _sentinel(AsyncSentinel, AsyncRetry, self)
            try:
                host, port = await sentinel.discover_master(self.service)
                self._prefer(sentinel.sentinels[0])
            finally:
                for client in sentinel.sentinels:
                    await client.aclose()
        connection = self._asynchronous(host, port)
        await connection.connect()
        return connection

    def _prefer(self, answered: Any) -> None:
        """Ask the sentinel that answered first of all next time: others may be down."""
        options = answered.connection_pool.connection_kwargs
        best = (options["host"], options["port"])
        self.sentinels.sort(key=lambda place: place != best)

    def _blocking(self, host: str, port: int) -> BlockingConnection:
        kinds = {
            "tcp": blocking.Connection,
            "tls": blocking.SSLConnection,
            "unix": blocking.UnixDomainSocketConnection,
        }
        options = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            **self._common(host, port),
            "retry": Retry(NoBackoff(), 0),
        }
        connection: BlockingConnection = kinds[self.kind](**options)
        return connection

    def _asynchronous(self, host: str, port: int) -> AsyncConnection:
        kinds = {
            "tcp": asynchronous.Connection,
            "tls": asynchronous.SSLConnection,
            "unix": asynchronous.UnixDomainSocketConnection,
        }
        options = {
            **self._common(host, port),
            # redis-py would make a task for every write to enforce it; the exchange has its own.
            "socket_timeout": None,
            "socket_connect_timeout": self.timeout,
            "retry": AsyncRetry(NoBackoff(), 0),
        }
        connection: AsyncConnection = kinds[self.kind](**options)
        return connection

    def _common(self, host: str, port: int) -> dict[str, Any]:
        options = dict(self.options)
        if self.kind != "unix":
            options.setdefault("socket_keepalive", True)
            options.setdefault("socket_keepalive_options", _KEEPALIVE)
            if host:
                options.update(host=host, port=port)
        # Replies stay bytes, and none comes unasked.
        return {**options, "decode_responses": False, "protocol": 2}


def _sentinel(kind: Any, retry: Any, address: Address) -> Any:
    options = {"socket_timeout": address.timeout, **(address.sentinel_options or {})}
    return kind(address.sentinels, sentinel_kwargs={**options, "retry": retry(NoBackoff(), 0)})


def _direct(url: str, timeout: float) -> Address:
    options = dict(blocking.parse_url(url))
    options.pop("connection_class", None)
    scheme = url.partition("://")[0]
    kind = {"redis": "tcp", "rediss": "tls", "unix": "unix"}[scheme]
    if kind == "unix" and not options.get("path"):
        raise ValueError("it has no path to a socket")
    if kind != "unix":
        options.setdefault("host", "localhost")
        path = urlsplit(url).path.strip("/")
        if path and not path.isdigit():
            raise ValueError(f"the database {path!r} is not a number")
    return Address(url, options.pop("socket_timeout", timeout), options, kind)


def _with_sentinel(url: str, timeout: float) -> Address:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError("it must name sentinels and the service that they watch")
    sentinels = []
    for place in hosts.split(","):
        match = re.fullmatch(r"(\[[^]]+\]|[^:]+)(?::(\d+))?", place)
        if match is None:
            raise ValueError(f"{place!r} is not a host with an optional port")
        sentinels.append((unquote(match[1]).strip("[]"), int(match[2] or _SENTINEL_PORT)))
    tls = parts.scheme == "rediss+sentinel"
    plain = f"redis://{login + '@' if login else ''}sentinel/{db}?{parts.query}"
    address = _direct(plain, timeout)
    options = dict(address.options)
    del options["host"]
    own = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    if tls:
        own.update({k: v for k, v in options.items() if k.startswith("ssl_")}, ssl=True)
    return Address(url, address.timeout, options, "tls" if tls else "tcp", sentinels, service, own)
