"""Optional packages that are not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zoocache_core.extras import needs_extra


@pytest.mark.parametrize(
    ("package", "settings", "message"),
    [
        ("lmdb", "storage_url='lmdb://./x'", "storage_url=lmdb://… needs"),
        ("redis", "storage_url='redis://u:secret@h'", "storage_url=redis://… needs"),
        ("redis", "bus_url='redis://u:secret@h'", "bus_url needs"),
        ("hiredis", "storage_url='redis://u:secret@h'", "storage_url=redis://… needs"),
    ],
)
def test_the_command_that_installs_it_is_named(package: str, settings: str, message: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
from zoocache_core import BusUnavailable, ConfigurationError, Engine
try:
    Engine({settings})
except ConfigurationError as error:
    assert {message!r} in str(error), error
    assert 'pip install "zoocache-frameworks[{package.removeprefix("hi")}]"' in str(error), error
    assert "secret" not in str(error), error
else:
    raise SystemExit("no error")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_missing_for_another_reason_is_not_hidden() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="no_such_module"),
        needs_extra("redis", "bus_url"),
    ):
        import no_such_module  # noqa: F401
