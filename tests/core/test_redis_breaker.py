"""The circuit breaker: nobody waits for a server known to be down, and it is tried again."""

from __future__ import annotations

import threading
import time

import pytest

from tests.servers import wait_until
from zoocache_core.redis import breaker as breaker_module
from zoocache_core.redis.breaker import Breaker


class Server:
    """Down until told otherwise; counts the attempts to reach it."""

    def __init__(self) -> None:
        self.up = False
        self.waiting = False
        self.attempts = 0
        self.breaker = Breaker(self.attempt, lambda: self.waiting)

    def attempt(self) -> bool:
        self.attempts += 1
        if self.up:
            self.waiting = False
            self.breaker.closed()
        return self.up


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(breaker_module, "_FIRST_PAUSE", 0.005)
    monkeypatch.setattr(breaker_module, "_LONGEST_PAUSE", 0.02)
    return Server()


def healers() -> int:
    return sum(thread.name == "zoocache-redis" for thread in threading.enumerate())


def test_it_tries_until_the_server_is_back(server: Server) -> None:
    server.breaker.open(OSError("down"))
    assert wait_until(lambda: server.attempts >= 3, 10)
    assert str(server.breaker.reason) == "down"
    server.up = True
    assert wait_until(lambda: server.breaker.reason is None, 10)
    assert wait_until(lambda: healers() == 0, 10), "the thread ends when there is nothing to do"
    server.up = False
    server.breaker.open(OSError("again"))
    server.up = True
    assert wait_until(lambda: server.breaker.reason is None, 10)


def test_it_goes_on_while_something_is_to_be_delivered(server: Server) -> None:
    server.waiting = True
    server.breaker.heal()
    assert wait_until(lambda: server.attempts >= 3, 10)
    server.up = True
    assert wait_until(lambda: healers() == 0, 10)
    assert server.waiting is False


def test_one_healer_for_any_number_of_failures(server: Server) -> None:
    threads = [
        threading.Thread(target=server.breaker.open, args=(OSError("down"),)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert healers() == 1
    server.breaker.close()
    assert healers() == 0


def test_where_threads_do_not_run_one_caller_at_a_time_tries(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in uWSGI without ``enable-threads``."""
    monkeypatch.setattr(breaker_module, "_GRACE", 0.01)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    assert not server.breaker.overdue(), "nothing is wrong yet"
    server.breaker.open(OSError("down"))
    assert wait_until(server.breaker.overdue, 10)
    assert not server.breaker.overdue(), "the next caller is not to try as well"
    assert wait_until(server.breaker.overdue, 10)


def test_a_forked_child_heals_by_itself(server: Server) -> None:
    server.breaker.open(OSError("down"))
    server.breaker.close()
    attempts = server.attempts
    server.breaker.after_fork()
    assert wait_until(lambda: server.attempts > attempts, 10)
    server.up = True
    assert wait_until(lambda: server.breaker.reason is None, 10)


def test_after_it_was_closed_nothing_is_tried(server: Server) -> None:
    server.breaker.close()
    server.breaker.open(OSError("down"))
    time.sleep(0.05)
    assert server.attempts == 0
