"""Turns the roots that an environment names into rows of `libraries`, a table that another application may own.

Owns no thread; works inside the caller's transaction. Of the table nothing is relied upon but the columns that
`tables` names: another application's may refuse types, need values for columns that we do not know, or keep us
from inserting at all. Then it is said which row somebody has to add. Values go to the driver without types of
ours, so that any kind of text column takes them (varchar, an enumeration).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from file_watcher.catalog.failures import translate
from file_watcher.errors import CatalogError, CatalogUnavailable
from file_watcher.model import Library

DEFAULT_TYPE: Final = "production"

_LOCK: Final = 0x6677_0003
"""Key of PostgreSQL's advisory lock: two instances that start at once make one row."""

_FOUND: Final = text("SELECT id, name, type FROM libraries WHERE path = :path ORDER BY id LIMIT 1")
_NAMES: Final = text("SELECT name FROM libraries")
_TYPES: Final = text(
    "SELECT type FROM libraries WHERE type IS NOT NULL GROUP BY type ORDER BY count(*) DESC, type"
)
_INSERT: Final = text(
    "INSERT INTO libraries (name, path, type, is_watched) VALUES (:name, :path, :type, :watched) RETURNING id"
)
_IS_WATCHED: Final = text("SELECT is_watched FROM libraries WHERE id = :id")
_MARK: Final = text(
    # Theirs may be NULL. A row that is right already is not written again: that would wake everybody.
    "UPDATE libraries SET is_watched = :watched "
    "WHERE id = :id AND (is_watched IS NULL OR is_watched <> :watched)"
)
_ORIGINS: Final = text("SELECT library_id, instance_id, was_watched FROM fw_library_origins")
_ADD_ORIGIN: Final = text(
    "INSERT INTO fw_library_origins (library_id, instance_id, was_watched) VALUES (:id, :instance, :watched)"
)
_DROP_ORIGIN: Final = text(
    "DELETE FROM fw_library_origins WHERE library_id = :id AND instance_id = :instance"
)
_GRANT: Final = text(
    # An identity needs no right on its sequence; a default that asks a sequence does.
    "SELECT format('GRANT INSERT ON %s TO %I;', attrelid::regclass, current_user) || CASE "
    "WHEN attidentity = '' AND pg_get_serial_sequence('libraries', 'id') IS NOT NULL "
    "THEN format(' GRANT USAGE ON SEQUENCE %s TO %I;', pg_get_serial_sequence('libraries', 'id'), current_user) "
    "ELSE '' END FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass('libraries') AND attname = 'id'"
)
_DENIED: Final = "42501"
"""SQLSTATE insufficient_privilege."""


def wait_for_others(connection: Connection) -> None:
    """Let one transaction at a time make rows, also among instances; SQLite has only one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def find_or_add(
    connection: Connection, root: bytes, name: str | None, library_type: str, *, watched: bool
) -> tuple[Library, bool]:
    """The library with exactly this path, and whether its row was made here, marked as `watched`.

    Raises CatalogError where there is none and the table takes none; what the transaction did before
    stays whole.
    """
    found = _find(connection, root, library_type)
    if found is not None:
        return found, False
    name = _free_name(connection, name or _folder_name(root))
    row = {"name": name, "path": path_text(root), "type": library_type, "watched": watched}
    refusal: DBAPIError | None = None
    for kind in _types_to_try(connection, library_type):
        try:
            with connection.begin_nested():
                number = connection.execute(_INSERT, row | {"type": kind}).scalar_one()
            return Library(number, name, kind, root), True
        except DBAPIError as exc:
            if isinstance(translate(exc, "", opened=True), CatalogUnavailable):
                raise  # it is not about the row
            refusal = refusal or exc
            if not _may_be_for_the_type(exc):
                break
    found = _find(connection, root, library_type)  # the other application may have added it just now
    if found is not None:
        return found, False
    assert refusal is not None
    raise CatalogError(_add_it_yourself(connection, row, refusal)) from refusal


def mark(connection: Connection, library_id: int, instance_id: str, *, is_new: bool) -> None:
    """Have the library watched because the instance's environment names it, and remember how it was before."""
    origins = _origins_of(connection, library_id)
    if instance_id not in origins:
        if origins:
            was_watched = next(iter(origins.values()))  # as it was before the first of them
        else:
            was_watched = not is_new and bool(connection.execute(_IS_WATCHED, {"id": library_id}).scalar())
        values = {"id": library_id, "instance": instance_id, "watched": was_watched}
        connection.execute(_ADD_ORIGIN, values)
    connection.execute(_MARK, {"id": library_id, "watched": True})


