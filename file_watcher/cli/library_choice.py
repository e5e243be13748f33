"""Which library is meant: by name or number, and what a shell may complete. Owns no thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from file_watcher.errors import FileWatcherError, UsageError

if TYPE_CHECKING:
    from file_watcher.catalog.steering import LibraryRow


class Named(Protocol):
    """What has a number and a name."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def the_one(rows: Sequence[N], text: str, where: str) -> N:
    """The row of that name, or of that number (`3`, or `#3` where a library is called 3).

    Raises UsageError where there is none, and where several fit: with their numbers.
    """
    number = text.removeprefix("#")
    by_number = [row for row in rows if number.isdecimal() and row.id == int(number)]
    by_name = [] if text.startswith("#") else [row for row in rows if row.name == text]
    found = list({row.id: row for row in (*by_name, *by_number)}.values())
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"#{row.id}" for row in sorted(found, key=lambda row: row.id))
        raise UsageError(f"{text!r} may be any of several libraries; say which by its number: {numbers}")
    names = ", ".join(row.name for row in rows)
    has = f"it has: {names}" if names else "it has none"
    raise UsageError(f"The catalog {where} has no library {text!r}; {has}")


def completed(incomplete: str) -> list[str]:
    """Names of libraries that begin so, out of the catalog that the environment names; none where it is away."""
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.steering import read_steering
    from file_watcher.cli.places import catalog_url
    from file_watcher.settings import load

    try:
        database = Database(catalog_url(load({}, os.environ).settings))
        if database.path is not None and not database.path.exists():
            return []
        try:
            database.open()
            rows: tuple[LibraryRow, ...] = read_steering(database).libraries
        finally:
            database.close()
    except FileWatcherError:
        return []  # a shell that completes is no place for complaints
    return [row.name for row in rows if row.name.startswith(incomplete)]


Choice = Annotated[
    str,
    typer.Argument(
        metavar="LIBRARY",
        help="Its name or its number, as `library list` shows them.",
        autocompletion=completed,
    ),
]
