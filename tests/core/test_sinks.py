"""Sinks for metrics systems, with the real clients."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from zoocache_core import Engine
from zoocache_core.sinks.opentelemetry import OpenTelemetrySink
from zoocache_core.sinks.prometheus import PrometheusSink


def live(sink: Any) -> None:
    """One of each event."""
    engine = Engine(events=[sink], max_entries=1)
    engine.get("k")
    engine.set("k", 1, deps="t")
    engine.get("k")
    engine.invalidate("t", "u")
    engine.get("k")
    engine.set("other", 1)
    engine.fetch("x", lambda: (n for n in ()))
    sink.flight_wait("k", 0.25)
    sink.bus_lag(0.5)


EXPECTED = {
    "lookups hit": 1,
    "lookups miss": 2,
    "lookups stale": 1,
    "sets": 2,
    "invalidated_tags": 2,
    "evictions": 1,
    "errors freeze": 1,
    "flight_wait": 0.25,
    "bus_lag": 0.5,
}


def test_prometheus() -> None:
    registry = CollectorRegistry()
    live(PrometheusSink(registry, namespace="app"))
    found: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name.endswith(("_total", "_seconds_sum")):
                name = sample.name.removeprefix("app_").removesuffix("_total")
                name = name.removesuffix("_seconds_sum")
                found[" ".join([name, *sample.labels.values()])] = sample.value
    assert found == EXPECTED


def test_opentelemetry() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    live(OpenTelemetrySink(provider.get_meter("test")))
    data = reader.get_metrics_data()
    assert data is not None
    found: dict[str, float] = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    name = metric.name.removeprefix("zoocache.")
                    labels = [str(value) for value in (point.attributes or {}).values()]
                    value: Any = point
                    found[" ".join([name, *labels])] = getattr(value, "value", None) or value.sum
    assert found == EXPECTED
    provider.shutdown()


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry.metrics", "opentelemetry"),
    ],
)
def test_a_missing_extra_names_the_command(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"zoocache_core.sinks.{module}")
    with pytest.raises(ModuleNotFoundError, match=rf"zoocache-frameworks\[{extra}\]"):
        importlib.import_module(f"zoocache_core.sinks.{module}")
