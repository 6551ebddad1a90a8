"""Threads that write and read one PostgreSQL: what they are given was committed, and is not old.

Each row is a counter. A writer raises it by 1 and commits, or by 1000 and rolls back. So every
value that somebody reads is below 1000, at least what had been committed before the read began and
at most what had been begun before it ended.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_fixtures import postgres_only, postgres_world
from tests.flask.sqlalchemy_models import Note
from tests.flask.sqlalchemy_world import World

__all__ = ["postgres_only", "postgres_world"]

SECONDS = 6
KEYS = (1, 2, 3)


class Counters:
    def __init__(self, world: World) -> None:
        self.world = world
        self.begun = dict.fromkeys(KEYS, 0)
        self.committed = dict.fromkeys(KEYS, 0)
        self.lock = threading.Lock()
        self.end = time.monotonic() + SECONDS

    def write(self, seed: int) -> int:
        chance = random.Random(seed)
        writes = 0
        while time.monotonic() < self.end:
            key, kept = chance.choice(KEYS), chance.random() < 0.7
            if kept:
                with self.lock:
                    self.begun[key] += 1
            with Session(self.world.engine) as session:
                self.raise_by(session, key, 1 if kept else 1000, chance.randrange(4))
                if chance.random() < 0.3:
                    self.read_one(session, key)
                (session.commit if kept else session.rollback)()
            if kept:
                with self.lock:
                    self.committed[key] += 1
            writes += 1
            time.sleep(chance.random() * 0.01)
        return writes

    @staticmethod
    def raise_by(session: Session, key: int, amount: int, way: int) -> None:
        if way == 0:
            note = session.get_one(Note, key, with_for_update=True)
            note.votes += amount
            session.flush()
        elif way == 1:
            statement = update(Note).where(Note.id == key).values(votes=Note.votes + amount)
            session.execute(statement)
        elif way == 2:
            session.execute(
                text("UPDATE note SET votes = votes + :amount WHERE id = :key"),
                {"amount": amount, "key": key},
            )
        else:
            with session.begin_nested():
                session.connection().exec_driver_sql(
                    f"UPDATE note SET votes = votes + {amount} WHERE id = {key}"
                )

    def read_one(self, session: Session, key: int) -> int:
        def read() -> int:
            return session.scalars(select(Note.votes).where(Note.id == key)).one()

        return self.world.cache.fetch(f"one {key}", read)

    def read_all(self, session: Session) -> dict[int, int]:
        def read() -> dict[int, int]:
            return {note.id: note.votes for note in session.scalars(select(Note))}

        return self.world.cache.fetch("all", read)

    def read(self, seed: int) -> int:
        chance = random.Random(seed)
        reads = 0
        while time.monotonic() < self.end:
            with self.lock:
                least = dict(self.committed)
            with Session(self.world.engine) as session:
                if chance.random() < 0.5:
                    key = chance.choice(KEYS)
                    found = {key: self.read_one(session, key)}
                else:
                    found = self.read_all(session)
            with self.lock:
                most = dict(self.begun)
            for key in KEYS:
                if key in found:
                    assert least[key] <= found[key] <= most[key], (key, least, found, most)
            reads += 1
        return reads


def test_threads(postgres_only: World) -> None:
    world = postgres_only
    with world.behind.begin() as connection:
        connection.execute(text("UPDATE note SET votes = 0"))
    counters = Counters(world)
    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(counters.write, seed) for seed in range(3)]
        readers = [pool.submit(counters.read, seed) for seed in range(3)]
        written = sum(future.result(60) for future in writers)
        read = sum(future.result(60) for future in readers)
    stats = world.cache.stats()
    assert written > 20
    assert stats.hits > 20
    assert read > stats.hits / 2
    assert not world.cache.guards
