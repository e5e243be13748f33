from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.requests import Instances
from file_watcher.catalog.runtime_settings import settings_rows
from file_watcher.catalog.schema import REVISIONS, VERSION_TABLE, migrate, schema_state
from file_watcher.catalog.tables import metadata
from file_watcher.errors import CatalogError
from file_watcher.model import Library

MIGRATE = """
import sys
from file_watcher.catalog.database import Database
from file_watcher.catalog.schema import migrate, schema_state
import alembic.command
sys.stdin.readline()
database = Database(sys.argv[1])
database.open()
migrate(database)
print(schema_state(database))
database.close()
"""


def test_an_empty_database_gets_the_current_schema_once(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.open()
        assert schema_state(database) == "empty"

        migrate(database)
        migrate(database)

        assert schema_state(database) == "current"


def test_four_processes_that_start_at_once_make_one_schema(database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATE, database_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    starters = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    answers = [starter.communicate(timeout=60) for starter in starters]

    assert answers == [("current\n", "")] * 4


def test_the_steps_make_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    with database.writing() as connection:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_name": lambda name, _kind, _parents: name != "fw_config",  # on SQLite only
        }
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, metadata) == []


def test_every_step_is_known_by_its_number() -> None:
    scripts = ScriptDirectory("file_watcher/catalog/migrations")

    assert [step.revision for step in scripts.walk_revisions()] == [*reversed(REVISIONS)]


def test_a_schema_of_a_newer_version_is_refused_and_names_that_version(database: Database) -> None:
    Instances(database, "9.9.0").beat("abc12345", {})
    with database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    assert schema_state(database) == "newer"
    with pytest.raises(CatalogError, match=r"file_watcher 9\.9\.0.*DATABASE_URL"):
        migrate(database)


def test_a_schema_of_a_newer_version_that_never_ran_is_refused_too(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        connection.execute(text("DROP TABLE fw_instances"))

    with pytest.raises(CatalogError, match="a newer file_watcher"):
        migrate(database)


def test_tables_of_another_application_are_adopted_with_their_rows(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.open()
        with database.writing() as connection:
            for statement in (
                "CREATE TABLE libraries (id INTEGER PRIMARY KEY, name TEXT, path TEXT, type TEXT, owner TEXT)",
                "CREATE TABLE settings (key VARCHAR(99) UNIQUE, value VARCHAR(99))",
                "INSERT INTO libraries VALUES (7, 'jingles', '/data/jingles', NULL, 'me')",
                "INSERT INTO settings VALUES ('file_watch.nice', '5'), ('theme', 'dark'), ('file_watch.x', NULL)",
            ):
                connection.execute(text(statement))

        migrate(database)

        assert Libraries(database).ensure_library(b"/data/jingles") == Library(
            7, "jingles", "production", b"/data/jingles"
        )
        assert settings_rows(database) == {"file_watch.nice": "5"}
        with database.reading() as connection:
            columns = {column["name"] for column in inspect(connection).get_columns("libraries")}
            assert connection.execute(text("SELECT owner, is_watched FROM libraries")).one() == ("me", False)
        assert columns == {"id", "name", "path", "type", "owner", "is_watched"}


def test_settings_of_a_database_without_tables_say_nothing(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.open()
        assert settings_rows(database) == {}


def test_migrating_leaves_the_programs_logging_alone(database_url: str) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with closing(Database(database_url)) as database:
        database.open()
        migrate(database)

    assert (root.level, list(root.handlers)) == before
    assert [type(handler) for handler in logging.getLogger("alembic").handlers] == [logging.NullHandler]
