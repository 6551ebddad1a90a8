"""Events as Prometheus metrics: ``configure(events=[PrometheusSink()])``."""

from __future__ import annotations

from collections.abc import Sequence

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "PrometheusSink needs the package prometheus-client: "
        'pip install "zoocache-frameworks[prometheus]"'
    ) from error

__all__ = ["PrometheusSink"]

_SECONDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class PrometheusSink:
    """Counts events and observes durations (in seconds).

    Metrics: ``<namespace>_lookups_total{outcome=hit|miss|stale}``, ``_sets_total``,
    ``_invalidated_tags_total``, ``_evictions_total``, ``_errors_total{operation}``,
    ``_flight_wait_seconds`` and ``_bus_lag_seconds``. Keys and tags are not labels: there is no
    bound on how many there are.

    Args:
        registry: where the metrics are registered; the client's default one if left out.
        namespace: what their names begin with. Two sinks on one registry need two namespaces.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY, namespace: str = "zoocache") -> None:
        lookups = Counter(
            "lookups", "Lookups by outcome.", ["outcome"], namespace=namespace, registry=registry
        )
        self._hit = lookups.labels("hit").inc
        self._miss = lookups.labels("miss").inc
        self._stale = lookups.labels("stale").inc
        self._set = Counter("sets", "Entries stored.", namespace=namespace, registry=registry).inc
        self._invalidated = Counter(
            "invalidated_tags", "Tags invalidated.", namespace=namespace, registry=registry
        ).inc
        self._evicted = Counter(
            "evictions", "Entries dropped to make room.", namespace=namespace, registry=registry
        ).inc
        self._errors = Counter(
            "errors",
            "Failures that callers did not see.",
            ["operation"],
            namespace=namespace,
            registry=registry,
        )
        self._flight_wait = Histogram(
            "flight_wait_seconds",
            "Waits for another caller's computation.",
            namespace=namespace,
            registry=registry,
            buckets=_SECONDS,
        ).observe
        self._bus_lag = Histogram(
            "bus_lag_seconds",
            "Age of other processes' invalidations when they arrived.",
            namespace=namespace,
            registry=registry,
            buckets=_SECONDS,
        ).observe

    def hit(self, key: str) -> None:
        self._hit()

    def miss(self, key: str) -> None:
        self._miss()

    def stale(self, key: str) -> None:
        self._stale()

    def set(self, key: str) -> None:
        self._set()

    def invalidate(self, tags: Sequence[str]) -> None:
        self._invalidated(len(tags))

    def evict(self, count: int) -> None:
        self._evicted(count)

    def error(self, operation: str, error: BaseException) -> None:
        self._errors.labels(operation).inc()

    def flight_wait(self, key: str, seconds: float) -> None:
        self._flight_wait(seconds)

    def bus_lag(self, seconds: float) -> None:
        self._bus_lag(seconds)
