"""The threads in which pages are made anew."""

from __future__ import annotations

import os
import threading

import pytest

from tests.servers import wait_until
from zoocache_core.http.background import Threads


def test_there_are_never_more_than_the_limit_and_none_without_work():
    threads, may_end, done = Threads(limit=2), threading.Event(), []

    def work() -> None:
        assert may_end.wait(10)
        done.append(threading.current_thread())

    assert [threads.start(work) for _ in range(4)] == [True, True, False, False]
    may_end.set()
    assert wait_until(lambda: len(done) == 2, 10)
    for thread in done:
        thread.join(10)
        assert not thread.is_alive()
    assert threads.start(work)
    assert wait_until(lambda: len(done) == 3, 10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_fails_leaves_room_for_the_next():
    threads, ended = Threads(limit=1), []

    def fail() -> None:
        ended.append(threading.current_thread())
        raise ValueError("broken")

    for number in (1, 2, 3):
        assert wait_until(lambda: threads.start(fail), 10)
        assert wait_until(lambda number=number: len(ended) == number, 10)
        ended[-1].join(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_begins_without_threads():
    threads, may_end = Threads(limit=1), threading.Event()
    assert threads.start(lambda: may_end.wait(10))
    child = os.fork()
    if child == 0:
        started = threads.start(lambda: None)
        os._exit(0 if started else 1)
    status = os.waitpid(child, 0)[1]
    may_end.set()
    assert os.waitstatus_to_exitcode(status) == 0
