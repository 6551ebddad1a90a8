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


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    zoocache.reset()
    yield
    zoocache.reset()


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
