"""What taking the schema back would cost: how much the catalog holds, whatever step its schema is at.

Owns no thread; reads only. Counting the files of a large catalog takes a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import inspect, text

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING

_COUNTS: Final = {
    "files": ("fw_files", "SELECT count(*) FROM fw_files"),
    "unsent": ("fw_events", f"SELECT count(*) FROM fw_events WHERE {WAITING}"),  # noqa: S608 - constants
    "rules": ("fw_library_rules", "SELECT count(*) FROM fw_library_rules"),
    "open_jobs": ("fw_job_windows", "SELECT count(*) FROM fw_job_windows"),
}
"""What is counted, in which table, and how; the last two tables came with a later step."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """`unsent` are messages that wait for their confirm, `open_jobs` jobs whose window still gathers events."""

    files: int
    unsent: int
    rules: int
    open_jobs: int


def holdings(database: Database) -> Holdings:
    """Count. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        tables = inspect(connection)
        return Holdings(
            **{
                name: connection.execute(text(question)).scalar_one() if tables.has_table(table) else 0
                for name, (table, question) in _COUNTS.items()
            }
        )
