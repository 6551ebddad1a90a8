"""Objects outlive the statements that loaded them: what is computed from them is as old as they
are, and nothing of what was rolled back."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from tests.flask.sqlalchemy_fixtures import (
    cached,
    elsewhere,
    is_cached,
    postgres_only,
    postgres_world,
    sqlite_only,
    sqlite_world,
    world,
)
from tests.flask.sqlalchemy_models import Author, Note
from tests.flask.sqlalchemy_world import World, open_engine
from zoocache_flask.sqlalchemy import track
from zoocache_flask.sqlalchemy.ages import PackedAge, pack
from zoocache_flask.sqlalchemy.sessions import unit_of

__all__ = ["elsewhere", "postgres_only", "postgres_world", "sqlite_only", "sqlite_world", "world"]


def rename(world: World, to: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(update(Note).where(Note.id == 1).values(title=to))


class TestOldObjects:
    def test_a_detached_object_is_as_old_as_it_is(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
        rename(world, "new")
        assert world.cache.fetch("title", lambda: note.title) == "note 1"
        assert not is_cached(world, "title")

    def test_a_detached_object_that_nobody_changed(self, world: World) -> None:
        rename(world, "new")
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
        assert world.cache.fetch("title", lambda: note.title) == "new"
        assert is_cached(world, "title")

    def test_a_detached_object_that_shows_what_was_not_committed(self, world: World) -> None:
        with Session(world.engine) as session:
            flushed, changed = session.get_one(Note, 1), session.get_one(Note, 2)
            session.expunge(changed)
            flushed.title = changed.title = "never"
            session.flush()
        for note in (flushed, changed):
            assert world.cache.fetch("title", lambda note=note: note.title) == "never"
            assert not is_cached(world, "title")

    def test_an_expunged_object(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            session.expunge(note)
            rename(world, "new")
            assert world.cache.fetch("title", lambda: note.title) == "note 1"
            assert not is_cached(world, "title")

    def test_an_unpickled_object(self, world: World) -> None:
        with Session(world.engine) as session:
            pickled = pickle.dumps(session.get_one(Note, 1))
        rename(world, "new")
        note = pickle.loads(pickled)
        assert world.cache.fetch("title", lambda: note.title) == "note 1"
        assert not is_cached(world, "title")

    def test_an_age_of_another_history(self, world: World) -> None:
        with Session(world.engine) as session:
            session.get_one(Note, 1)
            packed = pack((unit_of(session).since,))
        (history,) = packed
        position = world.cache.trie.position
        assert PackedAge(packed).position(world.cache) == packed[history] <= position
        # The store was emptied since.
        assert PackedAge({history: position + 1}).position(world.cache) == 0
        assert PackedAge({"another": position}).position(world.cache) == 0

    def test_objects_out_of_the_cache(self, world: World) -> None:
        rename(world, "new")

        def read() -> Note | None:
            with Session(world.engine) as session:
                return session.get(Note, 1)

        for _ in range(2):
            note = world.cache.fetch("note", read)
            world.cache.delete("page")
            assert world.cache.fetch("page", lambda note=note: note.title) == "new"
            assert is_cached(world, "page")
        rename(world, "newer")
        assert world.cache.fetch("page", lambda: note.title) == "new"
        assert not is_cached(world, "page")
        rename(world, "newest")
        title = world.cache.fetch("page", lambda: world.cache.fetch("note", read).title)
        assert title == world.cache.get("page") == "newest"

    def test_an_old_object_merged_without_loading(self, world: World) -> None:
        with Session(world.engine) as session:
            old = session.get_one(Note, 1)
        rename(world, "new")
        for held in (False, True):
            with Session(world.engine) as session:
                kept = session.get(Note, 1) if held else None
                note = session.merge(old, load=False)
                assert kept in (None, note)
                assert cached(world, "get 1", session)[1] == "note 1"
            assert not is_cached(world, "get 1")

    @pytest.mark.parametrize("merged", [True, False])
    def test_a_session_with_old_objects_is_given_nothing_newer(
        self, world: World, merged: bool
    ) -> None:
        with Session(world.engine) as session:
            old = session.get_one(Note, 1)
        rename(world, "new")
        assert cached(world, "get 1")[1] == "new"
        with Session(world.engine) as session:
            held = [old]
            session.begin()
            if merged:
                held.append(session.merge(old, load=False))
            else:
                session.add(old)
            assert cached(world, "get 1", session)[1] == held[-1].title == "note 1"

    def test_an_object_that_is_loaded_anew_after_the_commit(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            note.title = "new"
            session.commit()
            assert world.cache.fetch("title", lambda: note.title) == "new"
            session.rollback()
            assert is_cached(world, "title")

    def test_a_session_with_objects_from_elsewhere_uses_the_cache(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
        cached(world, "get 2")
        with Session(world.engine) as session:
            session.add(note)
            assert is_cached(world, "get 2")
            cached(world, "get 1", session)
            assert is_cached(world, "get 1")

    def test_objects_of_a_transaction_that_was_closed_beneath_them(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            transaction = session.get_transaction()
            assert transaction is not None
            transaction.close()
            rename(world, "new")
            session.scalar(select(Author.name))
            assert cached(world, "get 1", session)[1] == note.title
            old = note.title == "note 1"
        if old:
            assert not is_cached(world, "get 1")

    def test_objects_given_back_as_they_are(self, world: World) -> None:
        with Session(world.engine, expire_on_commit=False) as session:
            kept = session.get_one(Note, 1)
            session.commit()
            rename(world, "new")
            found = world.cache.fetch("note", lambda: session.scalars(select(Note)).all())
            assert kept in found
            found = world.cache.fetch("row", lambda: session.execute(select(Note)).all())
        assert not is_cached(world, "note")
        assert not is_cached(world, "row")

    def test_an_object_that_is_returned_without_a_look_at_it(self, world: World) -> None:
        with Session(world.engine) as session:
            author = session.get_one(Author, 1)
            assert author.notes
            world.cache.fetch("author", lambda: author)
            assert is_cached(world, "author")
            session.rollback()
            with world.engine.begin() as connection:
                connection.execute(insert(Note).values(title="one more", author_id=1))
            assert not is_cached(world, "author")


class TestRolledBack:
    def test_objects_loaded_within_a_savepoint(self, world: World) -> None:
        with Session(world.engine) as session:
            savepoint = session.begin_nested()
            session.connection().execute(update(Note).where(Note.id == 1).values(title="never"))
            note = session.get_one(Note, 1)
            savepoint.rollback()
            assert cached(world, "get 1", session)[1] == note.title
        assert cached(world, "get 1")[1] == "note 1"

    def test_objects_that_a_session_does_not_let_go_of(self, world: World) -> None:
        assert cached(world, "get 9") is None
        with Session(world.engine) as session:
            savepoint = session.begin_nested()
            session.add(Note(id=9, title="never"))
            kept = session.scalars(select(Note)).all()
            savepoint.rollback()
            found = cached(world, "get 9", session)
            # It is in the session and not in the database.
            assert (found is not None) is (session.get(Note, 9) in kept)
        assert cached(world, "get 9") is None

    def test_objects_loaded_within_a_savepoint_of_the_connection(self, world: World) -> None:
        with Session(world.engine) as session:
            session.scalar(select(Author.name))
            savepoint = session.connection().begin_nested()
            session.connection().execute(update(Note).where(Note.id == 1).values(title="never"))
            note = session.get_one(Note, 1)
            savepoint.rollback()
            assert cached(world, "get 1", session)[1] == note.title == "never"
        assert cached(world, "get 1")[1] == "note 1"

    def test_objects_loaded_in_a_transaction_that_somebody_else_ends(self, world: World) -> None:
        with world.engine.connect() as connection:
            transaction = connection.begin()
            with Session(connection) as session:
                connection.execute(update(Note).where(Note.id == 1).values(title="never"))
                note = session.get_one(Note, 1)
                transaction.rollback()
                assert cached(world, "get 1", session)[1] == note.title == "never"
        assert cached(world, "get 1")[1] == "note 1"

    def test_sessions_that_share_a_connection(self, world: World) -> None:
        with world.engine.connect() as connection:
            transaction = connection.begin()
            with Session(connection) as one, Session(connection) as other:
                connection.execute(update(Note).where(Note.id == 1).values(title="never"))
                held = [session.get_one(Note, 1) for session in (one, other)]
                transaction.rollback()
                for session in (one, other):
                    assert cached(world, "get 1", session)[1] == held[0].title == "never"
        assert cached(world, "get 1")[1] == "note 1"

    def test_objects_of_a_connection_that_was_lost(self, world: World) -> None:
        with world.engine.connect() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="never"))
            with Session(connection) as session:
                note = session.get_one(Note, 1)
                connection.invalidate()
                assert cached(world, "get 1", session)[1] == note.title == "never"
        assert cached(world, "get 1")[1] == "note 1"

    @pytest.mark.parametrize("within", [True, False])
    def test_objects_that_were_loaded_anew(self, world: World, within: bool) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            savepoint = session.begin_nested()
            session.connection().execute(update(Note).where(Note.id == 2).values(title="never"))
            savepoint.rollback()
            cached(world, "get 1", session)
            assert not is_cached(world, "get 1")
            if within:
                session.expire(note)
            else:
                session.commit()
                assert note.title == "note 1"
            # Not out of the cache, since the session may hold other objects that are wrong.
            world.cache.fetch("title", lambda: note.title)
        assert is_cached(world, "title")

    def test_what_others_write_on_a_connection_given_back(
        self, world: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        url = world.engine.url.render_as_string(hide_password=False)
        engine = open_engine(url, pool_size=1, max_overflow=0)
        with (
            track(engine, cache=world.cache),
            Session(engine, expire_on_commit=False) as session,
        ):
            note = session.get_one(Note, 1)
            session.commit()
            other = engine.connect()
            elsewhere.submit(other.execute, update(Note).values(title="never")).result(20)
            world.cache.fetch("title", lambda: note.title)
            other.close()
        assert is_cached(world, "title")
        engine.dispose()

    def test_a_computation_that_rolls_back_what_it_has_written(self, world: World) -> None:
        def change() -> str:
            with Session(world.engine) as session:
                note = session.get_one(Note, 1)
                note.title = "never"
                session.flush()
                title = note.title
                session.rollback()
            return title

        assert world.cache.fetch("title", change) == "never"
        assert not is_cached(world, "title")

    def test_a_computation_that_rolls_back_what_was_returned(self, world: World) -> None:
        def change() -> Any:
            with world.engine.connect() as connection:
                statement = update(Note).where(Note.id == 1).values(title="never")
                return connection.scalar(statement.returning(Note.title))

        assert world.cache.fetch("title", change) == "never"
        assert not is_cached(world, "title")

    def test_an_object_flushed_before_and_rolled_back_within(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            note.title = "never"
            session.flush()

            def read() -> str:
                title = note.title
                session.rollback()
                return title

            assert world.cache.fetch("title", read) == "never"
            assert not is_cached(world, "title")
