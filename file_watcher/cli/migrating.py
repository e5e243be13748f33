"""`migrate`: make or upgrade the catalog's schema, or only say how it stands. Owns no thread."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.options import Given
from file_watcher.cli.places import catalog_url
from file_watcher.settings import prepare_state_folder


def migrate(
    given: Given,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 where the schema is not current.")
    ] = False,
) -> int:
    """Make or upgrade the catalog's schema. `run` does it by itself."""
    url = catalog_url(given.load().settings)
    return _look(url) if check else _migrate(url)


def _migrate(url: str) -> int:
    from file_watcher.catalog import schema
    from file_watcher.catalog.database import Database

    database = Database(url)
    if database.path is not None:
        prepare_state_folder(database.path.parent)
    try:
        database.open()
        before = schema.schema_state(database)
        schema.migrate(database)
    finally:
        database.close()
    done = {"current": "was current already", "empty": "is made", "older": "is upgraded"}
    typer.echo(f"The schema of {database.shown} {done.get(before, 'is current')}.")
    return FINE


def _look(url: str) -> int:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.schema import schema_state

    database = Database(url)
    state = "empty"
    if database.path is None or os.path.lexists(database.path):  # opening would make the file
        try:
            database.open()
            state = schema_state(database)
        finally:
            database.close()
    if state == "current":
        typer.echo(f"The schema of {database.shown} is current.")
        return FINE
    mends = {
        "empty": "is not made yet: `migrate` or the next `run` makes it",
        "older": "is older than this version: `migrate` or the next `run` upgrades it",
        "newer": "is newer than this version knows: install the newer file_watcher, or set DATABASE_URL",
    }
    complain(f"The schema of {database.shown} {mends[state]}")
    return WRONG
