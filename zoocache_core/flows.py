"""One piece of logic for both colours of function.

A *flow* is a generator that contains the decisions of an operation and yields its *steps*: the
calls that may block. :func:`run` performs the steps by calling them, :func:`arun` by awaiting their
asynchronous twins, so the decisions (what is stale, who computes, what is stored) exist once.
The approach is the one usually called "sans-I/O".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

__all__ = ["Flow", "Step", "arun", "run"]

T = TypeVar("T")

Step = tuple[Callable[..., Any], Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]
"""A blocking callable, its asynchronous twin, and the arguments for either."""

Flow = Generator[Step, Any, T]


def run(flow: Flow[T]) -> T:
    """Drive ``flow`` by calling the blocking side of each step."""
    try:
        step = next(flow)
        while True:
            try:
                result = step[0](*step[2])
            except BaseException as error:  # noqa: BLE001  the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def arun(flow: Flow[T]) -> T:
    """Drive ``flow`` by awaiting the asynchronous side of each step."""
    try:
        step = next(flow)
        while True:
            try:
                result = await step[1](*step[2])
            except BaseException as error:  # noqa: BLE001  the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
