"""The optional packages: what to say when one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from zoocache_core.errors import ConfigurationError

__all__ = ["needs_extra"]

_MODULES: Final = {"lmdb": ("lmdb",), "redis": ("redis", "hiredis")}


@contextmanager
def needs_extra(extra: str, option: str) -> Iterator[None]:
    """Around imports for which ``extra`` must be installed, because ``option`` was set.

    Raises:
        ConfigurationError: it is not; the message has the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _MODULES[extra]:
            raise
        raise ConfigurationError(
            f"Option {option} needs a package that is not installed. "
            f'Install it with: pip install "zoocache-frameworks[{extra}]"'
        ) from error
