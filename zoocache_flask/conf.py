"""An application's configuration, read and judged.

Options are the fields of ``zoocache_core.settings.Settings`` and of :class:`Options`. They are
written in one dict, ``app.config["ZOOCACHE"] = {"prefix": "shop"}`` (in lower or upper case), or as
keys of their own, ``app.config["ZOOCACHE_PREFIX"] = "shop"``, which environment variables can set
through ``app.config.from_prefixed_env()``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final

from flask import Flask

from zoocache_core import ConfigurationError
from zoocache_core.settings import Settings

__all__ = ["DEFAULT", "OPTION_NAMES", "Options", "read", "signing_keys"]

DEFAULT: Final = "default"
"""The name of an application's first cache."""


@dataclass(frozen=True)
class Options:
    """The options of the adapter itself."""

    shared_globals: frozenset[str] = frozenset()
    """Attributes of ``flask.g`` that hold nothing of a visitor's, such as connections, although
    they are set before the view runs. Pages that read any other attribute are kept apart by it."""
    signals: bool = False
    """Whether lookups of values and invalidations are told by signals, as those of pages are."""
    sqlalchemy: Mapping[str, Any] | None = field(default_factory=dict)
    """Whether what is read and written through Flask-SQLAlchemy is tracked: ``True``, ``False``
    (here ``None``), or a dict of the arguments ``name`` and ``triggers`` of
    ``zoocache_flask.sqlalchemy.track``."""


_CORE_NAMES: Final = tuple(option.name for option in fields(Settings))
_OWN_NAMES: Final = tuple(option.name for option in fields(Options))
OPTION_NAMES: Final = _CORE_NAMES + _OWN_NAMES


def read(app: Flask, name: str) -> tuple[dict[str, Any], Options]:
    """The engine's options and the adapter's, for the cache called ``name``.

    Raises:
        ConfigurationError: there is no such option, one is given twice, or a value is not allowed.
    """
    place = "ZOOCACHE" if name == DEFAULT else f"ZOOCACHE_{name.upper()}"
    written = _written_at(app, place)
    if name == DEFAULT:
        _add_own_keys(app, written)
    core = {key: value for key, value in written.items() if key in _CORE_NAMES}
    for key in _OPTIONAL.intersection(core):
        # What an environment variable leaves empty.
        if core[key] == "":
            core[key] = None
    if core.get("storage_url") is not None and "secret_key" not in core:
        keys = signing_keys(app)
        if keys:
            core["secret_key"] = keys
    try:
        Settings.of(core)
        own = {key: _OWN_CHECKS[key](written[key]) for key in _OWN_NAMES if key in written}
    except ConfigurationError as error:
        raise ConfigurationError(f"app.config[{place!r}]: {error}") from error
    return core, Options(**own)


def signing_keys(app: Flask) -> tuple[bytes, ...]:
    """Keys that sign what is pickled into a shared storage, when the application gives none.

    Derived from ``SECRET_KEY`` for this purpose alone, so that neither can stand in for the other.
    """
    secrets = [app.config.get("SECRET_KEY"), *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
    return tuple(
        hmac.digest(b"zoocache_flask.signing", _as_bytes(secret), "sha256")
        for secret in secrets
        if secret
    )


def _as_bytes(secret: str | bytes) -> bytes:
    return secret.encode() if isinstance(secret, str) else secret


def _written_at(app: Flask, place: str) -> dict[str, Any]:
    found = app.config.get(place, {})
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"app.config[{place!r}] must be a dict of options, not {type(found).__name__}: "
            f"{found!r:.80}. Leave it out for a cache in the memory of each process."
        )
    written: dict[str, Any] = {}
    for key, value in found.items():
        option = key.lower() if isinstance(key, str) else key
        if option not in OPTION_NAMES:
            raise _unknown(f"app.config[{place!r}] has no option {key!r}", str(option))
        if option in written:
            raise ConfigurationError(f"app.config[{place!r}] has the option {option!r} twice.")
        written[option] = value
    return written


def _add_own_keys(app: Flask, written: dict[str, Any]) -> None:
    for key, value in app.config.items():
        if not key.startswith("ZOOCACHE_"):
            continue
        option = key.removeprefix("ZOOCACHE_").lower()
        if option not in OPTION_NAMES:
            if isinstance(value, Mapping):
                # The options of another cache, ZooCache(name=...).
                continue
            raise _unknown(f"app.config has {key!r}, and there is no such option", option)
        if option in written:
            raise ConfigurationError(
                f"The option {option!r} is given twice: in app.config['ZOOCACHE'] and as "
                f"app.config[{key!r}]. Remove one."
            )
        written[option] = value


def _unknown(problem: str, option: str) -> ConfigurationError:
    close = get_close_matches(option.lower(), OPTION_NAMES, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join(sorted(OPTION_NAMES))
    return ConfigurationError(f"{problem}.{hint} Options are: {allowed}.")


def _names(value: object) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Iterable) or isinstance(names, (bytes, Mapping)):
        names = [value]
    names = list(names)
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise ConfigurationError(
            f"Option shared_globals={value!r} is not allowed: expected names of attributes of "
            "flask.g, such as ('db',)."
        )
    return frozenset(names)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"Option signals={value!r} is not allowed: expected True or False."
        )
    return value


def _tracking(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, bool):
        return {} if value else None
    if isinstance(value, Mapping):
        options = {str(key).lower(): each for key, each in value.items()}
        if options.keys() <= {"name", "triggers"}:
            return options
    raise ConfigurationError(
        f"Option sqlalchemy={value!r} is not allowed: expected True, False, or a dict of arguments "
        "of track(), such as {'triggers': {'note': ['note_history']}} or {'name': 'notes'}."
    )


_OPTIONAL: Final = frozenset(
    option.name for option in fields(Settings) if str(option.type).endswith("| None")
)
_OWN_CHECKS: Final[dict[str, Callable[[object], Any]]] = {
    "shared_globals": _names,
    "signals": _flag,
    "sqlalchemy": _tracking,
}
