"""Settings: every option of the user's document, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from zoocache_core import ConfigurationError, Engine
from zoocache_core.settings import Settings

DOCUMENTED = {
    "storage_url": None,
    "bus_url": None,
    "prefix": None,
    "default_ttl": None,
    "read_extend_ttl": True,
    "max_entries": None,
    "lru_update_interval": 30,
    "tti_flush_secs": 30,
    "flight_timeout": 60,
}


def test_the_documented_defaults() -> None:
    settings = Settings.of({})
    assert {name: getattr(settings, name) for name in DOCUMENTED} == DOCUMENTED


def test_an_unknown_option_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"'defaul_ttl'.*Did you mean 'default_ttl'"):
        Engine(defaul_ttl=3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("storage_url", 3),
        ("storage_url", "localhost"),
        ("bus_url", b"redis://x"),
        ("prefix", ""),
        ("prefix", "a b"),
        ("prefix", "{a}"),
        ("prefix", 1),
        ("default_ttl", 0),
        ("default_ttl", -5),
        ("default_ttl", "60"),
        ("default_ttl", True),
        ("default_ttl", float("inf")),
        ("default_ttl", float("nan")),
        ("read_extend_ttl", 1),
        ("read_extend_ttl", None),
        ("max_entries", 0),
        ("max_entries", 1.5),
        ("max_entries", True),
        ("auto_prune_secs", 0),
        ("auto_prune_interval", None),
        ("lru_update_interval", "30"),
        ("lmdb_map_size", 100),
        ("lmdb_map_size", "1GB"),
        ("tti_flush_secs", -1),
        ("flight_timeout", 0),
        ("max_staleness", float("inf")),
        ("near_max_entries", 0),
        ("compress_min_bytes", -1),
        ("socket_timeout", 0),
        ("events", "sink"),
        ("events", [object()]),
        ("clock", object()),
    ],
)
def test_a_wrong_value_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option}=.*expected"):
        Settings.of({option: value})


@pytest.mark.parametrize("value", ["short", b"short", 3, [], ["x" * 16, 3], {}])
def test_a_bad_secret_is_refused_without_being_shown(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret_key") as caught:
        Settings.of({"secret_key": value})
    assert "short" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    settings = Settings.of({"secret_key": ["s" * 20, b"t" * 20]})
    assert settings.secret_key == (b"s" * 20, b"t" * 20)
    assert "ssss" not in repr(settings)
    engine = Engine(secret_key="s" * 20)
    with pytest.raises(ConfigurationError) as caught:
        engine.configure(secret_key="u" * 20)
    assert "secret_key" in str(caught.value)
    assert "uuuu" not in str(caught.value)


def test_durations_may_be_timedeltas() -> None:
    assert Settings.of({"default_ttl": dt.timedelta(minutes=1)}).default_ttl == 60


def test_a_near_cache_needs_something_to_be_near_to() -> None:
    with pytest.raises(ConfigurationError, match="near_max_entries"):
        Settings.of({"near_max_entries": 100})
