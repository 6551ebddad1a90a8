"""A visit: look at pages, edit a note, look again, and compare with the database."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from statistics import median
from urllib.parse import quote, urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

from example_projects.flask_notes.serving import Database, Server

HITS = 15
"""Requests of each cached page that are timed."""
LOOKS = 6
"""Requests of each page after the edit: enough for every server process to answer some."""


@dataclass(frozen=True)
class Response:
    """What came back for one request."""

    body: str
    outcome: str
    """``X-Cache``: HIT, MISS, STALE or BYPASS."""
    milliseconds: float


@dataclass
class Page:
    """One page and what was seen of it."""

    name: str
    path: str
    shows_it: bool = True
    """Whether the page shows the note that is edited."""
    cold: float = 0.0
    cached: float = 0.0
    hits: int = 0
    after: list[str] = field(default_factory=list)
    """What each request after the edit found: fresh, STALE, or as it should be: kept."""


@dataclass(frozen=True)
class Report:
    """The outcome of a visit."""

    pages: list[Page]
    before: str
    now: str

    def good(self) -> bool:
        """Whether every page was cached, was fresh after the edit, and was kept if untouched."""
        return all(
            page.hits == HITS and set(page.after) == {"fresh" if page.shows_it else "kept"}
            for page in self.pages
        )

    def table(self) -> str:
        """One line for each page."""
        lines = [
            "",
            f"Edited: “{self.before}” is “{self.now}” now",
            "",
            f"{'page':<30}{'cold':>10}{'cached':>10}{'':>7}  after the edit",
        ]
        for page in self.pages:
            faster = f"{page.cold / page.cached:.0f}x" if page.hits else "-"
            cached = f"{page.cached:.1f} ms" if page.hits else "never"
            lines.append(
                f"{page.name:<30}{page.cold:>7.1f} ms{cached:>10}{faster:>7}  {_after(page)}"
            )
        return "\n".join(lines)

    def verdict(self) -> str:
        """What the table says, in a sentence."""
        stale = sum("STALE" in page.after for page in self.pages)
        lost = sum("lost" in page.after for page in self.pages)
        uncached = sum(page.hits < HITS for page in self.pages)
        if self.good():
            return "Every page that shows the note was fresh; the others stayed in the cache."
        return (
            f"NOT GOOD: {stale} pages stale, {uncached} not cached, {lost} lost without a reason."
        )


def _after(page: Page) -> str:
    if "STALE" in page.after:
        return f"STALE in {page.after.count('STALE')} of {len(page.after)} requests"
    if page.shows_it:
        return "fresh"
    return "LOST" if "lost" in page.after else "still cached"


def visit(server: Server, database: Database) -> Report:
    """Look at the pages, edit the newest note of the author ``demo``, and look again."""
    note, before = database.one(
        "SELECT id, title FROM note WHERE author_id = 1 ORDER BY written DESC LIMIT 1"
    )
    pages, title = _pages(database, int(str(note)), str(before)), str(before)
    bodies = {}
    for page in pages:
        first = _get(server, page.path)
        page.cold = first.milliseconds
        repeated = [_get(server, page.path) for _ in range(HITS)]
        page.hits = sum(response.outcome == "HIT" for response in repeated)
        page.cached = median(response.milliseconds for response in repeated)
        bodies[page.name] = first.body
        if page.shows_it != (title in _titles(first.body)):
            raise SystemExit(f"{page.path} does not show what the database has")
    _edit(server, int(str(note)), f"{title}, revised")
    now = str(database.one("SELECT title FROM note WHERE id = ?", note)[0])
    if now == title:
        raise SystemExit("The form did not change the note in the database.")
    for page in pages:
        for _ in range(LOOKS):
            response = _get(server, page.path)
            if page.shows_it:
                page.after.append("fresh" if now in _titles(response.body) else "STALE")
            else:
                same = response.outcome == "HIT" and response.body == bodies[page.name]
                page.after.append("kept" if same else "lost")
    return Report(pages, title, now)


def _pages(database: Database, note: int, title: str) -> list[Page]:
    (about,) = database.one(
        "SELECT s.name FROM subject s JOIN note_subject n ON n.subject_id = s.id"
        " WHERE n.note_id = ? LIMIT 1",
        note,
    )
    word, subject = quote(title.rpartition(" ")[0]), quote(str(about))
    return [
        Page("home, subjects, authors", ""),
        Page("its subject", f"subjects/{subject}"),
        Page("its author", "authors/1"),
        Page("search", f"search?q={word}"),
        Page("the note", f"notes/{note}"),
        Page("the note as JSON", f"api/notes/{note}"),
        Page("search as JSON", f"api/search?q={word}"),
        Page("another note", f"notes/{note - 1}", shows_it=False),
        Page("another note as JSON", f"api/notes/{note - 1}", shows_it=False),
        Page("its author as JSON", "api/authors/1", shows_it=False),
    ]


def _titles(body: str) -> list[str]:
    """The titles of the notes that a page or the API shows."""
    if body.startswith("{"):
        data = json.loads(body)
        return [note.get("title", "") for note in data.get("notes", [data])]
    # Between tags of its own, whole: a title is part of its revision's.
    return [part.partition("<")[0] for part in body.split(">")]


def _get(server: Server, path: str) -> Response:
    began = time.perf_counter()
    with urlopen(server.url + path, timeout=30) as answer:
        body = answer.read().decode()
        outcome = answer.headers.get("X-Cache", "")
    return Response(body, outcome, (time.perf_counter() - began) * 1000)


def _edit(server: Server, note: int, title: str) -> None:
    """Log in and change the title with the form, as an author's browser would."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))

    def post(path: str, fields: dict[str, object]) -> str:
        data = urlencode(fields, doseq=True).encode()
        with browser.open(Request(server.url + path, data), timeout=30) as answer:
            where: str = answer.url
            return where

    if post("login", {"name": "demo", "password": "demo"}).endswith("login"):
        raise SystemExit("The author could not log in.")
    with browser.open(f"{server.url}api/notes/{note}", timeout=30) as answer:
        data = json.loads(answer.read())
    path = f"notes/{note}/edit"
    if post(path, {"title": title, "body": data["body"], "subject": data["subjects"]}).endswith(
        "edit"
    ):
        raise SystemExit("The form refused the new title.")
