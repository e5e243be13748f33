"""Inserts many rows with few statements. Owns no thread.

SQLite's driver gives the interpreter's lock away for each row of an executemany, and threads that wait for it take it:
measured, the hand-over costs ten times as much as the row. Of a statement with many rows it is given away once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from file_watcher.catalog.database import Database

_MOST_VALUES: Final = 999
"""In one statement; older versions of SQLite take no more."""


class Insert:
    """An INSERT of any number of rows into one table."""

    def __init__(self, database: Database, table: str, columns: Sequence[str]) -> None:
        self._head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - constants
        self._marks = f"({', '.join('?' * len(columns))})"
        self._one = database.driver_sql(self._head + self._marks)
        self._most = _power_of_two(_MOST_VALUES // len(columns)) if database.is_sqlite else 1

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows in their order; what the database refuses is raised as for a single one."""
        if self._most == 1:
            connection.exec_driver_sql(self._one, list(rows))
            return
        at = 0
        while at < len(rows):
            # Powers of two: few texts, few plans.
            count = min(self._most, _power_of_two(len(rows) - at))
            values = tuple(value for row in rows[at : at + count] for value in row)
            connection.exec_driver_sql(self._head + ", ".join([self._marks] * count), values)
            at += count


def _power_of_two(number: int) -> int:
    """The greatest one that is not greater."""
    return 1 << (number.bit_length() - 1)
