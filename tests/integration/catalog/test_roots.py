"""Roots of an environment become libraries, in our own table and in another application's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.schema import migrate
from file_watcher.errors import CatalogError, CatalogUnavailable, FileWatcherError
from file_watcher.model import Library
from tests.support.waiting import wait_for

ME, OTHER = "abc12345", "def67890"


def watched(database: Database) -> dict[str, bool]:
    with database.reading() as connection:
        rows = connection.execute(text("SELECT path, is_watched FROM libraries ORDER BY path")).all()
        return {row.path: bool(row.is_watched) for row in rows}


def origins(database: Database) -> list[tuple[str, str, bool]]:
    question = (
        "SELECT path, instance_id, was_watched FROM fw_library_origins JOIN libraries ON id = library_id "
        "ORDER BY path, instance_id"
    )
    with database.reading() as connection:
        return [(row[0], row[1], bool(row[2])) for row in connection.execute(text(question))]


def run(database: Database, statement: str) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql(statement)


def test_roots_are_watched_as_long_as_the_environment_names_them(database: Database) -> None:
    rows = Libraries(database)

    first = rows.ensure_libraries([b"/b", b"/a"], ME)
    assert [library.root for library in first] == [b"/b", b"/a"]
    assert origins(database) == [("/a", ME, False), ("/b", ME, False)]

    assert rows.ensure_libraries([b"/a"], ME) == first[1:]
    assert watched(database) == {"/a": True, "/b": False}
    assert origins(database) == [("/a", ME, False)]

    assert rows.ensure_libraries([b"/b"], ME) == first[:1]
    assert watched(database) == {"/a": False, "/b": True}


def test_what_an_operator_watched_stays_watched_when_the_environment_names_it_no_more(
    database: Database,
) -> None:
    rows = Libraries(database)
    run(database, "INSERT INTO libraries (name, path, type, is_watched) VALUES ('a', '/a', 'x', true)")

    assert rows.ensure_libraries([b"/a"], ME)[0].type == "x"
    assert origins(database) == [("/a", ME, True)]
    rows.ensure_libraries([], ME)

    assert watched(database) == {"/a": True}


def test_a_root_of_two_instances_is_given_back_by_the_last_of_them(database: Database) -> None:
    rows = Libraries(database)
    rows.ensure_libraries([b"/a"], ME)
    rows.ensure_libraries([b"/a"], OTHER)
    assert origins(database) == [("/a", ME, False), ("/a", OTHER, False)]

    rows.ensure_libraries([], ME)
    assert watched(database) == {"/a": True}
    rows.ensure_libraries([], OTHER)
    assert watched(database) == {"/a": False}


def test_a_root_that_was_unwatched_meanwhile_is_watched_by_the_next_start(database: Database) -> None:
    rows = Libraries(database)
    rows.ensure_libraries([b"/a"], ME)
    run(database, "UPDATE libraries SET is_watched = false")
    rows.ensure_libraries([b"/a"], ME)

    assert watched(database) == {"/a": True}
    assert origins(database) == [("/a", ME, False)]


def test_an_origin_whose_row_was_removed_goes_too(database: Database) -> None:
    rows = Libraries(database)
    rows.ensure_libraries([b"/a"], ME)
    run(database, "DELETE FROM libraries")
    rows.ensure_libraries([], ME)

    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM fw_library_origins")).scalar() == 0


def test_nothing_is_written_where_nothing_changes(database: Database) -> None:
    """A row that is written again wakes everybody who listens, and changes the other application's times."""
    rows = Libraries(database)
    rows.ensure_libraries([b"/a"], ME)
    run(database, "CREATE TABLE written (what TEXT)")
    if database.is_sqlite:
        run(
            database, "CREATE TRIGGER t AFTER UPDATE ON libraries BEGIN INSERT INTO written VALUES ('x'); END"
        )
    else:
        run(
            database,
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO written VALUES ('x'); RETURN NULL; END $$; "
            "CREATE TRIGGER t AFTER UPDATE ON libraries FOR EACH ROW EXECUTE FUNCTION t()",
        )

    rows.ensure_libraries([b"/a"], ME)

    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM written")).scalar() == 0


