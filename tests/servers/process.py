"""A server program: started, watched until it answers, stopped by pid."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"
START_DEADLINE = 30.0
STOP_DEADLINE = 15.0
PORT_ATTEMPTS = 5


class ServerDidNotStart(RuntimeError):
    """The message carries the command, its exit status and what it wrote to its log."""


def free_port() -> int:
    """A TCP port that is free now. Another process may take it, so starts are retried."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """One server program: started, watched until it answers, stopped by pid.

    Subclasses give the command line and the question that a ready server answers.
    """

    name: str

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._popen_options: dict[str, Any] = {}
        self._owner = os.getpid()
        atexit.register(self.close)

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether this very process answers, and not another that holds its port."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start on this server's port; the first start may choose another if it was taken."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already, with pid {self.pid}")
        attempts = PORT_ATTEMPTS if self._process is None else 1
        for attempt in range(1, attempts + 1):
            try:
                self._start_once()
            except ServerDidNotStart:
                if attempt == attempts or "address already in use" not in self.log.lower():
                    raise
                self.port = free_port()
            else:
                break
        return self

    def _start_once(self) -> None:
        command = self.command()
        with (self.directory / "log").open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    **self._popen_options,
                )
            except OSError as error:
                raise ServerDidNotStart(f"{self.name}: {command[0]}: {error}") from error
        ready = wait_until(lambda: not self.running or self.answers(), START_DEADLINE)
        if ready and self.running:
            return
        ended = self._process.poll()
        self.kill()
        what = "gave no answer in time" if ended is None else f"exited with {ended}"
        raise ServerDidNotStart(f"{self.name} {what}: {' '.join(command)}\n{self.log}")

    def stop(self) -> None:
        """Ask the server to end, and end it by force if it does not; data on disk is kept."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the server gets no chance to save anything or to say goodbye."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        os.kill(self.pid, number)
        # A stopped process receives only SIGKILL until it is continued.
        os.kill(self.pid, signal.SIGCONT)
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and the kernel accepts new ones, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self._wait_for_state(os.WUNTRACED, os.WIFSTOPPED)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self._wait_for_state(os.WCONTINUED, os.WIFCONTINUED)

    def _wait_for_state(self, option: int, reached: Callable[[int], bool]) -> None:
        _, status = os.waitpid(self.pid, option)
        if not reached(status):
            raise RuntimeError(f"{self.name} ended with wait status {status}\n{self.log}")

    def close(self) -> None:
        """Stop the server and remove its directory. May be called twice.

        Nothing happens in a forked child, which runs its copy of the exit handlers.
        """
        if os.getpid() != self._owner:
            return
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()


def wait_until(condition: Callable[[], bool], deadline: float, interval: float = 0.01) -> bool:
    """Whether `condition()` became true within `deadline` seconds."""
    give_up = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(interval)
    return True


def packaged_programs(package: str, pattern: str) -> list[Path]:
    """Programs that an installed package carries; found without importing the package."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    return sorted(Path(spec.submodule_search_locations[0]).glob(pattern))
