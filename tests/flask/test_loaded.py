"""Template fragments that are given rows which were read before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoocache_flask import ZooCache, cache_view


class Base(DeclarativeBase):
    """What the models have in common."""


db = SQLAlchemy(model_class=Base)


class Book(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def books() -> Any:
    return select(Book).order_by(Book.id.desc()).limit(2)


LOOP = "{% for row in rows %}{{ row.name }} {% endfor %}"
GIVEN: dict[str, tuple[str, Callable[[], Any]]] = {
    "a list": (LOOP, lambda: db.session.scalars(books()).all()),
    "columns": (LOOP, lambda: db.session.execute(select(Book.name).order_by(Book.name)).all()),
    "a dict": (LOOP.replace("rows", "rows.new"), lambda: {"new": [*db.session.scalars(books())]}),
    "a page": (
        LOOP + "{{ rows.total }}",
        lambda: db.paginate(select(Book).order_by(Book.id), page=1, per_page=1),
    ),
    "a row": ("{{ rows.name }}", lambda: db.session.scalars(books()).first()),
    "included": ("{% include 'loop' %}", lambda: db.session.scalars(books()).all()),
    "new": (
        "{{ rows.name }}",
        lambda: Book(name=f"unsaved {len(db.session.scalars(books()).all())}"),
    ),
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = Flask("books")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/books.db"
    app.jinja_loader = DictLoader({"loop": LOOP})
    db.init_app(app)
    with ZooCache().opened(app):
        with app.app_context():
            db.create_all()
            add("one")
        yield app
    with app.app_context():
        db.engine.dispose()


def add(name: str) -> None:
    db.session.add(Book(name=name))
    db.session.commit()


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("around", ["page", "cached page"])
def test_they_are_shown_as_they_were_read(app: Flask, kind: str, around: str) -> None:
    show, read = GIVEN[kind]
    cached = "{% zoocache 'part' %}" + show + "{% endzoocache %}"
    nested = "{% if rows %}{% zoocache 'outer' %}" + cached + "{% endzoocache %}{% endif %}"

    def view() -> str:
        return render_template_string(nested, rows=read())

    app.add_url_rule("/", view_func=cache_view(view) if around == "cached page" else view)
    app.add_url_rule("/fresh", "fresh", lambda: render_template_string(show, rows=read()))
    client = app.test_client()
    for name in ("two", "three", "four"):
        for _ in range(2):
            assert client.get("/").text == client.get("/fresh").text
        with app.app_context():
            add(name)


def test_a_fragment_for_each_row_of_a_loop(app: Flask) -> None:
    each = "{% zoocache 'each' %}{{ row.name }}{% endzoocache %}"

    @app.get("/")
    def view() -> str:
        source = "{% for row in rows %}" + each + " {% endfor %}"
        return render_template_string(source, rows=db.session.scalars(books()).all())

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["one ", "one "]
    with app.app_context():
        add("two")
    assert [client.get("/").text for _ in range(2)] == ["two one ", "two one "]
    engine = app.extensions["zoocache"]["default"].engine
    hits = engine.stats().hits
    client.get("/")
    assert engine.stats().hits == hits + 2