def release_others(connection: Connection, instance_id: str, named: Iterable[int]) -> None:
    """Have what the instance's environment names no more watched as it was before any named it."""
    kept = set(named)
    rows = connection.execute(_ORIGINS).all()
    for library_id, instance, was_watched in rows:
        if instance != instance_id or library_id in kept:
            continue
        connection.execute(_DROP_ORIGIN, {"id": library_id, "instance": instance})
        if not any(row.library_id == library_id and row.instance_id != instance for row in rows):
            connection.execute(_MARK, {"id": library_id, "watched": bool(was_watched)})


def path_text(root: bytes) -> str:
    """The path as the shared table holds it; bytes that are no UTF-8 stay apart from one another."""
    return root.decode("utf-8", "backslashreplace")


def _origins_of(connection: Connection, library_id: int) -> dict[str, bool]:
    rows = connection.execute(_ORIGINS).all()
    return {row.instance_id: bool(row.was_watched) for row in rows if row.library_id == library_id}


def _find(connection: Connection, root: bytes, library_type: str) -> Library | None:
    row = connection.execute(_FOUND, {"path": path_text(root)}).first()
    if row is None:
        return None
    return Library(row.id, row.name or _folder_name(root), row.type or library_type, root)


def _types_to_try(connection: Connection, wanted: str) -> Iterator[str]:
    """The wanted type; where the table refuses it, those that it holds, the most frequent first."""
    yield wanted
    yield from (kind for kind in connection.execute(_TYPES).scalars().all() if kind != wanted)


def _may_be_for_the_type(error: DBAPIError) -> bool:
    """Whether another type could help: a CHECK, a foreign key, or an enumeration refused the row."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in {"23514", "23503", "22P02", "22001"}
    return isinstance(error, IntegrityError) and "NOT NULL" not in str(error.orig)


def _add_it_yourself(connection: Connection, row: dict[str, Any], refusal: DBAPIError) -> str:
    state = getattr(refusal.orig, "sqlstate", None)
    diagnosis = getattr(refusal.orig, "diag", None)
    reason = " ".join(str(getattr(diagnosis, "message_primary", None) or refusal.orig).split())
    values = {"name": row["name"], "path": row["path"], "type": row["type"]}
    statement_values = [_literal(value) for value in values.values()] + ["true"]
    wanting = _columns_without_value(connection, set(values) | {"is_watched"})
    if _may_be_for_the_type(refusal):
        statement_values[2] = "…"
    statement = (
        f"INSERT INTO libraries ({', '.join([*values, 'is_watched', *wanting])}) "  # noqa: S608 - for a person
        f"VALUES ({', '.join(statement_values + ['…'] * len(wanting))});"
    )
    grant = ""
    if state == _DENIED:
        grant = f"let the table's owner run `{connection.execute(_GRANT).scalar()}`, or "
    return (
        f"The table libraries takes no row for the root {row['path']}: {reason}. To have it watched, "
        f"{grant}add its row yourself, with what your application needs in it: `{statement}`"
    )


def _columns_without_value(connection: Connection, known: set[str]) -> list[str]:
    """Further columns that must have a value and get none by themselves."""
    return [
        column["name"]
        for column in inspect(connection).get_columns("libraries")
        if column["name"] not in known
        and not column["nullable"]
        and column.get("default") is None
        and column.get("identity") is None
        and column.get("computed") is None
        # SQLite numbers the rows by itself.
        and not (connection.dialect.name == "sqlite" and column.get("primary_key"))
    ]


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _folder_name(root: bytes) -> str:
    return path_text(root).rstrip("/").rpartition("/")[2] or "root"


def _free_name(connection: Connection, wanted: str) -> str:
    taken = set(connection.execute(_NAMES).scalars())
    candidates = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    return next(name for name in candidates if name not in taken)
