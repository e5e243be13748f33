"""What the commands write: rows of `libraries` and `settings`, and what is said of single libraries.

Owns no thread. Both tables may belong to another application: only the columns that `tables` names are written,
rows of a table that is not ours are never deleted, and what their constraints refuse is told in words. A service
that runs notices by itself what is written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING
from file_watcher.errors import UsageError

_CHUNK: Final = 5_000
"""Rows that one transaction forgets: others wait for it some ten milliseconds."""
_EVENTS_CHUNK: Final = 20_000
"""Messages that one statement looks at."""
_ADOPTION: Final = "fw_adoption"
_CHECK_VIOLATION: Final = "23514"
_NOT_NULL_VIOLATION: Final = "23502"
_NO_SUCH_WORD: Final = "22P02"
"""SQLSTATEs (PostgreSQL manual, appendix A)."""


@dataclass(frozen=True, slots=True)
class NewLibrary:
    """A row to be made. `path` is text as the table holds it; `rules` are settings of its own."""

    name: str
    path: str
    type: str
    is_watched: bool
    rules: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Removed:
    """What was forgotten. `row_stays` tells that the library's row belongs to another application."""

    files: int
    events: int
    row_stays: bool


class LibraryAdmin:
    """Changes libraries. Every method may raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, library: NewLibrary) -> int:
        """Make the row; returns its number. Raises UsageError where the table has something against it."""
        # In the driver's words: SQLAlchemy would say that a text is one, where the column wants a word of an ENUM.
        sql = self._database.driver_sql(_INSERT)
        values = (library.name, library.path, library.type, library.is_watched)
        refusal: DBAPIError | None = None
        number = 0
        try:
            with self._database.writing() as connection:
                try:
                    number = int(connection.exec_driver_sql(sql, values).scalar_one())
                except DBAPIError as exc:
                    refusal = exc
                    raise _Refused from exc
                _write_rules(connection, number, library.rules)
        except _Refused:
            assert refusal is not None
            raise UsageError(self._words_for(refusal, library)) from refusal
        return number

    def set_watched(self, library_id: int, *, is_watched: bool) -> None:
        """Have the library watched, or not."""
        with self._database.writing() as connection:
            connection.execute(_SET_WATCHED, {"id": library_id, "is_watched": is_watched})

    def set_rules(self, library_id: int, changes: Mapping[str, str | None]) -> None:
        """Give the library settings of its own; None takes one away."""
        with self._database.writing() as connection:
            _write_rules(connection, library_id, changes)

    def waiting(self, library_id: int) -> int:
        """How many of the library's messages are still to be sent."""
        sql = self._database.driver_sql(f"SELECT count(*) FROM fw_events WHERE {WAITING} AND library_id = ?")  # noqa: S608
        with self._database.reading() as connection:
            count: int = connection.exec_driver_sql(sql, (library_id,)).scalar_one()
        return count

    def remove(self, library_id: int) -> Removed:
        """Forget all that is known of a library that nobody watches, in short transactions.

        Its row goes only where the table `libraries` is ours. May be called again after an interruption.
        """
        files = self._forget_files(library_id)
        events = self._forget_events(library_id)
        with self._database.writing() as connection:
            for table in _ABOUT_LIBRARIES:
                connection.execute(
                    text(f"DELETE FROM {table} WHERE library_id = :id"),  # noqa: S608 - constants
                    {"id": library_id},
                )
            if is_ours := _is_table_ours(connection):
                connection.execute(text("DELETE FROM libraries WHERE id = :id"), {"id": library_id})
        return Removed(files, events, row_stays=not is_ours)

    def _forget_files(self, library_id: int) -> int:
        page = self._database.driver_sql(
            "SELECT id FROM fw_files WHERE id > ? AND library_id + 0 = ? ORDER BY id LIMIT ?"
        )
        delete = self._database.driver_sql(
            "DELETE FROM fw_files WHERE library_id + 0 = ? AND id >= ? AND id <= ?"
        )
        forgotten = after = 0
        while True:
            with self._database.reading() as connection:
                found = connection.exec_driver_sql(page, (after, library_id, _CHUNK)).scalars().all()
            if not found:
                return forgotten
            with self._database.writing() as connection:
                connection.exec_driver_sql(delete, (library_id, found[0], found[-1]))
            forgotten += len(found)
            after = found[-1]

    def _forget_events(self, library_id: int) -> int:
        with self._database.reading() as connection:
            first = connection.exec_driver_sql("SELECT min(sequence) FROM fw_events").scalar() or 0
            last = connection.exec_driver_sql("SELECT max(sequence) FROM fw_events").scalar() or 0
        delete = self._database.driver_sql(
            "DELETE FROM fw_events WHERE sequence >= ? AND sequence < ? AND library_id + 0 = ? "  # noqa: S608
            f"AND NOT ({WAITING})"
        )
        forgotten = 0
        for lower in range(first, last + 1, _EVENTS_CHUNK):
            with self._database.writing() as connection:
                done = connection.exec_driver_sql(delete, (lower, lower + _EVENTS_CHUNK, library_id))
                forgotten += done.rowcount
        return forgotten

    def _words_for(self, refusal: DBAPIError, library: NewLibrary) -> str:
        """What an application's own table has against a row, and what to do about it."""
        cause: Any = refusal.orig
        state = getattr(cause, "sqlstate", None)
        column = getattr(getattr(cause, "diag", None), "column_name", None)
        is_no_such_word = state == _NO_SUCH_WORD and "enum" in str(cause)
        if state == _CHECK_VIOLATION or is_no_such_word or "CHECK constraint failed" in str(cause):
            with self._database.reading() as connection:
                allowed = _allowed_types(connection)
            known = f"; it takes: {', '.join(allowed)}" if allowed else ""
            return (
                f"The table libraries of {self._database.shown} refuses a library of type {library.type!r}{known}; "
                "say another one with --type"
            )
        if state == _NOT_NULL_VIOLATION or "NOT NULL constraint failed" in str(cause):
            name = column or str(cause).rpartition(".")[2]
            return (
                f"The table libraries of {self._database.shown} wants a value for its column {name!r}, which only "
                "its own application knows: add the library there, then watch it with `library watch NAME`"
            )
        words = " ".join(str(cause).split()).rstrip(".")
        return f"The table libraries of {self._database.shown} refuses the row: {words}"


