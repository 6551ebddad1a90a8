"""``settings.ZOOCACHE``: read, judged, and put into force.

The keys are the options of ``zoocache_core.configure()`` and those of :class:`Options`, in lower or
upper case. A mistake does not keep Django from starting, so that the system checks can name all of
them at once; the first use of the cache then raises what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final

from django.apps import apps
from django.conf import settings

from zoocache_core import ConfigurationError, Engine, default_engine
from zoocache_core.settings import Settings
from zoocache_django import patches, tags
from zoocache_django.database import tables
from zoocache_django.database.publishing import follow
from zoocache_django.signals import SignalSink

__all__ = ["Options", "Problem", "State", "apply", "engine", "is_private", "state"]


@dataclass(frozen=True)
class Options:
    """The options of the adapter itself."""

    invalidate_on_write: bool = True
    """Whether saving and deleting rows invalidates them. ``False`` leaves that to the application
    altogether."""
    ignore_models: frozenset[str] = frozenset()
    """Models (``"shop.visit"``) and applications (``"sessions"``) whose writes invalidate nothing,
    because no cached page shows them."""

    triggers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the database itself writes, unseen: for a model or table, those that its triggers (and
    cascades, and rules) write when it is written, and the views that show it. Models by label
    (``"shop.order"``), others by the name of the table or view."""
    watch_database: bool = True
    """Whether reads, writes and transactions are noticed at all. ``False`` leaves Django as it
    is, and everything to the application."""

    signals: bool = False
    """Whether hits, misses and invalidations are sent as signals (``zoocache_django.signals``)."""

    def ignores(self, label: str) -> bool:
        """Whether writes of the model with this label (``app_label.model_name``) are ignored."""
        if not self.invalidate_on_write:
            return True
        return label in self.ignore_models or label.partition(".")[0] in self.ignore_models


@dataclass(frozen=True)
class Problem:
    """One mistake in ``settings.ZOOCACHE``: the id of its system check, what is wrong, a remedy."""

    check_id: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class State:
    """What was made of ``settings.ZOOCACHE``."""

    core: Mapping[str, Any] = field(default_factory=dict)
    options: Options = Options()
    problems: tuple[Problem, ...] = ()


_state = State()
_CORE_NAMES: Final = tuple(option.name for option in fields(Settings))
_OWN_NAMES: Final = tuple(option.name for option in fields(Options))


def state() -> State:
    """What is in force."""
    return _state


def engine() -> Engine:
    """The engine that ``settings.ZOOCACHE`` describes.

    Raises:
        ConfigurationError: the settings have mistakes; all of them are named.
    """
    if _state.problems:
        listed = "\n".join(f"- {problem.message}" for problem in _state.problems)
        raise ConfigurationError(f"settings.ZOOCACHE is not usable:\n{listed}")
    return default_engine


def is_private(storage_url: str | None, bus_url: str | None) -> bool:
    """Whether a cache is in the memory of each process, and none learns of the others."""
    return bus_url is None and (storage_url is None or storage_url.startswith("memory:"))


def apply() -> None:
    """Put ``settings.ZOOCACHE`` into force, in place of what was there before.

    With settings that have mistakes, nothing is in force.
    """
    global _state
    judged = read(getattr(settings, "ZOOCACHE", {}))
    if not judged.problems:
        try:
            if not default_engine.configured or Settings.of(judged.core) != default_engine.settings:
                default_engine.reset()
                default_engine.configure(**judged.core)
        except ConfigurationError as error:
            problem = Problem("zoocache.E006", f"ZOOCACHE cannot be put into force: {error}")
            judged = State(judged.core, judged.options, (problem,))
    if judged.problems:
        default_engine.reset()
    _state = judged
    tags.forget_databases()
    tables.configure(judged.options.ignores, judged.options.triggers, engine)
    if judged.options.watch_database:
        patches.install()
    else:
        patches.uninstall()
    follow(default_engine)


