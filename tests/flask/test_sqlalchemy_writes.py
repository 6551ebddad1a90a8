"""Committed writes are forgotten, rolled back ones never were, and open ones are private."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, StaticPool

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
from tests.flask.sqlalchemy_models import Author, Base, Comment, Label, Note, labelled
from tests.flask.sqlalchemy_world import World, open_engine
from zoocache_core import MISSING
from zoocache_core import Engine as Cache
from zoocache_flask.sqlalchemy import row_tags, track, transactions

__all__ = [
    "elsewhere", "postgres_only", "postgres_world", "sqlite_only", "sqlite_world", "world",
]  # fmt: skip

ROW_WRITES: dict[str, Callable[[Session], Any]] = {
    "unit of work": lambda s: setattr(s.get(Note, 1), "title", "new"),
    "update": lambda s: s.execute(update(Note).where(Note.id == 1).values(title="new")),
    "update of keys": lambda s: s.execute(
        update(Note).where(Note.id.in_([1, 3])).values(title="new")
    ),
    "core update": lambda s: s.connection().execute(
        update(Note).where(Note.id == 1).values(title="new")
    ),
    "bulk update": lambda s: s.execute(update(Note), [{"id": 1, "title": "new"}]),
    "bulk mappings": lambda s: s.bulk_update_mappings(Note, [{"id": 1, "title": "new"}]),
    "delete": lambda s: s.execute(delete(Note).where(Note.id == 1)),
    "unit of work, delete": lambda s: s.delete(s.get(Note, 1)),
}


class TestPrecision:
    @pytest.mark.parametrize("write", ROW_WRITES)
    def test_a_row_that_is_written_leaves_the_others(self, world: World, write: str) -> None:
        assert cached(world, "get 1")[1] == "note 1"
        cached(world, "get 2")
        cached(world, "text key")
        with Session(world.engine) as session:
            ROW_WRITES[write](session)
            session.commit()
        assert not is_cached(world, "get 1")
        assert is_cached(world, "get 2")
        assert is_cached(world, "text key")

    def test_a_new_row_leaves_the_others_and_appears(self, world: World) -> None:
        cached(world, "get 1")
        assert cached(world, "get 9") is None
        cached(world, "count")
        with Session(world.engine) as session:
            session.add(Note(id=9, title="nine"))
            session.add(Note(title="its key comes from the database"))
            session.commit()
        assert is_cached(world, "get 1")
        assert not is_cached(world, "get 9")
        assert not is_cached(world, "count")

    @pytest.mark.parametrize("single", [True, False])
    def test_keys_that_the_database_makes(self, world: World, single: bool) -> None:
        cached(world, "get 1")
        cached(world, "get 9")
        with Session(world.engine) as session:
            notes = [Note(title="a")] if single else [Note(title="a"), Note(title="b")]
            session.add_all(notes)
            session.commit()
            new = notes[0].id
        assert is_cached(world, "get 1")
        assert is_cached(world, "get 9") is (new != 9)

    def test_rows_whose_keys_cannot_be_told(self, world: World) -> None:
        with Session(world.behind) as session:
            session.execute(insert(Note), [{"id": 5000, "title": "last"}])
            session.commit()
        new = 1000 if world.engine.dialect.name == "postgresql" else 5001
        for key in (new, new + 1):
            assert (
                world.cache.fetch(f"new {key}", lambda key=key: self._exists(world, key)) is False
            )
        with world.engine.begin() as connection:
            connection.execute(insert(Note).values([{"title": "a"}, {"title": "b"}]))
            named = [{"id": 7000, "title": "c"}, {"id": 7001, "title": "d"}]
            connection.execute(insert(Note).values(named))
        for key in (new, new + 1, 7000, 7001):
            assert self._exists(world, key)
            assert world.cache.get(f"new {key}", MISSING) is MISSING

    @staticmethod
    def _exists(world: World, key: int) -> bool:
        with Session(world.engine) as session:
            return session.get(Note, key) is not None

    def test_a_write_of_no_row_forgets_nothing(self, world: World) -> None:
        cached(world, "count")
        cached(world, "get 9")
        before = world.cache.stats().invalidations
        with Session(world.engine) as session:
            session.execute(update(Note).where(Note.title == "nobody's").values(title="new"))
            session.execute(delete(Note).where(Note.id == 9))
            session.execute(text("DELETE FROM note WHERE votes > 1000"))
            session.commit()
        assert world.cache.stats().invalidations == before
        assert is_cached(world, "count")

    def test_reading_forgets_nothing(self, world: World) -> None:
        before = world.cache.stats().invalidations
        with Session(world.engine) as session:
            session.execute(text("SELECT title FROM note WHERE title LIKE 'x' ESCAPE '\\'"))
            session.scalars(select(Note).with_for_update()).all()
            session.commit()
        assert world.cache.stats().invalidations == before

    def test_other_databases_are_left_alone(self, world: World, tmp_path: Any) -> None:
        other = create_engine(f"sqlite:///{tmp_path}/other.db")
        Base.metadata.create_all(other)
        cached(world, "count")
        with track(other, cache=world.cache), Session(other) as session:
            session.add(Author(name="x", notes=[Note(title="y")]))
            session.commit()
        assert is_cached(world, "count")
        other.dispose()

    def test_a_session_with_several_binds(self, world: World, tmp_path: Any) -> None:
        other = create_engine(f"sqlite:///{tmp_path}/other.db")
        Base.metadata.create_all(other)
        cached(world, "count")
        cached(world, "text key")
        with (
            track(other, cache=world.cache),
            Session(binds={Base: world.engine, Note: other}) as session,
        ):
            world.cache.fetch("mine", lambda: session.get(Note, 1) is None)
            session.add(Note(id=5, title="in the other one"))
            session.commit()
            assert is_cached(world, "count")
            session.execute(update(Author).values(name="in the first one"))
            session.add(Note(id=1, title="in the other one"))
            session.commit()
        assert not is_cached(world, "mine")
        assert is_cached(world, "count")
        other.dispose()


class TestWhatTheDatabaseDoes:
    def test_what_refers_to_a_deleted_row(self, world: World) -> None:
        for name in ("comments", "labels of 1", "get 1"):
            cached(world, name)
        with world.engine.begin() as connection:
            connection.execute(delete(Author).where(Author.id == 1))
        assert not is_cached(world, "get 1")
        with world.engine.begin() as connection:
            cached(world, "comments")
            cached(world, "labels of 1")
            connection.execute(text("DELETE FROM note WHERE id = 1"))
        assert not is_cached(world, "comments")
        assert not is_cached(world, "labels of 1")

    def test_what_a_trigger_writes(self, world: World) -> None:
        world.tracking.stop()
        with track(world.engine, cache=world.cache, triggers={"Note": ["Author"]}) as tracking:
            world.tracking = tracking
            for write in ("update", "delete"):
                cached(world, "text key")
                cached(world, "column property")
                world.cache.fetch("author", lambda: self._author(world), refresh=True)
                with Session(world.engine) as session:
                    ROW_WRITES[write](session)
                    session.commit()
                assert not is_cached(world, "author")
                assert is_cached(world, "text key")

    @staticmethod
    def _author(world: World) -> str:
        with world.engine.connect() as connection:
            return str(connection.scalar(select(Author.name).where(Author.id == 1)))

    def test_what_cannot_be_told_is_everything(self, world: World) -> None:
        cached(world, "text key")
        with world.engine.begin() as connection:
            connection.execute(text("CREATE TABLE unheard_of (id INTEGER)"))
            connection.execute(text("INSERT INTO unheard_of VALUES (1)"))
        cached(world, "text key")
        cached(world, "text about a view")
        with world.engine.begin() as connection:
            # Somebody may refer to its rows, and the view may show it.
            connection.execute(text("DELETE FROM unheard_of"))
        assert not is_cached(world, "text key")
        assert not is_cached(world, "text about a view")
        with world.engine.begin() as connection:
            connection.execute(text("DROP TABLE unheard_of"))


class TestTransactions:
    def test_open_writes_are_private(self, world: World, elsewhere: ThreadPoolExecutor) -> None:
        assert cached(world, "get 1")[1] == "note 1"
        with Session(world.engine) as session:
            session.execute(update(Note).where(Note.id == 1).values(title="mine"))
            assert cached(world, "get 1", session)[1] == "mine"
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "note 1"
            assert is_cached(world, "get 1") is False
            assert elsewhere.submit(is_cached, world, "get 1").result(20)
            # Nothing of what else is read here may be stored.
            cached(world, "text key", session)
            assert not is_cached(world, "text key")
            session.commit()
        assert cached(world, "get 1")[1] == "mine"

    def test_what_is_rolled_back_leaves_no_trace(self, world: World) -> None:
        cached(world, "get 1")
        before = world.cache.stats().invalidations
        with Session(world.engine) as session:
            session.execute(update(Note).where(Note.id == 1).values(title="never"))
            assert cached(world, "get 1", session)[1] == "never"
            session.rollback()
            assert is_cached(world, "get 1")
        assert world.cache.stats().invalidations == before
        assert cached(world, "get 1")[1] == "note 1"

    def test_a_computation_may_roll_back_what_it_has_read(self, world: World) -> None:
        def read() -> str | None:
            with Session(world.engine) as session:
                session.execute(update(Note).where(Note.id == 1).values(title="never"))
                return session.scalar(select(Note.title).where(Note.id == 1))

        assert world.cache.fetch("title", read) == "never"
        assert not is_cached(world, "title")

    def test_a_connection_that_is_closed_rolls_back(self, world: World) -> None:
        cached(world, "get 1")
        connection = world.engine.connect()
        connection.execute(update(Note).where(Note.id == 1).values(title="never"))
        assert not is_cached(world, "get 1")
        connection.close()
        assert is_cached(world, "get 1")

    def test_a_connection_that_is_lost_rolls_back(self, world: World) -> None:
        cached(world, "get 1")
        connection = world.engine.connect()
        connection.execute(update(Note).where(Note.id == 1).values(title="never"))
        assert not is_cached(world, "get 1")
        connection.invalidate()
        assert is_cached(world, "get 1")
        connection.close()

    def test_a_savepoint_that_is_rolled_back(self, world: World) -> None:
        cached(world, "get 1")
        cached(world, "get 2")
        with Session(world.engine) as session:
            session.execute(update(Note).where(Note.id == 2).values(title="kept"))
            savepoint = session.begin_nested()
            session.execute(update(Note).where(Note.id == 1).values(title="never"))
            savepoint.rollback()
            session.commit()
        assert is_cached(world, "get 1")
        assert not is_cached(world, "get 2")

    def test_a_savepoint_that_is_released(self, world: World) -> None:
        cached(world, "get 1")
        with Session(world.engine) as session:
            with session.begin_nested():
                session.execute(update(Note).where(Note.id == 1).values(title="new"))
            session.commit()
        assert cached(world, "get 1")[1] == "new"

    def test_changes_that_are_not_flushed_are_seen(self, world: World) -> None:
        assert cached(world, "get 1")[1] == "note 1"
        with Session(world.engine) as session:
            session.get_one(Note, 1).title = "changed"
            assert cached(world, "get 1", session)[1] == "changed"
            assert not is_cached(world, "get 1")
            session.rollback()
            assert is_cached(world, "get 1")
            session.add(Note(id=9, title="added"))
            cached(world, "count")
            assert not is_cached(world, "count")

    def test_transactions_begun_by_hand(self, world: World) -> None:
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            connection.execute(text("COMMIT"))
            assert is_cached(world, "get 1") is False
        assert cached(world, "get 1")[1] == "new"

    def test_a_failed_insert_stays_without_effect(self, world: World) -> None:
        cached(world, "get 1")
        with Session(world.engine) as session:
            session.add(Label(id=1, slug="twice"))
            with pytest.raises(IntegrityError):
                session.flush()
            session.rollback()
        assert is_cached(world, "get 1")

    def test_engines_made_of_another(self, world: World) -> None:
        cached(world, "get 1")
        with world.engine.execution_options(any_option=1).begin() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="new"))
        assert cached(world, "get 1")[1] == "new"


class TestObjects:
    def test_a_session_that_goes_on_after_its_commit_fills_the_cache(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
            note.title = "new"
            session.commit()
            assert cached(world, "get 1", session)[1] == note.title
            session.rollback()
            assert is_cached(world, "get 1")

    def test_objects_from_elsewhere_may_be_old(self, world: World) -> None:
        with Session(world.engine) as session:
            note = session.get_one(Note, 1)
        with world.engine.begin() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="new"))
        with Session(world.engine) as session:
            session.add(note)
            # What the session gives out without a cache, too.
            assert cached(world, "get 1", session)[1] == "note 1"
        assert cached(world, "get 1")[1] == "new"

    def test_a_session_is_given_nothing_newer_than_what_it_holds(
        self, world: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        with Session(world.engine, expire_on_commit=False) as session:
            note = session.get_one(Note, 1)
            session.commit()
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "new"
            session.scalar(select(Author.name))
            assert cached(world, "get 1", session)[1] == note.title == "note 1"

    def test_changes_that_another_thread_has_made(
        self, world: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        def change(session: Session) -> Note:
            note = session.get_one(Note, 1)
            note.title = "mine"
            return note

        with Session(world.engine) as session:
            note = elsewhere.submit(change, session).result(20)
            assert cached(world, "get 1", session)[1] == note.title == "mine"
            assert not elsewhere.submit(is_cached, world, "get 1").result(20)
            assert not is_cached(world, "get 1")


class TestAutocommit:
    @pytest.fixture
    def engine(self, world: World) -> Any:
        return world.engine.execution_options(isolation_level="AUTOCOMMIT")

    def test_each_statement_counts_at_once(self, world: World, engine: Any) -> None:
        cached(world, "get 1")
        cached(world, "get 2")
        with engine.connect() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert cached(world, "get 1")[1] == "new"
            assert is_cached(world, "get 1")
            assert is_cached(world, "get 2")
            connection.execute(insert(Comment).values(text="x", note_id=1))
            connection.execute(update(Note).where(Note.id == 404).values(title="new"))
            assert is_cached(world, "get 1")

    def test_transactions_begun_by_hand(self, world: World, engine: Any) -> None:
        cached(world, "get 1")
        with engine.connect() as connection:
            for end in ("ROLLBACK", "COMMIT"):
                connection.exec_driver_sql("BEGIN")
                connection.execute(update(Note).where(Note.id == 1).values(title=end))
                assert not is_cached(world, "get 1")
                connection.exec_driver_sql(end)
                assert is_cached(world, "get 1") is (end == "ROLLBACK")
            assert cached(world, "get 1")[1] == "COMMIT"
            connection.execute(update(Note).where(Note.id == 1).values(title="alone"))
            assert cached(world, "get 1")[1] == "alone"


class TestSqlite:
    def test_a_savepoint_may_be_the_transaction(self, sqlite_only: World) -> None:
        world = sqlite_only
        cached(world, "get 1")
        with Session(world.engine) as session:
            with session.begin_nested():
                session.execute(update(Note).where(Note.id == 1).values(title="new"))
            # Python's sqlite3 began no transaction, so releasing the savepoint was the commit.
            session.rollback()
        with Session(world.behind) as session:
            assert cached(world, "get 1")[1] == session.get_one(Note, 1).title

    def test_a_write_that_begins_with_another_word_is_committed_at_once(
        self, sqlite_only: World
    ) -> None:
        world = sqlite_only
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.execute(text("WITH x AS (SELECT 1) UPDATE note SET title = 'new'"))
            assert cached(world, "get 1")[1] == "new"
            connection.rollback()
        assert cached(world, "get 1")[1] == "new"

    def test_a_write_that_begins_with_a_comment(
        self, sqlite_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        world = sqlite_only
        cached(world, "get 1")
        with world.engine.connect() as connection:
            connection.execute(text("/* why */ UPDATE note SET title = 'new'"))
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "note 1"
            connection.commit()
        assert cached(world, "get 1")[1] == "new"

    def test_a_driver_that_commits_without_being_asked(
        self, sqlite_only: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = sqlite_only
        monkeypatch.setattr(transactions, "commits_alone", lambda *arguments: False)
        cached(world, "get 1")
        engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert cached(world, "get 1")[1] == "new"
            connection.rollback()
        assert cached(world, "get 1")[1] == "new"

    def test_connections_that_share_one_of_the_driver(self) -> None:
        engine = open_engine("sqlite://", poolclass=StaticPool)
        Base.metadata.create_all(engine)
        cache = Cache()
        with track(engine, cache=cache), Session(engine) as one, Session(engine) as other:
            one.execute(insert(Label).values(id=1, slug="never"))
            # It sees what is not committed, because it is the same transaction.
            assert cache.fetch("label", lambda: other.get(Label, 1) is not None)
            assert cache.get("label", MISSING) is MISSING
            one.rollback()
            assert cache.get("label", MISSING) is MISSING
        engine.dispose()

    def test_what_others_have_not_committed_is_not_stored(self) -> None:
        url = "sqlite:///file:uncommitted?mode=memory&cache=shared&uri=true"
        engine = open_engine(url, poolclass=NullPool)
        cache = Cache()

        def read() -> bool:
            careless = engine.execution_options(isolation_level="READ UNCOMMITTED")
            with Session(careless) as session:
                return cache.fetch("label", lambda: session.get(Label, 1) is not None)

        with track(engine, cache=cache), engine.connect() as writer:
            Base.metadata.create_all(writer)
            writer.commit()
            writer.execute(insert(Label).values(id=1, slug="never"))
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(read).result(20)
            writer.rollback()
            assert cache.get("label", MISSING) is MISSING


class TestConnections:
    """Without a session, which would be asked each time."""

    def test_rows_whose_keys_are_not_known_yet(self, sqlite_only: World) -> None:
        world = sqlite_only
        world.cache.set("labels", 1, deps=f"db:{world.tracking.names[0]}:label:*")
        with world.engine.connect() as connection:
            assert is_cached(world, "labels")
            connection.execute(insert(Label).values(slug="new"))
            assert not is_cached(world, "labels")
            connection.rollback()
        assert is_cached(world, "labels")

    def test_a_cache_that_is_served_from_the_middle_of_a_transaction_on(
        self, sqlite_only: World
    ) -> None:
        world, late = sqlite_only, Cache()
        with world.engine.connect() as connection:
            connection.execute(update(Note).where(Note.id == 1).values(title="never"))
            with track(world.engine, cache=late, name=world.tracking.names[0]):
                assert late.set("k", "never") is False
                connection.rollback()
                assert late.set("k", 1)
        late.reset()


class TestPostgresql:
    def test_an_old_snapshot_is_not_given_to_others(self, postgres_only: World) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            session.get(Author, 2)
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert cached(world, "get 1", session)[1] == "note 1"
        assert cached(world, "get 1")[1] == "new"

    def test_a_snapshot_sees_nothing_newer(
        self, postgres_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            session.get(Author, 2)
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "new"
            assert cached(world, "get 1", session)[1] == "note 1"

    def test_a_connection_without_a_session(
        self, postgres_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        """It has written nothing, so it forbids nothing, until somebody else writes."""
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        assert cached(world, "get 1")[1] == "note 1"
        with engine.connect() as snapshot:

            def title() -> str:
                found: str = snapshot.scalars(select(Note.title).where(Note.id == 1)).one()
                return found

            assert world.cache.fetch("title", title) == "note 1"
            assert not world.cache.guards
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            assert world.cache.fetch("title", title) == "note 1"
            assert elsewhere.submit(cached, world, "get 1").result(20)[1] == "new"
            assert not is_cached(world, "get 1")
        assert not world.cache.guards
        assert is_cached(world, "get 1")
        assert not is_cached(world, "title")

    def test_the_snapshot_of_another_transaction(self, postgres_only: World) -> None:
        """It is older than the transaction that reads it, by nobody knows how much."""
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as exporter, Session(engine) as importer:
            name = exporter.scalar(text("SELECT pg_export_snapshot()"))
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id < 3).values(title="new"))
            importer.execute(text(f"SET TRANSACTION SNAPSHOT '{name}'"))
            assert cached(world, "get 1", importer)[1] == "note 1"
            world.cache.set("by hand", importer.get_one(Note, 2).title, deps="db")
            assert not is_cached(world, "by hand")
        assert cached(world, "get 1")[1] == "new"

    def test_objects_from_the_snapshot_of_another_transaction(self, postgres_only: World) -> None:
        """They are as old as it, also when the transaction that loaded them is over."""
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as exporter, Session(engine, expire_on_commit=False) as importer:
            name = exporter.scalar(text("SELECT pg_export_snapshot()"))
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 2).values(title="new"))
            importer.execute(text(f"SET TRANSACTION SNAPSHOT '{name}'"))
            note = importer.get_one(Note, 2)
            importer.commit()
            exporter.rollback()
            assert world.cache.fetch("title", lambda: note.title) == "note 2"
        assert not is_cached(world, "title")

    def test_a_transaction_that_had_begun_before_it_was_tracked(self, postgres_only: World) -> None:
        world = postgres_only
        world.tracking.stop()
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            session.get(Author, 2)
            world.tracking = track(world.engine, cache=world.cache)
            with world.engine.begin() as connection:
                connection.execute(update(Note).values(title="new"))
            assert cached(world, "by key", session) == [("note 2", 2)]
            assert cached(world, "get 1", session)[1] == "note 1"
        assert cached(world, "by key") == [("new", 2)]
        assert cached(world, "get 1")[1] == "new"

    def test_what_is_stored_by_hand_is_as_old_as_the_snapshot(self, postgres_only: World) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            session.get(Author, 2)
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 1).values(title="new"))
            note = session.get_one(Note, 1)
            world.cache.set("by hand", note.title, deps=row_tags(note))
        assert not is_cached(world, "by hand")

    def test_a_snapshot_that_another_thread_has_taken(
        self, postgres_only: World, elsewhere: ThreadPoolExecutor
    ) -> None:
        world = postgres_only
        engine = world.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            elsewhere.submit(session.get, Author, 2).result(20)
            with world.engine.begin() as connection:
                connection.execute(update(Note).where(Note.id == 2).values(title="new"))
            assert cached(world, "by key", session) == [("note 2", 2)]
        assert cached(world, "by key") == [("new", 2)]

    @pytest.mark.parametrize("outcome", ["commit", "rollback"])
    def test_two_phases(self, postgres_only: World, outcome: str) -> None:
        world = postgres_only
        cached(world, "get 1")
        cached(world, "get 2")
        with Session(world.engine, twophase=True) as session:
            session.get_one(Note, 1).title = "new"
            session.flush()
            session.prepare()
            assert not is_cached(world, "get 1")
            getattr(session, outcome)()
        assert is_cached(world, "get 1") is (outcome == "rollback")
        assert is_cached(world, "get 2")

    @pytest.mark.parametrize("outcome", ["commit_prepared", "rollback_prepared"])
    @pytest.mark.parametrize("known", [True, False])
    def test_recovered(self, postgres_only: World, outcome: str, known: bool) -> None:
        world = postgres_only
        cached(world, "get 1")
        cached(world, "get 2")
        engine = world.engine if known else world.behind
        connection = engine.connect()
        transaction = connection.begin_twophase(f"x-{outcome}-{known}")
        connection.execute(update(Note).where(Note.id == 1).values(title="new"))
        transaction.prepare()
        connection.invalidate()
        assert is_cached(world, "get 1")
        with world.engine.connect() as other:
            getattr(other, outcome)(f"x-{outcome}-{known}", recover=True)
            other.rollback()
        connection.close()
        assert is_cached(world, "get 1") is (outcome == "rollback_prepared")
        assert is_cached(world, "get 2") is (known or outcome == "rollback_prepared")


def test_upserts(world: World) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    made = sqlite if world.engine.dialect.name == "sqlite" else postgresql
    cached(world, "labels of 1")

    def slug() -> str:
        with Session(world.engine) as session:
            return session.get_one(Label, 1).slug

    assert world.cache.fetch("slug", slug) == "red"
    upsert = made.insert(Label).values(id=77, slug="red")
    with world.engine.begin() as connection:
        connection.execute(
            upsert.on_conflict_do_update(index_elements=["slug"], set_={"slug": "crimson"})
        )
    assert cached(world, "labels of 1") == ["crimson"]
    assert world.cache.fetch("slug", slug) == "crimson"


def test_a_row_that_gets_another_key(world: World) -> None:
    cached(world, "get 9")
    cached(world, "get 2")
    with world.engine.begin() as connection:
        connection.execute(update(Note).where(Note.id == 2).values(id=9))
    assert cached(world, "get 9")[1] == "note 2"
    assert cached(world, "get 2") is None


def test_a_many_to_many_relation(world: World) -> None:
    assert cached(world, "labels of 1") == ["red"]
    with Session(world.engine) as session:
        note = session.get_one(Note, 1)
        note.labels.append(session.get_one(Label, 2))
        session.commit()
    assert cached(world, "labels of 1") == ["blue", "red"]
    with world.engine.begin() as connection:
        connection.execute(delete(labelled).where(labelled.c.note_id == 1))
    assert cached(world, "labels of 1") == []
