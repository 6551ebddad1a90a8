"""Notes to begin with: the same in every run."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from sqlalchemy import insert
from werkzeug.security import generate_password_hash

from example_projects.flask_notes.notes.models import Note, Subject, User, db, note_subject

NOTES, AUTHORS = 4000, 40

_SUBJECTS = (
    *("Badgers", "Beetles", "Birds", "Bridges", "Bread", "Canals", "Caves", "Cheese", "Clocks"),
    *("Clouds", "Compasses", "Ferns", "Ferries", "Frogs", "Gardens", "Harbours", "Herbs", "Ink"),
    *("Islands", "Kites", "Lanterns", "Libraries", "Lighthouses", "Maps", "Markets", "Meadows"),
    *("Mills", "Mosses", "Mushrooms", "Orchards", "Otters", "Owls", "Paper", "Pianos", "Rain"),
    *("Rivers", "Snow", "Stars", "Stones", "Tea", "Tides", "Trains", "Trams", "Wells", "Wool"),
)
_WORDS = (
    *("about", "after", "again", "along", "amber", "ancient", "between", "bright", "careful"),
    *("carried", "colour", "counted", "early", "evening", "found", "gentle", "green", "hidden"),
    *("kept", "later", "light", "listed", "little", "many", "measured", "morning", "narrow"),
    *("north", "often", "old", "open", "patient", "path", "quiet", "read", "round", "season"),
    *("seen", "silver", "slow", "small", "south", "still", "summer", "thin", "under", "walked"),
    *("water", "weather", "west", "while", "white", "wide", "wind", "winter", "wooden", "year"),
)
_NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Gwen", "Hugo", "Iris", "Jonas")


def seed() -> None:
    """Fill an empty database. The first user is ``demo``, with the password ``demo``."""
    db.create_all()
    if db.session.scalar(db.select(User.id).limit(1)) is not None:
        raise SystemExit("The database is not empty. Remove the file to begin anew.")
    dice = random.Random(1)
    nobody = generate_password_hash(str(dice.random()), "pbkdf2:sha256:1")
    users = [{"id": 1, "name": "demo", "password": generate_password_hash("demo")}]
    for number in range(2, AUTHORS + 1):
        name = f"{_NAMES[number % len(_NAMES)]} {number}"
        users.append({"id": number, "name": name, "password": nobody})
    notes, pairs = [], []
    began = datetime(2026, 1, 1, 8)  # noqa: DTZ001 - SQLite keeps no time zone
    for number in range(1, NOTES + 1):
        about = dice.sample(range(len(_SUBJECTS)), dice.randint(1, 3))
        first, second = dice.sample(_WORDS, 2)
        notes.append(
            {
                "id": number,
                "title": f"{first.title()} {second} {_SUBJECTS[about[0]].lower()} no. {number}",
                "body": "\n\n".join(
                    " ".join(dice.choices(_WORDS, k=60)).capitalize() + "." for _ in range(4)
                ),
                "written": began + timedelta(minutes=7 * number),
                "author_id": 1 if number % 50 == 0 else dice.randint(2, AUTHORS),
            }
        )
        pairs += [{"note_id": number, "subject_id": subject + 1} for subject in about]
    subjects = [{"id": number, "name": name} for number, name in enumerate(_SUBJECTS, start=1)]
    for table, rows in ((User, users), (Subject, subjects), (Note, notes), (note_subject, pairs)):
        db.session.execute(insert(table), rows)
    db.session.commit()
