"""Events as OpenTelemetry metrics: ``configure(events=[OpenTelemetrySink()])``."""

from __future__ import annotations

from collections.abc import Sequence

try:
    from opentelemetry.metrics import Meter, get_meter
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "OpenTelemetrySink needs the package opentelemetry-api: "
        'pip install "zoocache-frameworks[opentelemetry]"'
    ) from error

__all__ = ["OpenTelemetrySink"]

_OUTCOMES = {outcome: {"outcome": outcome} for outcome in ("hit", "miss", "stale")}


class OpenTelemetrySink:
    """Counts events and records durations (in seconds).

    Instruments: ``zoocache.lookups`` (attribute ``outcome``: hit, miss or stale),
    ``zoocache.sets``, ``zoocache.invalidated_tags``, ``zoocache.evictions``, ``zoocache.errors``
    (attribute ``operation``), ``zoocache.flight_wait`` and ``zoocache.bus_lag``. Keys and tags are
    not attributes: there is no bound on how many there are.

    Args:
        meter: what the instruments are made from; the global provider's if left out.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        meter = meter or get_meter("zoocache")
        self._lookups = meter.create_counter("zoocache.lookups", description="Lookups by outcome.")
        self._sets = meter.create_counter("zoocache.sets", description="Entries stored.")
        self._invalidated = meter.create_counter(
            "zoocache.invalidated_tags", description="Tags invalidated."
        )
        self._evictions = meter.create_counter(
            "zoocache.evictions", description="Entries dropped to make room."
        )
        self._errors = meter.create_counter(
            "zoocache.errors", description="Failures that callers did not see."
        )
        self._flight_wait = meter.create_histogram(
            "zoocache.flight_wait", "s", "Waits for another caller's computation."
        )
        self._bus_lag = meter.create_histogram(
            "zoocache.bus_lag", "s", "Age of other processes' invalidations when they arrived."
        )

    def hit(self, key: str) -> None:
        self._lookups.add(1, _OUTCOMES["hit"])

    def miss(self, key: str) -> None:
        self._lookups.add(1, _OUTCOMES["miss"])

    def stale(self, key: str) -> None:
        self._lookups.add(1, _OUTCOMES["stale"])

    def set(self, key: str) -> None:
        self._sets.add(1)

    def invalidate(self, tags: Sequence[str]) -> None:
        self._invalidated.add(len(tags))

    def evict(self, count: int) -> None:
        self._evictions.add(count)

    def error(self, operation: str, error: BaseException) -> None:
        self._errors.add(1, {"operation": operation})

    def flight_wait(self, key: str, seconds: float) -> None:
        self._flight_wait.record(seconds)

    def bus_lag(self, seconds: float) -> None:
        self._bus_lag.record(seconds)