def read(written: object) -> State:
    """Judge a value of ``settings.ZOOCACHE`` without putting it into force."""
    if not isinstance(written, Mapping):
        problem = Problem(
            "zoocache.E001",
            f"ZOOCACHE must be a dict of options, not {type(written).__name__}: {written!r:.80}.",
            "Write ZOOCACHE = {}, or leave it out, for a cache in the memory of each process.",
        )
        return State(problems=(problem,))
    problems: list[Problem] = []
    named: dict[str, Any] = {}
    for key, value in written.items():
        name = key.lower() if isinstance(key, str) else key
        if name in named:
            problems.append(
                Problem("zoocache.E002", f"ZOOCACHE has the option {name!r} twice.", "Remove one.")
            )
        elif name not in _CORE_NAMES + _OWN_NAMES:
            problems.append(_unknown(key))
        else:
            named[name] = value
    core = _judge_core({name: named[name] for name in _CORE_NAMES if name in named}, problems)
    own = {}
    for name in _OWN_NAMES:
        if name in named:
            try:
                own[name] = _OWN_CHECKS[name](named[name])
            except ConfigurationError as error:
                problems.append(Problem(_OWN_IDS[name], str(error)))
    if own.get("signals"):
        core["events"] = (*core.get("events", ()), SignalSink())
    return State(core, Options(**own), tuple(problems))


def _unknown(key: object) -> Problem:
    allowed = ", ".join(sorted(_CORE_NAMES + _OWN_NAMES))
    close = get_close_matches(str(key).lower(), _CORE_NAMES + _OWN_NAMES, n=1)
    return Problem(
        "zoocache.E003",
        f"ZOOCACHE has no option {key!r}.",
        (f"Did you mean {close[0]!r}? " if close else "") + f"Options are: {allowed}.",
    )


def _judge_core(written: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    # One at a time, in the order in which they are declared, so that each mistake is found and an
    # option is judged together with those that it needs.
    accepted: dict[str, Any] = {}
    for name, value in written.items():
        try:
            Settings.of({**accepted, name: value})
        except ConfigurationError as error:
            problems.append(Problem("zoocache.E004", f"ZOOCACHE: {error}"))
        else:
            accepted[name] = value
    return accepted


def _flag(name: str) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ConfigurationError(
                f"ZOOCACHE: option {name}={value!r} ({type(value).__name__}) is not allowed: "
                "expected True or False."
            )
        return value

    return check


def _triggers(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"ZOOCACHE: option triggers={value!r:.80} is not allowed: expected a dict of models or "
            "tables with a list of those that are written along, as in "
            "{'shop.order': ['shop.sales']}."
        )
    found = {}
    for source, written in value.items():
        targets = [written] if isinstance(written, str) else written
        if not isinstance(targets, Iterable) or isinstance(targets, (Mapping, bytes)):
            raise ConfigurationError(
                f"ZOOCACHE: option triggers has {written!r} for {source!r}: expected a list of "
                "models ('shop.sales') or tables ('shop_sales')."
            )
        found[_named(source)] = tuple(_named(target) for target in targets)
    return found


def _named(name: object) -> str:
    """A model's label or a table's name, in lower case."""
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"ZOOCACHE: option triggers names {name!r}: expected a model ('shop.sales') or a table "
            "('shop_sales')."
        )
    named = name.lower()
    if "." in named and not _is_installed(named):
        raise ConfigurationError(
            f"ZOOCACHE: option triggers names {name!r}, and there is no such model. Tables are "
            "named without their schema."
        )
    return named


def _models(value: object) -> frozenset[str]:
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, Iterable):
        raise ConfigurationError(
            f"ZOOCACHE: option ignore_models={value!r} is not allowed: expected a list of models "
            "('shop.visit') and applications ('sessions')."
        )
    found = frozenset(str(label).lower() for label in labels)
    for label in sorted(found):
        if not _is_installed(label):
            raise ConfigurationError(
                f"ZOOCACHE: option ignore_models names {label!r}, and there is no such model or "
                "application: expected 'app_label.ModelName' or 'app_label' of what is in "
                "INSTALLED_APPS."
            )
    return found


def _is_installed(label: str) -> bool:
    app_label, _, model_name = label.partition(".")
    try:
        config = apps.get_app_config(app_label)
        return not model_name or config.get_model(model_name) is not None
    except LookupError:
        return False


_OWN_CHECKS: Final[dict[str, Callable[[object], Any]]] = {
    "invalidate_on_write": _flag("invalidate_on_write"),
    "ignore_models": _models,
    "triggers": _triggers,
    "watch_database": _flag("watch_database"),
    "signals": _flag("signals"),
}
_OWN_IDS: Final = {
    "invalidate_on_write": "zoocache.E004",
    "ignore_models": "zoocache.E005",
    "triggers": "zoocache.E005",
    "watch_database": "zoocache.E004",
    "signals": "zoocache.E004",
}
