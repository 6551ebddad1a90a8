"""The configuration examples that users are given run as they are written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import zoocache
from zoocache import ConfigurationError
from zoocache_core.settings import Settings

PRUNING = """\
configure(
auto_prune_secs=86400, # Prune tags not used in the last 24h
auto_prune_interval=3600 # Run the pruning worker every hour
)
"""

TUNING = {
    "lru_update_interval": 30,
    "lmdb_map_size": 1 << 24,
    "tti_flush_secs": 30,
    "flight_timeout": 60,
}


BASIC = """\
from zoocache import configure
configure(
storage_url="redis://localhost:6379", # Storage backend
bus_url="redis://localhost:6379", # Distributed bus
prefix="myapp_prod", # Namespace isolation
default_ttl=3600, # Default expiration
)
"""

BUS = """\
configure(
bus_url="redis://localhost:6379",
prefix="my_service" # Nodes with same prefix share invalidations
)
"""


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    zoocache.reset()
    yield
    zoocache.reset()


@pytest.mark.parametrize("example", [BASIC, BUS])
def test_an_example_with_redis_runs_as_written(example: str, redis_url: str) -> None:
    exec(
        example.replace("redis://localhost:6379", redis_url),
        {"configure": zoocache.configure},
    )
    zoocache.set("k", {"a": 1}, deps="t")
    assert zoocache.get("k") == {"a": 1}
    zoocache.invalidate("t")
    assert zoocache.get("k") is None
    assert zoocache.stats().errors == 0


def test_automatic_pruning_runs_as_written() -> None:
    exec(PRUNING, {"configure": zoocache.configure})
    assert zoocache.default_engine.settings.auto_prune_secs == 86400
    assert zoocache.default_engine._pruner is not None


def test_every_tuning_option_is_accepted() -> None:
    zoocache.configure(**TUNING)
    for name, value in TUNING.items():
        assert getattr(zoocache.default_engine.settings, name) == value


def test_documented_types() -> None:
    assert Settings.of({"read_extend_ttl": False}).read_extend_ttl is False
    assert Settings.of({"default_ttl": 3600}).default_ttl == 3600
    with pytest.raises(ConfigurationError, match="max_entries"):
        zoocache.configure(max_entries="many")
