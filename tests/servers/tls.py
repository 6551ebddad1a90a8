"""A TLS front for a server, as managed Redis services have it."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from tests.servers.process import HOST

if TYPE_CHECKING:
    from typing_extensions import Self


class TlsFront:
    """Decrypts for whoever connects to `port` and passes on to the server at `target`.

    `authority` is the file of the certificate authority that its certificate comes from.
    """

    def __init__(self, target: int, directory: Path) -> None:
        self._target = target
        issuer = trustme.CA()
        self.authority = directory / "ca.pem"
        issuer.cert_pem.write_to_path(str(self.authority))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(HOST, "localhost").configure_cert(self._context)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                # Closed: that is how it ends.
                return
            self._start(self._serve, raw)

    def _serve(self, raw: socket.socket) -> None:
        try:
            outer = self._context.wrap_socket(raw, server_side=True)
        except OSError:
            # A client that does not trust the certificate goes away.
            raw.close()
            return
        inner = socket.create_connection((HOST, self._target))
        self._open += [outer, inner]
        self._start(self._pass, outer, inner)
        self._pass(inner, outer)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            # One end is gone; the other learns it from its own side.
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            # Unless it is closed already.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(5)
