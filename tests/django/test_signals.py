"""What an application can listen to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.dispatch import Signal
from django.test import override_settings

from zoocache_core import default_engine
from zoocache_django.conf import read
from zoocache_django.signals import cache_hit, cache_invalidated, cache_miss

Told = list[tuple[str, Any]]


@pytest.fixture
def told() -> Iterator[Told]:
    events: Told = []

    def receiver(name: str, field: str) -> Any:
        def receive(sender: Any, **kwargs: Any) -> None:
            assert sender is default_engine
            events.append((name, kwargs[field]))

        return receive

    signals: list[tuple[Signal, Any]] = [
        (cache_hit, receiver("hit", "key")),
        (cache_miss, receiver("miss", "key")),
        (cache_invalidated, receiver("invalidated", "tags")),
    ]
    for signal, receive in signals:
        signal.connect(receive)
    yield events
    for signal, receive in signals:
        signal.disconnect(receive)


def use() -> None:
    default_engine.get("k")
    default_engine.set("k", 1, deps="a:b")
    default_engine.get("k")
    default_engine.invalidate("a")
    default_engine.get("k")
    default_engine.clear()


def test_hits_misses_and_invalidations_are_told(told: Told) -> None:
    with override_settings(ZOOCACHE={"SIGNALS": True}):
        use()
    assert told == [
        ("miss", "k"),
        ("hit", "k"),
        ("invalidated", ("a",)),
        ("miss", "k"),
        ("invalidated", ("",)),
    ]


def test_nothing_is_told_unless_asked_for(told: Told) -> None:
    use()
    assert told == []


def test_a_receiver_that_fails_does_not_break_the_cache() -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no")

    cache_miss.connect(fail)
    try:
        with override_settings(ZOOCACHE={"SIGNALS": True}):
            assert default_engine.get("k", 7) == 7
    finally:
        cache_miss.disconnect(fail)


def test_settings_with_signals_can_be_compared() -> None:
    assert read({"SIGNALS": True}).core == read({"SIGNALS": True}).core
    assert read({"SIGNALS": "yes"}).problems[0].check_id == "zoocache.E004"
