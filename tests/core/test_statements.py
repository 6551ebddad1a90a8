"""Which tables a statement reads and writes, told from its text."""

from __future__ import annotations

import pytest

from zoocache_core.statements import Statement, control, parse

TABLES = {"book", "author", "tag", "book_tags", "order"}


def read(sql: str) -> Statement:
    return parse(sql, TABLES)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT "book"."id" FROM "book" INNER JOIN "author" T3 ON (a = b)', "author book"),
        ("SELECT 1 FROM book b, public.author LEFT JOIN (tag JOIN book_tags ON 1)", None),
        ("SELECT (SELECT name FROM author WHERE id = 1) FROM book", "author book"),
        ("SELECT 1 WHERE EXISTS(SELECT 1 FROM tag)", "tag"),
        ("(SELECT id FROM book) UNION ALL (SELECT id FROM author)", "author book"),
        ("WITH x (n) AS (SELECT id FROM book) SELECT * FROM x", "book"),
        ("SELECT * FROM generate_series(1, 3) AS g, book", "book"),
        ("SELECT EXTRACT(YEAR FROM at), SUBSTRING(a FROM 2) FROM book ORDER BY 1", "book"),
        ("SELECT a IS DISTINCT FROM b FROM author", "author"),
        ('SELECT * FROM "order"', "order"),
        ("SELECT * FROM `book` -- FROM nowhere", "book"),
        ("select * from BOOK /* from nowhere */ for update of book", "book"),
        ("SELECT 1", ""),
        ("SELECT 1 FROM book WHERE id IN (SELECT 1 FROM (SELECT 1) WHERE 1!=1)", "book"),
        ("SHOW server_version", ""),
        ("PRAGMA foreign_keys", ""),
        ("EXPLAIN SELECT * FROM tag", "tag"),
    ],
)
def test_what_is_read(sql: str, tables: str | None) -> None:
    expected = TABLES - {"order"} if tables is None else set(tables.split())
    statement = read(sql)
    assert statement.reads == expected
    assert not statement.unknown
    assert not statement.writes
    assert not statement.opaque


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('INSERT INTO "book" ("author", "tag") VALUES (%s, %s)', "book"),
        ("INSERT OR REPLACE INTO book VALUES (1)", "book"),
        ("INSERT INTO book SELECT * FROM author", "book"),
        ("INSERT INTO book (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET y = 2", "book"),
        ("REPLACE INTO book VALUES (1)", "book"),
        ('UPDATE ONLY "book" SET x = (SELECT 1 FROM author) WHERE id = 1', "book"),
        ("UPDATE public.book SET x = y FROM author", "book"),
        ("DELETE FROM book WHERE id IN (SELECT id FROM author)", "book"),
        ("TRUNCATE TABLE book, author RESTART IDENTITY", "author book"),
        ("WITH gone AS (DELETE FROM book RETURNING *) SELECT * FROM gone", "book"),
        ("MERGE INTO book USING author ON (1) WHEN MATCHED THEN UPDATE SET x = 1", "book"),
        ("COPY book FROM STDIN", "book"),
        ("DELETE FROM book; DELETE FROM author", "author book"),
        ("ALTER TABLE book ADD COLUMN x int", "book"),
        ("DROP TABLE IF EXISTS book, author", "author book"),
        ('ALTER TABLE "new__book" RENAME TO "book"', "book new__book"),
        ("EXPLAIN ANALYZE DELETE FROM book", "book"),
        ("SELECT * INTO copy FROM book", "copy"),
        ("INSERT INTO unheard_of VALUES (1)", "unheard_of"),
    ],
)
def test_what_is_written(sql: str, tables: str) -> None:
    statement = read(sql)
    assert statement.writes == set(tables.split())
    assert not statement.opaque


@pytest.mark.parametrize(
    "sql",
    [
        "CALL refresh()",
        "DO $$ BEGIN UPDATE book SET x = 1; END $$",
        "TRUNCATE book CASCADE",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "BEGIN; UPDATE book SET x = 1; COMMIT",
        "COMMIT PREPARED 'x'",
        "EXECUTE statement (1)",
    ],
)
def test_what_may_write_anything(sql: str) -> None:
    assert read(sql).opaque


@pytest.mark.parametrize("sql", ["CREATE INDEX i ON book (x)", "ANALYZE book", "SET x = 1"])
def test_what_writes_no_row(sql: str) -> None:
    statement = read(sql)
    assert not statement.writes
    assert not statement.opaque


def test_a_name_of_no_model_in_the_place_of_a_table_may_be_a_view() -> None:
    assert read("SELECT * FROM book JOIN sales USING (id)").unknown == {"sales"}


