"""Reads the settings that were changed at run time, before the catalog is known to be ours (`steering` does later).

Owns no thread. The table may belong to another application; see `steering`.
"""

from __future__ import annotations

from sqlalchemy import Text, cast, func, inspect, select

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import settings

_PREFIX = "file_watch."


def settings_rows(database: Database) -> dict[str, str]:
    """The `file_watch.*` rows, key to value; rows without a value and a missing table say nothing.

    Raises CatalogUnavailable or CatalogError.
    """
    with database.reading() as connection:
        if not inspect(connection).has_table(settings.name):
            return {}
        key, value = cast(settings.c.key, Text), cast(settings.c.value, Text)
        # Not LIKE, to which the underscore is any letter.
        question = select(key, value).where(func.substr(key, 1, len(_PREFIX)) == _PREFIX)
        return {key: value for key, value in connection.execute(question) if value is not None}
