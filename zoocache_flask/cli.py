"""``flask zoocache prune|invalidate|clear|stats|check``."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from zoocache_core import Engine, ZooCacheError
from zoocache_flask.conf import DEFAULT
from zoocache_flask.current import EXTENSION, current_state

__all__ = ["install"]

_DAY: Final = 86_400.0


def install(app: Flask) -> None:
    """Give ``app`` the command group."""
    app.cli.add_command(_make_group())


def _on_cache(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the engine that ``--cache`` names, and reports errors without traceback."""

    @click.option("--cache", default=DEFAULT, help="Which cache, where there are several.")
    @wraps(command)
    def run(cache: str, **arguments: Any) -> None:
        caches = current_app.extensions[EXTENSION]
        if cache not in caches:
            raise click.BadParameter(
                f"there is no cache {cache!r}; there are: {', '.join(sorted(caches))}.",
                param_hint="--cache",
            )
        try:
            command(current_state(cache).engine, **arguments)
        except ZooCacheError as error:
            raise click.ClickException(str(error)) from error

    return run


def _make_group() -> AppGroup:
    group = AppGroup("zoocache", help="Look after the application's cache.")

    @group.command("prune")
    @click.option(
        "--max-age",
        type=click.FloatRange(min=0),
        default=_DAY,
        show_default=True,
        help="Seconds since a tag was last invalidated.",
    )
    @_on_cache
    def prune(engine: Engine, max_age: float) -> None:
        """Forget the numbers of tags that were not invalidated for a while."""
        click.echo(f"Pruned {engine.prune(max_age)} branches of tags.")

    @group.command("invalidate")
    @click.argument("tags", nargs=-1, required=True, metavar="TAG...")
    @_on_cache
    def invalidate(engine: Engine, tags: tuple[str, ...]) -> None:
        """Forget everything that depends on these tags, in all processes."""
        _not_in_memory(engine)
        engine.invalidate(*tags, strict=True)
        click.echo(f"Invalidated {', '.join(tags)}.")

    @group.command("clear")
    @_on_cache
    def clear(engine: Engine) -> None:
        """Forget everything in the cache, in all processes."""
        _not_in_memory(engine)
        engine.clear()
        click.echo("Cleared.")

    @group.command("stats")
    @click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
    @_on_cache
    def stats(engine: Engine, as_json: bool) -> None:
        """Show what is stored, and what this process has counted."""
        counted = engine.stats().as_dict()
        if as_json:
            click.echo(json.dumps(counted))
            return
        click.echo(f"storage {_place(engine)}")
        for name, number in counted.items():
            click.echo(f"{name:<14}{number:>12,}")

    @group.command("check")
    @_on_cache
    def check(engine: Engine) -> None:
        """Store, read, invalidate: does the cache do what it should? Status 1 if not."""
        problem = _problem(engine)
        if problem is not None:
            raise click.ClickException(f"storage {_place(engine)}: {problem}")
        click.echo(f"storage {_place(engine)}: reachable, writable, coherent.")

    return group


def _problem(engine: Engine) -> str | None:
    mark = secrets.token_hex(8)
    key, dep = f"zoocache-check:{mark}", f"zoocache.check:{mark}"
    if not engine.set(key, mark, deps=dep, ttl=60):
        return "a value could not be stored; the log says why."
    try:
        if engine.get(key) != mark:
            return "a value that was stored could not be read; the log says why."
        engine.invalidate(dep, strict=True)
        if engine.get(key) is not None:
            return "a value was still there after its tag had been invalidated."
    finally:
        engine.delete(key)
    return None


def _not_in_memory(engine: Engine) -> None:
    if engine.direct:
        raise click.ClickException(
            "this application keeps its cache in the memory of each process, which a command "
            "cannot reach. Restart the server, or set STORAGE_URL to storage that is shared."
        )


def _place(engine: Engine) -> str:
    url = engine.settings.storage_url or "memory"
    scheme, separator, rest = url.partition("://")
    # Without the password.
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
