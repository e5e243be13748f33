"""The log in the database: lines of all instances, written a few at a time and read page by page.

Owns no thread. Times are the clocks of the hosts that wrote; the numbers of the lines are the order in which they
were written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import log_lines

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""From the least to the worst."""

MOST_LINES: Final = 100_000
"""Kept at most, whatever their age: about 40 MB."""

_PRUNE_CHUNK: Final = 5_000
"""Lines that one transaction forgets: others wait for it some ten milliseconds."""
_PAGE: Final = 500
_LONGEST_EVENT: Final = 200
_LONGEST_LIBRARY: Final = 255


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `fields` is what JSON can hold; `library` is None where the line is about none."""

    created_ns: int
    instance_id: str
    level: str
    event: str
    library: str | None
    fields: Mapping[str, Any]
    id: int = 0
    """Given by the database."""


@dataclass(frozen=True, slots=True)
class LinesWanted:
    """Which lines are wanted; what is None does not narrow. `level` and what is worse; `event` is a part of it."""

    level: str | None = None
    event: str | None = None
    library: str | None = None
    instance_id: str | None = None
    since_ns: int | None = None


class LogLines:
    """Reads and writes the lines. Every method may raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, lines: Sequence[LogLine]) -> None:
        """Write the lines in one transaction, in this order."""
        if lines:
            with self._database.writing() as connection:
                connection.execute(insert(log_lines), [_values(line) for line in lines])

    def prune(
        self,
        retention_seconds: float,
        keep: int = MOST_LINES,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Forget lines that are older than that, or not among the newest `keep`; returns how many there were.

        Works in short transactions, and ends early where `should_stop` says so.
        """
        cutoff_ns = time.time_ns() - int(retention_seconds * 1e9)
        aged = self._number("SELECT max(id) FROM fw_log WHERE created_ns < ?", cutoff_ns)
        bound = max(aged, self._number("SELECT max(id) FROM fw_log") - keep)
        after, deleted = self._number("SELECT min(id) FROM fw_log") - 1, 0
        delete = self._database.driver_sql("DELETE FROM fw_log WHERE id > ? AND id <= ?")
        while 0 <= after < bound and not should_stop():
            upper = min(after + _PRUNE_CHUNK, bound)
            with self._database.writing() as connection:
                deleted += connection.exec_driver_sql(delete, (after, upper)).rowcount
            after = upper
        return deleted

    def last(self) -> int:
        """The number of the newest line; 0 where there is none."""
        return self._number("SELECT max(id) FROM fw_log")

    def newest(self, wanted: LinesWanted, count: int) -> list[LogLine]:
        """The newest `count` wanted lines, oldest first."""
        condition, values = self._condition(wanted)
        sql = self._database.driver_sql(
            f"SELECT {_COLUMNS} FROM fw_log WHERE 1 = 1{condition} ORDER BY id DESC LIMIT ?"  # noqa: S608
        )
        with self._database.reading() as connection:
            rows = connection.exec_driver_sql(sql, (*values, count)).all()
        return [_line_of(row) for row in reversed(rows)]

    def after(self, number: int, wanted: LinesWanted) -> Iterator[LogLine]:
        """The wanted lines above that number, oldest first, page by page."""
        condition, values = self._condition(wanted)
        sql = self._database.driver_sql(
            f"SELECT {_COLUMNS} FROM fw_log WHERE id > ?{condition} ORDER BY id LIMIT ?"  # noqa: S608
        )
        while True:
            with self._database.reading() as connection:
                rows = connection.exec_driver_sql(sql, (number, *values, _PAGE)).all()
            yield from map(_line_of, rows)
            if len(rows) < _PAGE:
                return
            number = rows[-1][0]

    def _condition(self, wanted: LinesWanted) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        values: list[Any] = []
        if wanted.level is not None:
            levels = LEVELS[LEVELS.index(wanted.level) :]
            parts.append(f"level IN ({', '.join('?' * len(levels))})")
            values.extend(levels)
        if wanted.event is not None:
            # Not LIKE, to which an underscore is any character.
            parts.append(f"{'instr' if self._database.is_sqlite else 'strpos'}(event, ?) > 0")
            values.append(wanted.event)
        for column in ("library", "instance_id"):
            if (value := getattr(wanted, column)) is not None:
                parts.append(f"{column} = ?")
                values.append(value)
        if wanted.since_ns is not None:
            # The sum keeps planners from leaving the order of the numbers for the index of times.
            parts.append("created_ns + 0 >= ?")
            values.append(wanted.since_ns)
        return "".join(f" AND {part}" for part in parts), tuple(values)

    def _number(self, sql: str, *values: int) -> int:
        with self._database.reading() as connection:
            return connection.exec_driver_sql(self._database.driver_sql(sql), values).scalar() or 0


_COLUMNS: Final = "id, created_ns, instance_id, level, event, library, fields"


def _values(line: LogLine) -> dict[str, Any]:
    return {
        "created_ns": line.created_ns,
        "instance_id": line.instance_id,
        "level": line.level,
        "event": _storable(line.event)[:_LONGEST_EVENT],
        "library": None if line.library is None else _storable(line.library)[:_LONGEST_LIBRARY],
        # ASCII alone, so that nothing in it can be refused.
        "fields": json.dumps(dict(line.fields)),
    }


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL, and no encoding takes lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _line_of(row: Sequence[Any]) -> LogLine:
    number, created_ns, instance_id, level, event, library, fields = row
    return LogLine(created_ns, instance_id, level, event, library, _fields_of(fields), number)


def _fields_of(text: str) -> Mapping[str, Any]:
    """Somebody else may have written into the table."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = text
    return fields if isinstance(fields, dict) else {"text": fields}
