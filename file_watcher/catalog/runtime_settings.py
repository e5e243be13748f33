"""Reads the settings that were changed at run time, from a table that another application may share.

Owns no thread.
"""

from __future__ import annotations

from sqlalchemy import inspect, select

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import settings


def settings_rows(database: Database) -> dict[str, str]:
    """The `file_watch.*` rows, key to value; rows without a value and a missing table say nothing.

    Raises CatalogUnavailable or CatalogError.
    """
    with database.reading() as connection:
        if not inspect(connection).has_table(settings.name):
            return {}
        question = select(settings.c.key, settings.c.value).where(settings.c.key.startswith("file_watch."))
        return {row.key: row.value for row in connection.execute(question) if row.value is not None}
