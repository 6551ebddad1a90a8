"""Every page of the notes is cached, right after each edit, and its visitor's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from example_projects.flask_notes import notes
from example_projects.flask_notes.notes import cache, create_app, seeding
from example_projects.flask_notes.notes.models import Note, Subject, User, db

PASSWORD = generate_password_hash("secret", "pbkdf2:sha256:1")


@pytest.fixture(params=["SQLite and memory", "PostgreSQL and Redis"])
def app(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Flask]:
    if request.param == "SQLite and memory":
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'notes.sqlite3'}")
        monkeypatch.setenv("ZOOCACHE_URL", "")
    else:
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres_url"))
        monkeypatch.setenv("ZOOCACHE_URL", request.getfixturevalue("redis_url"))
    made = create_app({"TESTING": True})
    yield made
    with made.app_context():
        db.session.remove()
        db.drop_all()
        db.engine.dispose()
    cache.close(made)


@pytest.fixture
def stocked(app: Flask) -> Flask:
    with app.app_context():
        db.create_all()
        ann, bob = (User(name=name, password=PASSWORD) for name in ("ann", "bob"))
        tea, owls = Subject(name="Tea"), Subject(name="Owls")
        for number, (author, about) in enumerate([(ann, tea), (bob, owls)], start=1):
            db.session.add(
                Note(
                    title=f"Note {number}",
                    body=f"Text {number} <b>bold</b>",
                    written=datetime(2026, 1, number),  # noqa: DTZ001 - SQLite keeps no zone
                    author=author,
                    subjects=[about],
                )
            )
        db.session.commit()
    return app


def look(client: FlaskClient, path: str) -> tuple[str, str]:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.get_data(as_text=True), response.headers["X-Cache"]


def logged_in(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    response = client.post("/login", data={"name": name, "password": "secret"})
    assert response.status_code == 302
    return client


def edit(client: FlaskClient, number: int, **fields: object) -> int:
    form = {"title": f"Note {number}", "body": f"Text {number}", **fields}
    return client.post(f"/notes/{number}/edit", data=form).status_code


OF_FIRST = [
    *("/", "/notes/1", "/subjects/Tea", "/authors/1", "/search?q=Note+1"),
    *("/api/notes/1", "/api/subjects/Tea", "/api/search?q=Note+1"),
]
OF_SECOND = ["/notes/2", "/api/notes/2", "/api/authors/2"]
"""Pages that look rows up by their keys. Lists are made anew when any note changes."""
OF_ALL = ["/subjects/Owls", "/authors/2", "/api/subjects/Owls"]


def test_every_page_is_cached_and_fresh_after_an_edit(stocked: Flask) -> None:
    visitor = stocked.test_client()
    for path in OF_FIRST + OF_SECOND + OF_ALL:
        first, missed = look(visitor, path)
        assert (missed, look(visitor, path)) == ("MISS", (first, "HIT")), path
    assert edit(logged_in(stocked, "ann"), 1, title="Note 1 renamed", subject="Tea") == 302
    for path in OF_FIRST:
        body, outcome = look(visitor, path)
        assert "Note 1 renamed" in body, path
        assert (outcome, look(visitor, path)) == ("MISS", (body, "HIT")), path
    for path in OF_SECOND:
        assert look(visitor, path)[1] == "HIT", path
    for path in OF_ALL:
        assert "Note 1 renamed" not in look(visitor, path)[0], path


def test_writes_that_no_view_makes_are_seen_as_well(stocked: Flask) -> None:
    visitor, ann = stocked.test_client(), logged_in(stocked, "ann")
    for path in (*OF_FIRST, "/notes/2"):
        look(visitor, path)
        look(ann, path)
    with stocked.app_context():
        db.session.execute(db.update(User).where(User.name == "ann").values(name="Anna"))
        db.session.commit()
    for path in OF_FIRST[:6]:
        body, outcome = look(visitor, path)
        assert ("Anna" in body, outcome) == (True, "MISS"), path
    assert "Anna" not in look(visitor, "/notes/2")[0]
    # The header of her own pages shows her, whatever else they show.
    body, outcome = look(ann, "/notes/2")
    assert ("<span>Anna</span>" in body, outcome) == (True, "MISS")


def test_what_was_rolled_back_changes_no_page(stocked: Flask) -> None:
    visitor = stocked.test_client()
    for path in OF_FIRST:
        look(visitor, path)
    with stocked.app_context():
        db.session.get_one(Note, 1).title = "Never"
        db.session.flush()
        db.session.rollback()
    for path in OF_FIRST:
        assert look(visitor, path)[1] == "HIT", path


def test_the_example_names_no_tag() -> None:
    modules = Path(notes.__file__).parent.glob("*.py")
    text = "".join(module.read_text() for module in modules)
    assert "cache_view" in text
    assert "deps=" not in text
    assert "invalidate" not in text


def test_a_note_that_leaves_a_subject_is_gone_from_its_page(stocked: Flask) -> None:
    visitor = stocked.test_client()
    for path in ("/subjects/Tea", "/subjects/Owls"):
        look(visitor, path)
    edit(logged_in(stocked, "ann"), 1, subject="Owls")
    assert "Note 1" not in look(visitor, "/subjects/Tea")[0]
    assert "Note 1" in look(visitor, "/subjects/Owls")[0]


def test_what_is_refused_changes_nothing(stocked: Flask) -> None:
    visitor, bob = stocked.test_client(), logged_in(stocked, "bob")
    for path in OF_FIRST:
        look(visitor, path)
    assert edit(visitor, 1, title="No") == 302
    assert edit(bob, 1, title="No") == 403
    assert edit(bob, 2, title=" ") == 200
    assert edit(bob, 3) == 404
    for path in OF_FIRST:
        assert look(visitor, path)[1] == "HIT"


def test_nobody_sees_anothers_page(stocked: Flask) -> None:
    ann, bob, nobody = logged_in(stocked, "ann"), logged_in(stocked, "bob"), stocked.test_client()
    for _ in range(2):
        for client, shown, hidden in ((ann, "ann", "bob"), (bob, "bob", "ann")):
            body, _outcome = look(client, "/notes/1")
            assert f"<span>{shown}</span>" in body
            assert f"<span>{hidden}</span>" not in body
            assert ("/notes/1/edit" in body) is (shown == "ann")
        body, outcome = look(nobody, "/notes/1")
        assert "<span>" not in body
    assert outcome == "HIT"
    ann.post("/logout")
    assert "Log in" in look(ann, "/notes/1")[0]


def test_texts_are_escaped_and_searched_literally(stocked: Flask) -> None:
    visitor = stocked.test_client()
    assert "&lt;b&gt;bold" in look(visitor, "/notes/1")[0]
    assert look(visitor, "/api/search?q=%25")[0].strip() == '{"notes":[]}'
    assert "Note 1" not in look(visitor, "/search?q=")[0]


def test_the_login_leads_to_no_other_site(stocked: Flask) -> None:
    for target, expected in (("/search", "/search"), ("//evil.test", "/"), ("http://evil", "/")):
        response = stocked.test_client().post(
            f"/login?next={target}", data={"name": "ann", "password": "secret"}
        )
        assert response.headers["Location"] == expected
    refused = stocked.test_client().post("/login", data={"name": "ann", "password": "no"})
    assert "No such name" in refused.get_data(as_text=True)


def test_seeding_fills_an_empty_database_only(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "NOTES", 60)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["seed"]).exit_code == 0
    assert "no. 60" in look(app.test_client(), "/")[0]
    assert runner.invoke(args=["seed"]).exit_code == 1
    assert app.test_client().get("/notes/61").status_code == 404
