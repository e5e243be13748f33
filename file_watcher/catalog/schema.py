"""Brings the catalog's schema up to date at the start, safely when several processes start at once.

Owns no thread. The state is read from the version table alone, so that a start with a current catalog
does not import alembic (a fifth of a second).

All objects go where the session's `search_path` says. What belongs to another application is only ever given
one column and triggers (`migrations/adoption`, `change_triggers`), and `downgrade` takes both away again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import ProgrammingError

from file_watcher.catalog import change_triggers
from file_watcher.catalog.change_triggers import has_notices
from file_watcher.catalog.database import Database
from file_watcher.catalog.obstacles import Obstacle, SchemaState, find_obstacles
from file_watcher.errors import CatalogError, UsageError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["REVISIONS", "VERSION_TABLE", "SchemaReport", "SchemaState", "has_notices"]

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""All steps that this version knows, oldest first; the last is the schema it works with."""

VERSION_TABLE: Final = "fw_alembic_version"

NOTHING: Final = "base"
"""What there is before the first step: the target of a downgrade that takes everything back."""

_MIGRATION_LOCK: Final = 0x6677_0001
"""Key of PostgreSQL's advisory lock; any constant number does ("fw")."""


_NEIGHBOURS_WAIT: Final = "2s"
"""While we wait for a lock on another application's table, all its later statements wait behind us. So we
give up soon, and try again: the start does by itself."""


@dataclass(frozen=True, slots=True)
class SchemaReport:
    """How the schema stands, and what `migrate` would do.

    `state` is None where the version may not be read. `found` is the step it is at, `wanted` ours; `adds` says
    in words what lies between them. `obstacles` keep the catalog from being made, upgraded or used.
    `has_notices` tells whether changes of settings and libraries are noticed at once, by triggers.
    """

    state: SchemaState | None
    found: str | None
    wanted: str
    adds: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]
    has_notices: bool


def schema_state(database: Database) -> SchemaState:
    """How the catalog's schema stands to this version. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        return _state(connection)


def report(database: Database) -> SchemaReport:
    """Look at everything that `migrate` looks at, and change nothing. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        state = _readable_state(connection)
        found = _version(connection) if state not in {None, "empty"} else None
        adds = _additions(connection, found) if state in {"empty", "older"} else ()
        obstacles = find_obstacles(connection, state)
        notices = state == "current" and not obstacles and has_notices(connection)
        return SchemaReport(state, found, REVISIONS[-1], adds, tuple(obstacles), notices)


def migrate(database: Database) -> None:
    """Make or upgrade the schema in one transaction; does nothing where it is current.

    Blocks while another process migrates. Raises CatalogError where a newer file_watcher made the
    schema or the database does not permit it, with the statements that would mend that; CatalogUnavailable
    where it is away.
    """
    with database.reading() as connection:
        state = _readable_state(connection)
        obstacles = find_obstacles(connection, state) if _is_worth_asking(connection, state) else []
    if obstacles:
        raise CatalogError(_refusal(database.shown, obstacles))
    if state == "current":
        return
    with database.writing() as connection:
        _wait_for_others(connection)
        state = _state(connection)
        if state == "newer":
            raise CatalogError(_too_new(connection, database.shown))
        if state != "current":
            _be_brief(connection)
            _upgrade(connection)


def downgrade(database: Database, to: str = NOTHING) -> None:
    """Take steps back in one transaction, to the step `to`, or all of them with `NOTHING`.

    Everything of ours goes with its rows: the catalog, the outbox (messages that were not sent yet, too), rules
    and log. Of another application's tables nothing goes but the column and the triggers that we
    added; rows stay, those that we wrote for it too. A table `libraries` or `settings` that we made goes
    unless somebody else uses it by now (`migrations/adoption`).

    The caller makes sure that nobody works with the catalog. Blocks while another process migrates. Raises
    UsageError for a step that is not below, CatalogError where the database does not permit it or something
    of others depends on what is to go, CatalogUnavailable; then nothing was changed.
    """
    with database.writing(is_long=True) as connection:
        _wait_for_others(connection)
        state = _state(connection)
        if state == "newer":
            raise CatalogError(_too_new(connection, database.shown))
        if state == "empty":
            return
        below = (NOTHING, *REVISIONS[: REVISIONS.index(str(_version(connection)))])
        if to not in below:
            raise UsageError(
                f"The catalog {database.shown} can be taken back to {', '.join(below)}, not to {to}."
            )
        _be_brief(connection)
        if not _is_complete(connection):
            _complete(connection)  # so that the steps find what they take back
        from alembic import command

        command.downgrade(_config(connection), to)
        if to == NOTHING:
            connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")


