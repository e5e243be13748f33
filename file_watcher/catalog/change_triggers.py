"""Triggers that tell when an operator changes something: a notification on PostgreSQL, a counter on SQLite.

Both stand on the four tables that say what is watched and how. Where the database does not permit them, there
are none, and whoever wants to know has to look from time to time.

Owns no thread; works on the caller's connection. The migration installs them; names are a contract, so a later
change of theirs needs a step of its own.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import NotSupportedError, ProgrammingError

log = structlog.get_logger(__name__)

WATCHED_TABLES: Final = ("libraries", "settings", "fw_library_rules", "fw_library_origins")

CHANNEL: Final = "file_watcher_config"
"""Where PostgreSQL notifies; the payload is the name of the table."""

_FUNCTION: Final = "fw_notify_config"

_MAKE_FUNCTION: Final = (
    # Whoever writes these tables needs no rights of ours: executing a trigger's function is not checked, and
    # it runs as us, with a search path that nobody can put a pg_notify of their own into.
    f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
    "SET search_path = pg_catalog, pg_temp AS $$ BEGIN "
    f"PERFORM pg_catalog.pg_notify('{CHANNEL}', TG_TABLE_NAME); RETURN NULL; END $$"
)

_EVENTS: Final = ("insert", "update", "delete")

_COUNT: Final = "BEGIN UPDATE fw_config SET version = version + 1 WHERE id = 1; END"

_COUNTER: Final = (
    "CREATE TABLE IF NOT EXISTS fw_config (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO fw_config (id, version) VALUES (1, 0)",
)


def install(connection: Connection) -> None:
    """Make the triggers where they are missing and permitted; a table that refuses its own stays without."""
    if connection.dialect.name == "sqlite":
        _install_counter(connection)
    elif not _would_break_two_phase_commit(connection) and _try(connection, _MAKE_FUNCTION):
        standing = _standing(connection)
        for table in WATCHED_TABLES:
            if f"fw_notify_{table}" not in standing:
                _try(
                    connection,
                    f"CREATE TRIGGER fw_notify_{table} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE "
                    f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()",
                )


def remove(connection: Connection) -> None:
    """Take them away. Dropping a trigger takes the table's owner; with its function every owner of that may."""
    if connection.dialect.name == "sqlite":
        for name, _, _ in _sqlite_triggers():
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql("DROP TABLE IF EXISTS fw_config")
    else:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_FUNCTION}() CASCADE")


def has_notices(connection: Connection) -> bool:
    """Whether a change of any of the four tables is told. Raises what the driver raises."""
    if connection.dialect.name == "sqlite":
        wanted = {name for name, _, _ in _sqlite_triggers()}
    else:
        wanted = {f"fw_notify_{table}" for table in WATCHED_TABLES}
    return wanted <= _standing(connection)


def _standing(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        question = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        # Those of the tables that this session sees, not of a catalog in another schema; "D" is disabled.
        seen = ", ".join(f"to_regclass('{table}')" for table in WATCHED_TABLES)
        question = (
            f"SELECT tgname FROM pg_catalog.pg_trigger WHERE tgenabled IN ('O', 'A') AND tgrelid IN ({seen})"  # noqa: S608
        )
    return set(connection.execute(text(question)).scalars())


def _install_counter(connection: Connection) -> None:
    for statement in _COUNTER:
        connection.exec_driver_sql(statement)
    for name, event, table in _sqlite_triggers():
        connection.exec_driver_sql(f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} ON {table} {_COUNT}")


def _sqlite_triggers() -> list[tuple[str, str, str]]:
    """Name, event and table: a trigger of SQLite's hears one kind of change."""
    return [(f"fw_notify_{table}_{event}", event, table) for table in WATCHED_TABLES for event in _EVENTS]


def _would_break_two_phase_commit(connection: Connection) -> bool:
    """A transaction that has notified cannot be prepared (manual, PREPARE TRANSACTION): where that is in use,
    our trigger would make the other application's transactions fail."""
    return bool(
        connection.execute(text("SELECT current_setting('max_prepared_transactions')::int > 0")).scalar()
    )


def _try(connection: Connection, statement: str) -> bool:
    """Whether the database permits the statement; what was done before stays either way."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except (
        ProgrammingError,
        NotSupportedError,
    ) as exc:  # a right that is missing, or a view in a table's place
        reason = " ".join(str(exc.orig).split())
        log.info("change_trigger_not_permitted", reason=reason, effect="changes are looked for instead")
        return False
    return True
