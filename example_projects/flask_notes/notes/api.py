"""(3) The same as JSON."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.views import MethodView

from example_projects.flask_notes.notes import queries
from example_projects.flask_notes.notes.models import Note, User, db
from zoocache_flask import cache_view

blueprint = Blueprint("api", __name__, url_prefix="/api")


def _as_json(note: Note) -> dict[str, Any]:
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "author": note.author.name,
        "written": note.written.isoformat(),
        "subjects": [subject.name for subject in note.subjects],
    }


class NoteView(MethodView):
    """One note."""

    @cache_view
    def get(self, note_id: int) -> dict[str, Any]:
        """Read it."""
        return _as_json(db.get_or_404(Note, note_id))


@blueprint.get("/search")
@cache_view(ttl=3600, query=["q"])
def search() -> dict[str, Any]:
    """The notes that contain a text."""
    found = queries.matching(request.args.get("q", "").strip())
    return {"notes": [_as_json(note) for note in found]}


@blueprint.get("/subjects/<name>")
@cache_view
def subject(name: str) -> dict[str, Any]:
    """The notes about a subject."""
    return {"notes": [_as_json(note) for note in queries.about(name)]}


@blueprint.get("/authors/<int:user_id>")
@cache_view
def author(user_id: int) -> dict[str, Any]:
    """Who somebody is."""
    found = db.get_or_404(User, user_id)
    return {"id": found.id, "name": found.name}


blueprint.add_url_rule("/notes/<int:note_id>", view_func=NoteView.as_view("note"))