def install_notices(database: Database) -> bool:
    """Install the triggers of a current catalog that were not permitted before; whether all stand now.

    Raises CatalogUnavailable or CatalogError.
    """
    with database.writing() as connection:
        _wait_for_others(connection)
        if not has_notices(connection):
            _be_brief(connection)
            change_triggers.install(connection)
        return has_notices(connection)


def heartbeats(database: Database) -> dict[str, int]:
    """When each instance that is known gave its last sign of life, in ns since the epoch, whatever the schema.

    Raises CatalogUnavailable or CatalogError.
    """
    with database.reading() as connection:
        if not inspect(connection).has_table("fw_instances"):
            return {}
        rows = connection.execute(
            text("SELECT instance_id, heartbeat_ns FROM fw_instances ORDER BY instance_id")
        )
        return {row.instance_id: row.heartbeat_ns for row in rows}


def _is_worth_asking(connection: Connection, state: SchemaState | None) -> bool:
    """A SQLite file that is current has nobody else's tables in it that could have changed."""
    return connection.dialect.name == "postgresql" or state != "current"


def _wait_for_others(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})


def _be_brief(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_NEIGHBOURS_WAIT}'"))


def _state(connection: Connection) -> SchemaState:
    if not inspect(connection).has_table(VERSION_TABLE):
        return "empty"
    found = _version(connection)
    if found is None:
        return "empty"
    if found not in REVISIONS:
        return "newer"
    return "current" if found == REVISIONS[-1] and _is_complete(connection) else "older"


def _is_complete(connection: Connection) -> bool:
    """Whether the shared tables have what we need. Not where the other application replaced them since, or where
    only our own tables were brought back from a backup."""
    if connection.dialect.name == "postgresql":
        question = (
            "SELECT count(*) FROM pg_catalog.pg_attribute WHERE NOT attisdropped AND "
            "(attrelid = to_regclass('libraries') AND attname = 'is_watched' "
            "OR attrelid = to_regclass('settings') AND attname = 'key')"
        )
    else:
        question = (
            "SELECT (SELECT count(*) FROM pragma_table_info('libraries') WHERE name = 'is_watched') "
            "+ (SELECT count(*) FROM pragma_table_info('settings') WHERE name = 'key')"
        )
    return connection.execute(text(question)).scalar() == 2


def _readable_state(connection: Connection) -> SchemaState | None:
    try:
        return _state(connection)
    except ProgrammingError as exc:
        if getattr(exc.orig, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        return None


def _version(connection: Connection) -> str | None:
    version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return version


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "file_watcher:catalog/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")
    if not _is_complete(connection):
        _complete(connection)
        change_triggers.install(connection)


def _complete(connection: Connection) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    from file_watcher.catalog.migrations.adoption import complete

    with Operations.context(MigrationContext.configure(connection)):
        complete()


def _additions(connection: Connection, found: str | None) -> tuple[str, ...]:
    """What each step says of itself; and what becomes of tables that stand already."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(connection))
    first = 0 if found is None else REVISIONS.index(found) + 1
    adds = [f"{number}: {scripts.get_revision(number).doc}" for number in REVISIONS[first:]]
    if found is None or not _is_complete(connection):
        inspector = inspect(connection)
        shared = [table for table in ("libraries", "settings") if inspector.has_table(table)]
        adds += [
            _shared(table, {column["name"] for column in inspector.get_columns(table)}) for table in shared
        ]
    return tuple(adds)


def _shared(table: str, columns: set[str]) -> str:
    if table == "libraries" and "is_watched" not in columns:
        return "The table libraries stands already: it is shared, and gets the column is_watched."
    return f"The table {table} stands already: it is shared as it is."


def _refusal(where: str, obstacles: list[Obstacle]) -> str:
    return f"The catalog {where} cannot be used yet. " + " ".join(str(obstacle) for obstacle in obstacles)


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
