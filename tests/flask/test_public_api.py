"""What the package offers, and what of it works without Flask."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import import_module

import pytest

import zoocache_flask

PUBLIC = {
    "ZooCache",
    "add_deps",
    "cache_hit",
    "cache_invalidated",
    "cache_miss",
    "cache_view",
    "cacheable",
    "cdn_purge_keys",
    "clear",
    "invalidate",
    "invalidate_async",
    "tag",
    "url_tag",
}
OF_SQLALCHEMY = {"Tracking", "depends_on", "row_tags", "table_tags", "track"}

WITHOUT_FLASK = "import sys; sys.modules.update(dict.fromkeys(['flask', 'werkzeug', 'blinker']))\n"


def run(code: str) -> str:
    """The output of a new process without Flask."""
    program = WITHOUT_FLASK + textwrap.dedent(code)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("module", "names"),
    [("zoocache_flask", PUBLIC), ("zoocache_flask.sqlalchemy", OF_SQLALCHEMY)],
)
def test_the_public_names(module: str, names: set[str]) -> None:
    package = import_module(module)
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) == names
    assert names <= set(dir(package))
    for name in names:
        assert getattr(package, name) is not None


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="'zoocache_flask' has no attribute 'cached'"):
        zoocache_flask.cached  # type: ignore[attr-defined]  # noqa: B018


def test_sqlalchemy_is_tracked_without_flask() -> None:
    output = run(
        """
        from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
        from zoocache_core import cacheable, configure
        from zoocache_flask.sqlalchemy import track

        metadata = MetaData()
        note = Table("note", metadata, Column("id", Integer, primary_key=True), Column("t", String))
        engine = create_engine("sqlite://")
        metadata.create_all(engine)
        configure()
        track(engine)

        @cacheable
        def title(key):
            with engine.connect() as connection:
                return connection.scalar(select(note.c.t).where(note.c.id == key))

        with engine.begin() as connection:
            connection.execute(note.insert().values(id=1, t="Tea"))
        print(title(1), title.cached_value(1))
        with engine.begin() as connection:
            connection.execute(note.update().where(note.c.id == 1).values(t="Cups"))
        print(title(1))
        """
    )
    assert output.split() == ["Tea", "Tea", "Cups"]


def test_what_needs_flask_says_how_to_get_it() -> None:
    output = run(
        """
        from zoocache_flask import add_deps, tag, url_tag
        import zoocache_flask
        for name in ("ZooCache", "cache_view", "cacheable", "cache_hit"):
            try:
                getattr(zoocache_flask, name)
            except ImportError as error:
                print(error)
        """
    )
    for name, line in zip(
        ("ZooCache", "cache_view", "cacheable", "cache_hit"), output.splitlines(), strict=True
    ):
        assert line == (
            f'zoocache_flask.{name} needs Flask: pip install "zoocache-frameworks[flask]"'
        )


def test_without_sqlalchemy_the_message_says_how_to_get_it() -> None:
    output = run(
        """
        sys.modules["sqlalchemy"] = None
        try:
            import zoocache_flask.sqlalchemy
        except ImportError as error:
            print(error)
        """
    )
    assert output == (
        'zoocache_flask.sqlalchemy needs SQLAlchemy: pip install "zoocache-frameworks[sqlalchemy]"'
    )
