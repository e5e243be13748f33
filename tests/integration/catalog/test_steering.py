"""What steers is read as of one moment, out of our tables and out of another application's."""

from __future__ import annotations

from sqlalchemy import text

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.steering import LibraryRow, SteeringRows, read_steering
from tests.support.catalog import message, opened, store_of
from tests.support.jobs import change
from tests.support.operator import Operator

THEIRS = """
CREATE TYPE kind AS ENUM ('music', 'film');
CREATE TABLE libraries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(80), path varchar(4096), type kind,
    owner text NOT NULL DEFAULT 'x', is_watched int NOT NULL DEFAULT 0
);
CREATE TABLE settings (key varchar(80) PRIMARY KEY, value jsonb, at timestamptz DEFAULT now());
INSERT INTO libraries (name, path, type, is_watched) VALUES (NULL, '/a', 'film', 1);
INSERT INTO libraries (name, path, type) VALUES ('b', NULL, NULL);
INSERT INTO settings (key, value) VALUES
    ('file_watch.max_wait', '"9s"'), ('file_watch.nice', '3'), ('file_watch.patterns', '["*.mp3"]'),
    ('file_watch.enabled', 'true')
"""


def run(database: Database, *statements: str) -> None:
    with database.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_an_empty_catalog_says_nothing(database_url: str) -> None:
    with opened(database_url) as database:
        assert read_steering(database) == SteeringRows()


def test_libraries_come_with_their_rules_origins_and_state(database_url: str) -> None:
    with opened(database_url) as database:
        run(
            database,
            "INSERT INTO libraries (id, name, path, type, is_watched) VALUES "
            "(2, 'b', '/srv/100%_b', 'staging', true), (1, 'a', '/srv/a', 'production', false)",
            "INSERT INTO fw_library_rules (library_id, key, value) VALUES (2, 'max_wait', '9s'), (7, 'x', 'y')",
            "INSERT INTO fw_library_origins (library_id, instance_id, was_watched) VALUES "
            "(2, 'me', false), (2, 'other', true)",
            "INSERT INTO fw_library_state (library_id, state, root_inode, first_scan_done, updated_ns) "
            "VALUES (2, 'active', 5, true, 1), (1, 'unwatched', NULL, false, 1)",
        )
        rows = read_steering(database)
    assert rows.libraries == (
        LibraryRow(1, "a", "/srv/a", "production", is_watched=False, state="unwatched"),
        LibraryRow(
            2,
            "b",
            "/srv/100%_b",
            "staging",
            is_watched=True,
            rules={"max_wait": "9s"},
            origins={"me": False, "other": True},
            was_seen=True,
            state="active",
        ),
    )


def test_what_is_still_to_be_sent_is_read_where_several_share_the_catalog(database_url: str) -> None:
    with opened(database_url) as database:
        outbox = Outbox(database, None)
        outbox.record([message(library_id=4), message(library_id=5), message(library_id=4)])
        outbox.mark_published([each.sequence for each in outbox.pending(0, 10) if each.library_id == 5])
        store_of(database).commit(Batch(windows=[change(library_id=6)]))
        rows = read_steering(database, with_unsent=True)
        assert read_steering(database).unsent == frozenset(), "it costs, so it is read where it is asked for"
    assert rows.unsent == (frozenset() if database.is_sqlite else {4, 6})


def test_settings_are_the_rows_with_our_prefix_that_have_a_value(database_url: str) -> None:
    with opened(database_url) as database:
        run(
            database,
            "INSERT INTO settings (key, value) VALUES ('file_watch.max_wait', '9s'), ('file_watch.nice', NULL), "
            "('fileXwatch.nice', '1'), ('theme', 'dark'), ('file_watch', 'x')",
        )
        assert read_steering(database).settings == {"file_watch.max_wait": "9s"}


def test_the_tables_of_another_application_may_have_other_types_and_gaps(postgres_url: str) -> None:
    Operator(postgres_url).commit(*((statement, ()) for statement in THEIRS.split(";")))
    database = Database(postgres_url)
    database.open()
    try:
        make_ours(database)
        rows = read_steering(database)
    finally:
        database.close()
    assert rows.settings == {
        "file_watch.max_wait": "9s",
        "file_watch.nice": "3",
        "file_watch.patterns": '["*.mp3"]',
        "file_watch.enabled": "true",
    }
    assert rows.libraries == (
        LibraryRow(1, "", "/a", "film", is_watched=True),
        LibraryRow(2, "b", "", "", is_watched=False),
    )


def make_ours(database: Database) -> None:
    """Our own tables beside theirs."""
    run(
        database,
        "CREATE TABLE fw_library_rules (library_id int, key varchar(64), value text)",
        "CREATE TABLE fw_library_origins (library_id int, instance_id varchar(64), was_watched boolean)",
        "CREATE TABLE fw_library_state (library_id int, state varchar(16), root_inode bigint)",
        "CREATE TABLE fw_events (library_id int, published_ns bigint, unrouted boolean)",
        "CREATE TABLE fw_job_windows (library_id int)",
    )