def made(url: str, *columns: str) -> Database:
    """A database whose `libraries` somebody else made, with these further columns or rules."""
    database = Database(url)
    database.open()
    parts = ("id INTEGER PRIMARY KEY", "name TEXT", "path TEXT", *columns)
    run(database, f"CREATE TABLE libraries ({', '.join(parts)})")
    if not database.is_sqlite:
        run(database, "CREATE SEQUENCE ids; ALTER TABLE libraries ALTER id SET DEFAULT nextval('ids')")
    migrate(database)
    return database


def refusal(database: Database, root: bytes = b"/it's") -> str:
    with pytest.raises(CatalogError) as refused:
        Libraries(database).ensure_libraries([b"/fine", root], ME)
    return str(refused.value)


def test_the_type_that_most_rows_have_is_taken_where_ours_is_refused(database_url: str) -> None:
    with closing(made(database_url, "type TEXT CHECK (type IN ('a', 'b', 'c'))")) as database:
        run(
            database,
            "INSERT INTO libraries (name, path, type) VALUES ('x', '/x', 'a'), ('y', '/y', 'b'), ('z', '/z', 'b')",
        )

        assert Libraries(database).ensure_libraries([b"/new"], ME)[0].type == "b"


def test_a_table_that_refuses_every_type_asks_for_a_row_by_hand(database_url: str) -> None:
    with closing(made(database_url, "type TEXT CHECK (type IN ('a', 'b'))")) as database:
        told = refusal(database, b"/it's")

        assert (
            "INSERT INTO libraries (name, path, type, is_watched) VALUES ('fine', '/fine', …, true);" in told
        )
        assert watched(database) == {}, "all roots or none"
        for name in ("fine", "it''s"):
            row = f"('{name}', '/{name}', 'a', true)"
            run(database, f"INSERT INTO libraries (name, path, type, is_watched) VALUES {row}")
        found = Libraries(database).ensure_libraries([b"/fine", b"/it's"], ME)
        assert [library.type for library in found] == ["a", "a"]


def test_columns_that_must_have_a_value_are_named_in_the_row_to_add(database_url: str) -> None:
    columns = ("type TEXT", "owner TEXT NOT NULL", "since INTEGER NOT NULL DEFAULT 1", "team TEXT NOT NULL")
    with closing(made(database_url, *columns)) as database:
        assert (
            "(name, path, type, is_watched, owner, team) VALUES ('fine', '/fine', 'production', true, …, …);"
            in (refusal(database))
        )


def test_a_name_that_does_not_fit_is_told_in_the_databases_words(postgres_url: str) -> None:
    with closing(made(postgres_url, "type TEXT")) as database:
        run(database, "ALTER TABLE libraries ALTER path TYPE VARCHAR(8)")
        assert "value too long for type character varying(8)" in refusal(database, b"/far/too/long")


def test_a_row_that_the_other_application_adds_at_the_same_moment_is_adopted(postgres_url: str) -> None:
    """Theirs is not seen until it commits, and our INSERT waits for that at their unique index."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO libraries%'"
    with (
        closing(made(postgres_url, "type TEXT", "UNIQUE (path)")) as database,
        psycopg.connect(postgres_url) as theirs,
        psycopg.connect(postgres_url, autocommit=True) as onlooker,
        ThreadPoolExecutor(1) as ours,
    ):
        theirs.execute("INSERT INTO libraries (id, name, path, type) VALUES (77, 'theirs', '/a', 'q')")
        found = ours.submit(Libraries(database).ensure_libraries, [b"/a"], ME)
        wait_for(lambda: onlooker.execute(waits).fetchone() is not None, "our INSERT to wait", 30)
        theirs.commit()

        assert found.result(30) == [Library(77, "theirs", "q", b"/a")]
        assert origins(database) == [("/a", ME, False)]
        assert watched(database) == {"/a": True}


@pytest.mark.parametrize(
    ("state", "error"), [("P0001", CatalogError), ("42501", CatalogError), ("53100", CatalogUnavailable)]
)
def test_what_a_trigger_of_theirs_says_is_passed_on(
    postgres_url: str, state: str, error: type[FileWatcherError]
) -> None:
    with closing(made(postgres_url, "type TEXT")) as database:
        run(
            database,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'ask Ada first' USING ERRCODE = '{state}'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON libraries FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        with pytest.raises(error, match="ask Ada first"):
            Libraries(database).ensure_libraries([b"/a"], ME)
