"""(3) The HTML pages: ``@cache_view`` on those that are read, nothing on the form that writes."""

from __future__ import annotations

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from example_projects.flask_notes.notes import queries
from example_projects.flask_notes.notes.accounts import login_required
from example_projects.flask_notes.notes.models import Note, Subject, User, db
from zoocache_flask import cache_view

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@cache_view
def home() -> str:
    """The newest notes, all subjects, the busiest authors."""
    return render_template(
        "home.html",
        notes=queries.recent(),
        subjects=queries.subjects(),
        authors=queries.busiest(),
    )


@blueprint.get("/notes/<int:note_id>")
@cache_view
def note(note_id: int) -> str:
    """One note."""
    return render_template("note.html", note=db.get_or_404(Note, note_id))


@blueprint.get("/subjects/<name>")
@cache_view
def subject(name: str) -> str:
    """The notes about a subject."""
    db.first_or_404(db.select(Subject).filter_by(name=name))
    return render_template("list.html", title=f"About {name}", notes=queries.about(name))


@blueprint.get("/authors/<int:user_id>")
@cache_view
def author(user_id: int) -> str:
    """The notes of an author."""
    found = db.get_or_404(User, user_id)
    return render_template("list.html", title=f"By {found.name}", notes=queries.of_author(user_id))


@blueprint.get("/search")
@cache_view(ttl=3600, query=["q"])
def search() -> str:
    """The notes that contain a text."""
    text = request.args.get("q", "").strip()
    return render_template("list.html", title="Search", text=text, notes=queries.matching(text))


@blueprint.route("/notes/<int:note_id>/edit", methods=["GET", "POST"])
@login_required
def edit(note_id: int) -> str | Response:
    """Change one's own note."""
    found = db.get_or_404(Note, note_id)
    if found.author_id != g.user.id:
        abort(403)
    if request.method == "GET":
        return render_template("edit.html", note=found, subjects=queries.subjects())
    title, body = (request.form.get(name, "").strip() for name in ("title", "body"))
    if not title or not body:
        return render_template(
            "edit.html", note=found, subjects=queries.subjects(), problem="Title and text, please."
        )
    found.title, found.body = title[:120], body
    named = request.form.getlist("subject")
    found.subjects = list(db.session.scalars(db.select(Subject).where(Subject.name.in_(named))))
    db.session.commit()
    return redirect(url_for("pages.note", note_id=note_id))
