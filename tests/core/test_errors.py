from __future__ import annotations

import pickle

import pytest

from zoocache_core import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InvalidTag", ValueError),
        ("StorageIsFull", Exception),
        ("NotConfigured", RuntimeError),
        ("ConfigurationError", ValueError),
        ("BusUnavailable", ConnectionError),
        ("UnsupportedValue", TypeError),
    ],
)
def test_each_error_is_a_zoocache_error_and_the_builtin_that_describes_it(
    name: str, builtin: type[Exception]
) -> None:
    error_class = getattr(errors, name)
    error = error_class("what went wrong")
    assert isinstance(error, errors.ZooCacheError)
    assert isinstance(error, builtin)
    assert str(error) == "what went wrong"
    # Task queues and process pools send exceptions between processes.
    assert str(pickle.loads(pickle.dumps(error))) == "what went wrong"


def test_nothing_else_is_exported() -> None:
    assert sorted(errors.__all__) == [
        "BusUnavailable",
        "ConfigurationError",
        "InvalidTag",
        "NotConfigured",
        "StorageIsFull",
        "UnsupportedValue",
        "ZooCacheError",
    ]
