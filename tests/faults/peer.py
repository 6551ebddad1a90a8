"""Another process with an engine, driven by the test line by line.

``Peer(settings)`` starts one. ``peer("engine.get('k')")`` evaluates an expression there and returns
what it is; ``peer.begin(...)`` does not wait for that, and ``peer.result()`` does.
``python -m tests.faults.peer`` is the other end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import wait_until

__all__ = ["Peer"]

ROOT = Path(__file__).parents[2]


class Peer:
    """A process with ``engine``, configured with ``settings``."""

    def __init__(self, **settings: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.peer", json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.result() == "ready"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __call__(self, expression: str) -> Any:
        self.begin(expression)
        return self.result()

    def run(self, statements: str) -> None:
        """Execute statements; their names stay."""
        self(f"exec({statements!r}, names)")

    def begin(self, expression: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(expression) + "\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the peer ended with status {self._process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"in the peer: {answer['error']}")
        return answer["value"]

    def wait_until_stopped(self) -> None:
        """Return when the process has stopped itself."""
        state = Path(f"/proc/{self.pid}/stat")
        assert wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", 10)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def serve() -> None:
    from zoocache_core.engine import Engine

    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    names: dict[str, Any] = {"engine": Engine(**json.loads(sys.argv[1]))}
    names["names"] = names
    answer(value="ready")
    for line in sys.stdin:
        try:
            answer(value=eval(json.loads(line), names))
        except Exception as error:
            answer(error=repr(error))


if __name__ == "__main__":
    serve()