class SettingsAdmin:
    """Changes the `file_watch.*` rows. Every method may raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, key: str, value: str) -> None:
        """Write the row, whatever other columns the table has."""
        with self._database.writing() as connection:
            text_of_it = json.dumps(value) if self._is_json(connection) else value
            update = self._database.driver_sql("UPDATE settings SET value = ? WHERE key = ?")
            if not connection.exec_driver_sql(update, (text_of_it, key)).rowcount:
                make = self._database.driver_sql("INSERT INTO settings (value, key) VALUES (?, ?)")
                connection.exec_driver_sql(make, (text_of_it, key))

    def drop(self, key: str) -> bool:
        """Delete the row; False where there was none."""
        with self._database.writing() as connection:
            done = connection.execute(text("DELETE FROM settings WHERE key = :key"), {"key": key})
        return bool(done.rowcount)

    def _is_json(self, connection: Connection) -> bool:
        """Whether their column holds JSON, where a text stands in quotes."""
        if self._database.is_sqlite:
            return False
        columns = {each["name"]: str(each["type"]) for each in inspect(connection).get_columns("settings")}
        return columns.get("value", "").lower() in {"json", "jsonb"}


def owners(database: Database, now_ns: int) -> Mapping[int, str]:
    """Which instance has each library, where leases say so (PostgreSQL). May raise as all questions do.

    `now_ns` is this host's clock; a lease that ran out long ago has no owner.
    """
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT library_id, instance_id, expires_ns FROM fw_leases").all()
    return {number: instance for number, instance, expires_ns in rows if expires_ns > now_ns - _SKEW_NS}


_SKEW_NS: Final = 60 * 10**9
"""What the clocks of a database and of whoever asks may differ by."""


class _Refused(Exception):
    """Leaves a transaction whose statement was refused."""


_INSERT: Final = "INSERT INTO libraries (name, path, type, is_watched) VALUES (?, ?, ?, ?) RETURNING id"
_SET_WATCHED: Final = text("UPDATE libraries SET is_watched = :is_watched WHERE id = :id")
_ABOUT_LIBRARIES: Final = (
    *("fw_library_rules", "fw_library_origins", "fw_leases", "fw_job_windows"),
    *("fw_outbox_marks", "fw_library_state"),
)
_PUT_RULE: Final = text(
    "INSERT INTO fw_library_rules (library_id, key, value) VALUES (:id, :key, :value) "
    "ON CONFLICT (library_id, key) DO UPDATE SET value = excluded.value"
)
_DROP_RULE: Final = text("DELETE FROM fw_library_rules WHERE library_id = :id AND key = :key")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")


def _write_rules(connection: Connection, library_id: int, changes: Mapping[str, str | None]) -> None:
    for key, value in changes.items():
        if value is None:
            connection.execute(_DROP_RULE, {"id": library_id, "key": key})
        else:
            connection.execute(_PUT_RULE, {"id": library_id, "key": key, "value": value})


def _is_table_ours(connection: Connection) -> bool:
    """Only where it is on record that we made the table; in doubt it is another application's."""
    if not inspect(connection).has_table(_ADOPTION):
        return False
    made = connection.execute(text(f"SELECT made FROM {_ADOPTION}")).scalars()  # noqa: S608 - a constant
    return "libraries" in set(made)


def _allowed_types(connection: Connection) -> Sequence[str]:
    """The words of an ENUM, or those that a constraint names beside `type`; else the types that are in use."""
    inspector = inspect(connection)
    kind = next(each["type"] for each in inspector.get_columns("libraries") if each["name"] == "type")
    words = list(getattr(kind, "enums", ()))
    for constraint in inspector.get_check_constraints("libraries"):
        sql = str(constraint["sqltext"])
        if re.search(r"\btype\b", sql):
            words += [word.replace("''", "'") for word in _LITERAL.findall(sql)]
    if not words:
        in_use = text("SELECT DISTINCT type FROM libraries WHERE type IS NOT NULL ORDER BY type")
        words = list(connection.execute(in_use).scalars())
    return tuple(dict.fromkeys(words))
