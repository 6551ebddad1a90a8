"""Logging in and out.

Who is there is looked up before each request and left in ``flask.g``. Pages that show it, as all do
in their header, are kept apart by it: ZooCache notices what a page reads of ``g``. They are made
anew when the user changes the name, since it was read from the database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, g, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response

from example_projects.flask_notes.notes.models import User, db

blueprint = Blueprint("accounts", __name__)


@blueprint.before_app_request
def look_up_user() -> None:
    """Leave the user, or ``None``, in ``g``."""
    user_id = session.get("user_id")
    g.user = None if user_id is None else db.session.get(User, user_id)


def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Send visitors without an account to the login page."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if g.user is None:
            return redirect(url_for("accounts.login", next=request.path))
        return view(*args, **kwargs)

    return checked


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    """Log in by name and password."""
    if request.method == "GET":
        return render_template("login.html")
    form = request.form
    user = db.session.scalar(db.select(User).filter_by(name=form.get("name", "")))
    if user is None or not check_password_hash(user.password, form.get("password", "")):
        return render_template("login.html", problem="No such name and password.")
    session.clear()
    session["user_id"] = user.id
    target = request.args.get("next", "")
    # A path on this site, and no other site's address.
    here = target.startswith("/") and not target.startswith(("//", "/\\"))
    return redirect(target if here else url_for("pages.home"))


@blueprint.post("/logout")
def logout() -> Response:
    """Log out."""
    session.clear()
    return redirect(url_for("pages.home"))
