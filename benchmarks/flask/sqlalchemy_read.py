"""What does a hit cost of a cached function that reads through SQLAlchemy, against reading?

A local SQLite file, the fastest database to read from. Each run opens a session, as each request
does; the cached function opens its own only when it has to compute. "tracked" is the uncached read
of an engine that is tracked: what every other read of the application pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TITLE = "A read through SQLAlchemy"

VARIANTS = {"row": "row", "list of 100": "rows", "count": "count"}
GOALS = {
    "row": {"uncached": 0.6},
    "list of 100": {"uncached": 0.5},
    "count": {"uncached": 0.5},
}


def _reads(kind: str) -> tuple[Any, Callable[[], Any]]:
    from sqlalchemy import Integer, String, create_engine, func, select
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Animal(Base):
        __tablename__ = "animal"
        id = mapped_column(Integer, primary_key=True)
        name = mapped_column(String)
        legs = mapped_column(Integer)

    engine = create_engine("sqlite:///animals.db")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Animal(id=n, name=f"animal {n}", legs=4) for n in range(1, 101))
        session.commit()

    def row() -> Any:
        with Session(engine) as session:
            animal = session.get_one(Animal, 7)
            return animal.name, animal.legs

    def rows() -> Any:
        with Session(engine) as session:
            return [(one.name, one.legs) for one in session.scalars(select(Animal))]

    def count() -> Any:
        with Session(engine) as session:
            return session.scalar(select(func.count()).select_from(Animal))

    return engine, {"row": row, "rows": rows, "count": count}[kind]


def ours(kind: str) -> dict[str, Any]:
    from zoocache_core import Engine
    from zoocache_flask.sqlalchemy import track

    engine, read = _reads(kind)
    cache = Engine()
    track(engine, cache=cache)
    cached = cache.cacheable(read)
    if cached() != read() or cached.cached_value() != read():
        raise RuntimeError("not cached")
    return {"run": "f()", "f": cached}


def tracked(kind: str) -> dict[str, Any]:
    from zoocache_core import Engine
    from zoocache_flask.sqlalchemy import track

    engine, read = _reads(kind)
    track(engine, cache=Engine())
    return {"run": "f()", "f": read}


def uncached(kind: str) -> dict[str, Any]:
    return {"run": "f()", "f": _reads(kind)[1]}
