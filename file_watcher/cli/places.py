"""Where a process finds its catalog and its name, worked out of the settings. Owns no thread."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from file_watcher.settings import Settings, instance_id, prepare_state_folder, state_folder


@dataclass(frozen=True, slots=True)
class Home:
    """What a service keeps between runs. `catalog_url` may hold a password."""

    instance_id: str
    catalog_url: str


def move_in(settings: Settings) -> Home:
    """Make the folders that the service needs and read or make its name.

    Writes to the disk. Raises UsageError where a folder cannot be written to.
    """
    folder = Path()
    if settings.database_url is None or settings.instance_id is None:
        folder = state_folder(os.environ)
        prepare_state_folder(folder)
    file = settings.catalog_file(folder)
    if file is not None and file.parent != folder:
        prepare_state_folder(file.parent)
    return Home(instance_id(settings, folder), settings.catalog_url(folder))


def catalog_url(settings: Settings) -> str:
    """Where the catalog is or would be, password included; makes and reads nothing. Raises UsageError."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return settings.catalog_url(state_folder(os.environ))


def runtime_rows(url: str) -> dict[str, str]:
    """The settings that the catalog's database holds; none where there is no catalog yet.

    Blocks for seconds where a server does not answer. Raises CatalogUnavailable or CatalogError.
    """
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.runtime_settings import settings_rows

    database = Database(url)
    if database.path is not None and not database.path.exists():
        return {}  # opening would make the file
    try:
        database.open()
        return settings_rows(database)
    finally:
        database.close()
