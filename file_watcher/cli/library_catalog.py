"""The catalog as the commands `library …` work on it: opened, with its libraries read. Owns no thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from file_watcher.cli.asking import print_json
from file_watcher.cli.library_choice import the_one
from file_watcher.cli.library_pages import origin_words
from file_watcher.cli.options import Given
from file_watcher.errors import UsageError
from file_watcher.ops.sanitize import escape_for_terminal

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.library_admin import LibraryAdmin
    from file_watcher.catalog.steering import LibraryRow
    from file_watcher.settings import Settings


@dataclass(frozen=True, slots=True)
class Steered:
    """The catalog that a command works on."""

    settings: Settings
    database: Database
    admin: LibraryAdmin
    rows: Sequence[LibraryRow]

    def choose(self, text: str) -> LibraryRow:
        """The library that is meant. Raises UsageError."""
        return the_one(self.rows, text, self.database.shown)

    def watched_besides(self, chosen: int | None) -> list[LibraryRow]:
        """The other libraries that are watched."""
        return [row for row in self.rows if row.is_watched and row.id != chosen]


@contextmanager
def steered(given: Given) -> Iterator[Steered]:
    """The catalog that is meant, with the settings that its rows make. Raises what `read_catalog` does."""
    from file_watcher.catalog.library_admin import LibraryAdmin
    from file_watcher.catalog.steering import read_steering
    from file_watcher.cli.catalogs import read_catalog

    with read_catalog(given.load().settings) as database:
        steering = read_steering(database)
        settings = given.load(dict(steering.settings)).settings
        yield Steered(settings, database, LibraryAdmin(database), steering.libraries)


def refuse_foreign_origin(row: LibraryRow) -> None:
    """Raise UsageError where an environment names it, which would have it watched again at the next start."""
    if row.origins:
        raise UsageError(
            f"library {row.name!r} comes from {origin_words(sorted(row.origins))}: take {row.path} out of DATA_DIR "
            "or FILE_WATCH_DIRECTORIES there, and restart it; then it can be unwatched here"
        )


def tell(name: str, number: int, done: str, *, as_json: bool) -> None:
    """Say what was done to a library."""
    if as_json:
        print_json({"library": {"id": number, "name": name}, "result": done})
    else:
        typer.echo(f"Library {escape_for_terminal(name)} (#{number}) {done}.")
