"""Many threads at once, with their results and a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from zoocache_core.missing import MISSING

__all__ = ["in_threads"]


def in_threads(count: int, work: Callable[[int], Any], timeout: float = 30) -> list[Any]:
    """Run ``work(0)`` … ``work(count - 1)`` at once; their results, or the first exception."""
    results: list[Any] = [MISSING] * count
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            results[index] = work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"a thread did not finish within {timeout} seconds")
    if errors:
        raise errors[0]
    return results