@pytest.mark.parametrize(
    ("sql", "unknown"),
    [
        ("WITH sales AS (SELECT 1 FROM book) SELECT * FROM sales", False),
        (
            "WITH a AS (SELECT 1), sales (n) AS MATERIALIZED (SELECT 1) SELECT * FROM sales, a",
            False,
        ),
        ("WITH RECURSIVE sales AS (SELECT 1 UNION SELECT n FROM sales) SELECT * FROM sales", False),
        ("WITH sales AS (SELECT 1) SELECT (SELECT n FROM sales) UNION SELECT n FROM sales", False),
        ("INSERT INTO book WITH sales AS (SELECT 1) SELECT * FROM sales", False),
        # The name of a view, where that of the common table expression does not apply.
        ("WITH sales AS (SELECT * FROM sales) SELECT * FROM sales", True),
        ("WITH sales AS (SELECT * FROM public.sales) SELECT * FROM sales", True),
        ("WITH a AS (SELECT * FROM sales), sales AS (SELECT 1) SELECT * FROM a", True),
        ("SELECT * FROM (WITH sales AS (SELECT 1) SELECT * FROM sales) x, sales", True),
        ("TABLE sales", True),
        ("INSERT INTO book (TABLE sales)", True),
    ],
)
def test_names_of_common_table_expressions(sql: str, unknown: bool) -> None:
    assert read(sql).unknown == ({"sales"} if unknown else set())


def test_places_of_tables_are_counted() -> None:
    sql = 'SELECT "book"."id" FROM "book" WHERE EXISTS(SELECT 1 FROM "book" U0) '
    assert read(sql).relations["book"] == 2


@pytest.mark.parametrize(
    ("sql", "counted"),
    [
        ("UPDATE book SET x = 1", True),
        ("DELETE FROM book;", True),
        ("WITH x AS (DELETE FROM book RETURNING id) SELECT * FROM x", False),
        ("DELETE FROM book; DELETE FROM author", False),
        ("TRUNCATE book", False),
        ("COPY book FROM STDIN", False),
    ],
)
def test_when_the_row_count_tells(sql: str, counted: bool) -> None:
    assert read(sql).counted is counted


@pytest.mark.parametrize("column", ["copy", "update", "delete", "insert", "merge", "truncate"])
def test_columns_with_the_names_of_verbs(column: str) -> None:
    query = read(f"SELECT book.id, book.{column}, author FROM book WHERE {column} = 1")
    assert not query.writes
    for sql in (
        f"INSERT INTO book (id, {column}, author) VALUES (1, 2, 3)",
        f"UPDATE book SET {column} = 1 WHERE book.{column} > 2 AND {column} IS NULL",
    ):
        assert read(sql).writes == {"book"}
        assert read(sql).counted


@pytest.mark.parametrize("table", ["quick", "only", "ignore", "abort"])
def test_tables_with_the_names_of_modifiers(table: str) -> None:
    for sql in (
        f"UPDATE {table} SET x = 1",
        f"DELETE FROM {table}",
        f"DELETE FROM {table} WHERE x = 1",
        f"INSERT INTO {table} (x) VALUES (1)",
    ):
        assert parse(sql, {table}).writes == {table}
    assert parse(f"SELECT * FROM {table} WHERE x = 1", {table}).reads == {table}


@pytest.mark.parametrize(
    "sql",
    [
        # A backslash ends this string in one dialect and continues it in another.
        "UPDATE book SET x = 'it\\' WHERE EXISTS(SELECT 1 FROM author) AND y = 'it'",
        "UPDATE book SET x = 'never closed FROM author",
    ],
)
def test_a_text_that_is_not_understood_writes_what_it_names(sql: str) -> None:
    assert read(sql).writes >= {"book", "author"}
    assert not read(sql).counted


def test_a_query_with_a_backslash_still_only_reads() -> None:
    statement = read("SELECT 1 FROM book WHERE title LIKE 'a' ESCAPE '\\' AND x = 'author'")
    assert statement.reads >= {"book"}
    assert not statement.writes
    assert not statement.opaque


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("BEGIN", ("begin", "")),
        ("BEGIN IMMEDIATE", ("begin", "")),
        ("start transaction isolation level serializable", ("begin", "")),
        ("COMMIT", ("commit", "")),
        ("END", ("commit", "")),
        ("ROLLBACK", ("rollback", "")),
        ("ABORT", ("rollback", "")),
        ('SAVEPOINT "s1_x2"', ("savepoint", "s1_x2")),
        ('ROLLBACK TO SAVEPOINT "s1_x2"', ("undo", "s1_x2")),
        ("ROLLBACK WORK TO s1;", ("undo", "s1")),
        ('RELEASE SAVEPOINT "s1_x2"', ("release", "")),
        ("SET TRANSACTION SNAPSHOT '0-1'", ("snapshot", "")),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
        ("COMMIT PREPARED 'x'", None),
        ("ROLLBACK PREPARED 'x'", None),
        ("BEGIN; DELETE FROM book; COMMIT", None),
        ("UPDATE book SET x = 1", None),
    ],
)
def test_what_steers_a_transaction(sql: str, kind: tuple[str, str] | None) -> None:
    assert control(sql) == kind
