"""(3) What pages depend on, and what a changed note makes outdated.

The one place that knows. A page names its tags with these functions, and whoever has committed a
change of a note calls :func:`note_changed`.
"""

from __future__ import annotations

from example_projects.flask_notes.notes.models import Note
from zoocache_flask import invalidate, tag

LISTS = "lists"
"""Of pages that any note may appear on: the home page and searches."""


def note(note_id: int) -> str:
    """One note."""
    return tag("note", note_id)


def subject(name: str) -> str:
    """The notes about a subject."""
    return tag("subject", name)


def author(user_id: int) -> str:
    """The notes of an author."""
    return tag("author", user_id)


def tags_of(changed: Note) -> set[str]:
    """The tags of every page that may show this note."""
    about = {subject(each.name) for each in changed.subjects}
    return {LISTS, note(changed.id), author(changed.author_id), *about}


def note_changed(before: set[str], changed: Note) -> None:
    """Forget the pages that showed the note as it was or should show it as it is.

    ``before`` is what :func:`tags_of` said before the change: a note may have left a subject.
    """
    invalidate(*before, *tags_of(changed))
