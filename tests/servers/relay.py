"""A TCP relay in front of a server, to take the network away from one of its clients."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
from typing import TYPE_CHECKING

from tests.servers.process import HOST

if TYPE_CHECKING:
    from typing_extensions import Self


class Relay:
    """Passes bytes between whoever connects to `port` and the server at `target`.

    It runs in a thread of the test's own process and ends with :meth:`close`.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._passing = threading.Event()
        self._passing.set()
        self._closed = False
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def hold(self) -> None:
        """A partition: connections stay open and are accepted, but nothing gets through."""
        self._passing.clear()

    def release(self) -> None:
        """End of :meth:`hold`: what was held is delivered, however late."""
        self._passing.set()

    def cut(self) -> None:
        """Reset every connection; new ones may be made at once."""
        pairs, self._pairs = self._pairs, []
        for one in itertools.chain.from_iterable(pairs):
            # Closed by the thread that waits for it, which would not notice otherwise.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._passing.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((HOST, self._target))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            self._run(self._pass, client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while self._move(selector):
                pass
        client.close()
        server.close()

    def _move(self, selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select():
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            self._passing.wait()
            if not data:
                return False
            key.data.sendall(data)
        return True
