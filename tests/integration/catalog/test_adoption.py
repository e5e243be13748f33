"""The catalog beside another application's tables: what is added, what is taken back, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import inspect, text

from file_watcher.catalog import schema
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.runtime_settings import settings_rows
from file_watcher.catalog.schema import downgrade, has_notices, migrate, report, schema_state
from file_watcher.errors import CatalogError
from file_watcher.model import Library
from tests.integration.catalog.foreign_schemas import IDENTITIES, MEDIA_SERVER, OWN_FLAG, SHAPES
from tests.support.postgresql import PostgresCluster

COLUMN = "is_watched boolean DEFAULT false NOT NULL"


@contextmanager
def connected(url: str) -> Iterator[Database]:
    """The database as it is, whatever its schema."""
    with closing(Database(url)) as database:
        database.open()
        yield database


def made_by_others(url: str, statements: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statements.encode())


def migrate_to(database: Database, revision: str) -> None:
    """As a version of before did, which kept no record of what it made."""
    with database.writing() as connection:
        command.upgrade(schema._config(connection), revision)
        connection.execute(text("DROP TABLE fw_adoption"))


def lines_of(dump: list[str]) -> set[str]:
    return {line.strip().rstrip(",") for line in dump} - {""}


def theirs(url: str) -> list[tuple[object, ...]]:
    """All rows of the other application, with the columns that it has made itself."""
    with psycopg.connect(url) as connection:
        return [
            row
            for table in ("settings", "log_entries")
            for row in connection.execute(f"TABLE {table}".encode()).fetchall()
        ]


@pytest.mark.parametrize("shape", SHAPES)
def test_another_applications_database_is_whole_after_the_way_up_and_after_the_way_down(
    postgres: PostgresCluster, postgres_url: str, shape: str
) -> None:
    made_by_others(postgres_url, SHAPES[shape])
    before = postgres.dump(postgres_url)
    definitions = lines_of(postgres.dump(postgres_url, "--schema-only"))
    rows = theirs(postgres_url)
    with connected(postgres_url) as database:
        migrate(database)

        added = lines_of(postgres.dump(postgres_url, "--schema-only", "--exclude-table=fw_*")) - definitions
        assert not definitions - lines_of(postgres.dump(postgres_url, "--schema-only"))
        assert rows == theirs(postgres_url)
        assert {line for line in added if "fw_notify" not in line} <= {COLUMN, *FUNCTION}
        assert (COLUMN in added) == (shape != "own flag")
        with database.reading() as connection:
            assert has_notices(connection)

        downgrade(database)

        assert schema_state(database) == "empty"
    assert postgres.dump(postgres_url) == before


FUNCTION = (
    "LANGUAGE plpgsql SECURITY DEFINER",
    "SET search_path TO 'pg_catalog', 'pg_temp'",
    "AS $$ BEGIN PERFORM pg_catalog.pg_notify('file_watcher_config', TG_TABLE_NAME); RETURN NULL; END $$;",
)


@pytest.mark.parametrize(
    ("shape", "kind"), [("media server", "production"), ("identities", "music"), ("own flag", "incoming")]
)
def test_roots_and_settings_live_in_the_other_applications_tables(
    postgres_url: str, shape: str, kind: str
) -> None:
    made_by_others(postgres_url, SHAPES[shape])
    with connected(postgres_url) as database:
        migrate(database)

        [library] = Libraries(database).ensure_libraries([b"/srv/new"], "abc12345")

        assert library == Library(library.id, "new", kind, b"/srv/new")
        assert Libraries(database).ensure_library(b"/srv/new") == library
        assert len(settings_rows(database)) == 1


def test_a_row_of_theirs_is_adopted_and_given_back_as_it_was(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    made_by_others(postgres_url, OWN_FLAG)
    made_by_others(postgres_url, "DROP TRIGGER audit_libraries ON libraries")
    before = postgres.dump(postgres_url)
    with connected(postgres_url) as database:
        migrate(database)
        found = Libraries(database).ensure_libraries([b"/srv/out", b"/srv/drop"], "abc12345")
        assert [(library.id, library.name, library.type) for library in found] == [
            (8, "out", "release"),
            (7, "Drop", "incoming"),
        ]

        downgrade(database)
    assert sorted(postgres.dump(postgres_url)) == sorted(before)  # an UPDATE moves a row


@pytest.mark.parametrize("shape", [MEDIA_SERVER, ""], ids=["their tables", "no tables"])
def test_processes_that_start_at_once_add_everything_once(postgres_url: str, shape: str) -> None:
    made_by_others(postgres_url, shape or "SELECT 1")

    def start(_: int) -> str:
        with connected(postgres_url) as database:
            migrate(database)
            Libraries(database).ensure_libraries([b"/srv/music", b"/srv/other"], "abc12345")
            return schema_state(database)

    with ThreadPoolExecutor(6) as starters:
        assert list(starters.map(start, range(6))) == ["current"] * 6
    with connected(postgres_url) as database, database.reading() as connection:
        paths = connection.execute(
            text("SELECT path FROM libraries WHERE is_watched ORDER BY path")
        ).scalars()
        assert list(paths) == ["/srv/music", "/srv/other"]
        assert connection.execute(text("SELECT count(*) FROM fw_adoption")).scalar() == (1 if shape else 2)


def test_our_tables_go_where_the_search_path_says(postgres: PostgresCluster, postgres_url: str) -> None:
    made_by_others(
        postgres_url,
        "CREATE SCHEMA app; CREATE SCHEMA watch; SET search_path = app;"
        + MEDIA_SERVER
        + "; CREATE TABLE public.libraries (nothing INT);",
    )
    before = postgres.dump(postgres_url)
    with connected(f"{postgres_url}?options=-csearch_path%3Dwatch,app") as database:
        migrate(database)

        with database.reading() as connection:
            inspector = inspect(connection)
            assert {"fw_files", schema.VERSION_TABLE} <= set(inspector.get_table_names("watch"))
            assert set(inspector.get_table_names("app")) == {"libraries", "log_entries", "settings", "users"}
            assert inspector.get_table_names("public") == ["libraries"]
            assert has_notices(connection)
        assert Libraries(database).ensure_library(b"/srv/music").id == 1

        downgrade(database)
    assert postgres.dump(postgres_url) == before


def test_what_is_missing_of_their_tables_later_is_added_again(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    made_by_others(postgres_url, MEDIA_SERVER)
    before = postgres.dump(postgres_url)
    with connected(postgres_url) as database:
        migrate(database)
        # As when only our tables come from a backup; their own tools made theirs anew.
        made_by_others(
            postgres_url, "DROP FUNCTION fw_notify_config CASCADE; ALTER TABLE libraries DROP is_watched"
        )
        assert schema_state(database) == "older"
        assert report(database).adds[0].endswith("it is shared, and gets the column is_watched.")

        migrate(database)

        assert report(database).has_notices
        assert Libraries(database).ensure_libraries([], "abc12345") == []
        made_by_others(postgres_url, "ALTER TABLE libraries DROP is_watched")
        downgrade(database)
    assert postgres.dump(postgres_url) == before


def test_a_table_of_ours_that_others_replaced_is_theirs_from_then_on(database_url: str) -> None:
    with connected(database_url) as database:
        migrate(database)
        with database.writing() as connection:
            for table, columns in (
                ("libraries", "name TEXT, path TEXT, type TEXT"),
                ("settings", "key TEXT, value TEXT"),
            ):
                connection.execute(text(f"DROP TABLE {table}"))
                connection.execute(text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {columns})"))

        migrate(database)

        with database.reading() as connection:
            made = set(connection.execute(text("SELECT made FROM fw_adoption")).scalars())
            assert has_notices(connection)
        assert made == {"libraries.is_watched", "settings"}
        downgrade(database)
        with database.reading() as connection:
            assert {column["name"] for column in inspect(connection).get_columns("libraries")} == {
                *("id", "name", "path", "type")
            }


# Who made what, in catalogs of before it was recorded


def test_a_column_that_an_earlier_version_added_is_taken_back(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    made_by_others(postgres_url, IDENTITIES)
    before = postgres.dump(postgres_url)
    with connected(postgres_url) as database:
        migrate_to(database, "0003")
        migrate(database)
        downgrade(database)
    assert postgres.dump(postgres_url) == before


def test_a_column_of_theirs_that_looks_like_ours_stays(postgres: PostgresCluster, postgres_url: str) -> None:
    flag = f"ALTER TABLE libraries ADD COLUMN {COLUMN}; UPDATE libraries SET is_watched = id = 1"
    made_by_others(postgres_url, MEDIA_SERVER + flag)
    before = postgres.dump(postgres_url)
    with connected(postgres_url) as database:
        migrate_to(database, "0002")
        migrate(database)
        downgrade(database)
    assert postgres.dump(postgres_url) == before


def test_what_an_earlier_version_watched_is_marked_by_the_next_start_and_not_for_ever(
    database_url: str,
) -> None:
    with connected(database_url) as database:
        migrate_to(database, "0003")
        with database.writing() as connection:
            for number, path in ((1, "/music"), (2, "/old")):
                connection.execute(
                    text(
                        "INSERT INTO libraries (name, path, type, is_watched) VALUES (:path, :path, 'x', true)"
                    ),
                    {"path": path},
                )
                connection.execute(
                    text(
                        "INSERT INTO fw_library_state (library_id, state, first_scan_done, updated_ns) "
                        "VALUES (:id, 'active', true, 1)"
                    ),
                    {"id": number},
                )
        migrate(database)
        Libraries(database).ensure_libraries([b"/music"], "abc12345")
        assert watched(database) == {"/music": True, "/old": False}

        Libraries(database).ensure_libraries([], "abc12345")
        assert watched(database) == {"/music": False, "/old": False}

        downgrade(database)
        with database.reading() as connection:
            assert set(inspect(connection).get_table_names()) <= {"sqlite_sequence"}


def watched(database: Database) -> dict[str, bool]:
    with database.reading() as connection:
        rows = connection.execute(text("SELECT path, is_watched FROM libraries")).all()
        return {row.path: bool(row.is_watched) for row in rows}


def test_tables_that_we_made_stay_where_others_have_built_upon_them(postgres_url: str) -> None:
    uses = (
        "ALTER TABLE {0} ADD COLUMN colour TEXT",
        "CREATE INDEX i_{0} ON {0} (id)",
        "CREATE VIEW v_{0} AS TABLE {0}",
    )
    with connected(postgres_url) as database:
        for use in uses:
            migrate(database)
            for table in ("libraries", "settings"):
                made_by_others(postgres_url, use.format(table))

            downgrade(database)

            with database.reading() as connection:
                assert set(inspect(connection).get_table_names()) == {"libraries", "settings"}, use
            made_by_others(postgres_url, "DROP TABLE libraries, settings CASCADE")


def test_a_table_that_we_made_stays_with_rows_that_are_not_ours(database_url: str) -> None:
    with connected(database_url) as database:
        migrate(database)
        Libraries(database).ensure_libraries([b"/ours"], "abc12345")
        with database.writing() as connection:
            connection.execute(text("INSERT INTO libraries (name, path, type) VALUES ('a', '/a', 'x')"))
            connection.execute(text("INSERT INTO settings (key, value) VALUES ('file_watchful', '1')"))

        downgrade(database)
        migrate(database)  # and now they are another's

        assert watched(database) == {"/ours": False, "/a": False}
        downgrade(database)
        with database.reading() as connection:
            assert set(inspect(connection).get_table_names()) == {"libraries", "settings"}


def test_what_others_hung_on_our_column_keeps_everything_as_it_is(postgres_url: str) -> None:
    made_by_others(postgres_url, MEDIA_SERVER)
    with connected(postgres_url) as database:
        migrate(database)
        made_by_others(postgres_url, "CREATE VIEW seen AS SELECT name FROM libraries WHERE is_watched")

        with pytest.raises(CatalogError, match=r"something else depends on it.*view seen.*Remove that first"):
            downgrade(database)

        assert schema_state(database) == "current"


THEIRS_ON_SQLITE = (
    """CREATE TABLE libraries (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT UNIQUE, -- the folder
        type TEXT CHECK (type IN ('a', 'b')), owner TEXT NOT NULL DEFAULT 'me') -- theirs
    """,
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "INSERT INTO libraries (name, path, type) VALUES ('x', '/x', 'b'), ('y', '/y', 'a'), ('z', '/z', 'b')",
)


def test_a_file_of_another_application_is_adopted_on_sqlite_too(tmp_path: Path) -> None:
    with connected(f"sqlite:///{tmp_path}/theirs.db") as database:
        with database.writing() as connection:
            for statement in THEIRS_ON_SQLITE:
                connection.exec_driver_sql(statement)

        def everything() -> list[object]:
            with database.reading() as connection:
                made = (
                    "SELECT type, name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY name"
                )
                return [connection.exec_driver_sql(sql).all() for sql in (made, "SELECT * FROM libraries")]

        before = everything()
        migrate(database)
        with database.reading() as connection:
            assert has_notices(connection)
        assert Libraries(database).ensure_libraries([b"/x"], "abc12345")[0].type == "b"
        downgrade(database)
        assert everything() == before
