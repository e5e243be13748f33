"""Brings the catalog's schema up to date at the start, safely when several processes start at once.

Owns no thread. The state is read from the version table alone, so that a start with a current catalog
does not import alembic (a fifth of a second).
"""

from __future__ import annotations

from typing import Final, Literal

from sqlalchemy import Connection, inspect, text

from file_watcher.catalog.database import Database
from file_watcher.errors import CatalogError

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""All steps that this version knows, oldest first; the last is the schema it works with."""

VERSION_TABLE: Final = "fw_alembic_version"

_MIGRATION_LOCK: Final = 0x6677_0001
"""Key of PostgreSQL's advisory lock; any constant number does ("fw")."""

SchemaState = Literal["current", "empty", "older", "newer"]


def schema_state(database: Database) -> SchemaState:
    """How the catalog's schema stands to this version. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        return _state(connection)


def migrate(database: Database) -> None:
    """Make or upgrade the schema in one transaction; does nothing where it is current.

    Blocks while another process migrates. Raises CatalogError where a newer file_watcher made the
    schema or the database does not permit it, CatalogUnavailable where it is away.
    """
    state = schema_state(database)
    if state == "current":
        return
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        state = _state(connection)
        if state == "newer":
            raise CatalogError(_too_new(connection, database.shown))
        if state != "current":
            _upgrade(connection)


def _state(connection: Connection) -> SchemaState:
    if not inspect(connection).has_table(VERSION_TABLE):
        return "empty"
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608 - a constant
    if not found:
        return "empty"
    if not set(found) <= set(REVISIONS):
        return "newer"
    return "current" if found == [REVISIONS[-1]] else "older"


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "file_watcher:catalog/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")


def _too_new(connection: Connection, where: str) -> str:
    writer = None
    if inspect(connection).has_table("fw_instances"):
        writer = connection.execute(
            text("SELECT version FROM fw_instances ORDER BY heartbeat_ns DESC LIMIT 1")
        ).scalar()
    by = f"file_watcher {writer}" if writer else "a newer file_watcher"
    return (
        f"The catalog {where} was last used by {by}, whose schema this version does not know. "
        "Install that version again or set DATABASE_URL to another database."
    )
