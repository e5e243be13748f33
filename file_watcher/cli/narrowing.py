"""Options that narrow what a command is about: a library, a path, a time. Owns no thread."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.library_choice import completed, the_one
from file_watcher.errors import UsageError
from file_watcher.paths import inner, real_path
from file_watcher.settings.quantities import read_duration

if TYPE_CHECKING:
    from file_watcher.catalog.bookkeeping import KnownLibrary
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.snapshot import Interval

LibraryName = Annotated[
    str | None,
    typer.Argument(
        metavar="LIBRARY",
        help="Its name, as `status` shows it; without one, all.",
        show_default=False,
        autocompletion=completed,
    ),
]
Below = Annotated[
    str | None,
    typer.Option("--path", metavar="PREFIX", help="Only this file, or what lies below this folder."),
]

_NEWEST: Final = 25
"""Shown where nothing says how many: a terminal has more lines than that."""
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME|DURATION", help="Only since then: `2026-01-31T12:00`, or `2h` ago."),
]
Newest = Annotated[
    int | None,
    typer.Option(
        "--last",
        "-n",
        min=0,
        metavar="N",
        help=f"Only the newest N; 0 for all. Else {_NEWEST}, or all with --since.",
        show_default=False,
    ),
]

_EVERYWHERE: Final = ((b"", b"\xff"),)
"""All absolute paths: they begin with a slash, or on Windows with a letter."""


def how_many(newest: int | None, since: str | None) -> int:
    """How many lines to show at most; 0 for all."""
    if newest is not None:
        return newest
    return _NEWEST if since is None else 0


def since_ns(text: str, now: float) -> int:
    """The moment in ns since the epoch; `now` in seconds since then. Raises UsageError.

    Without a zone it is the local one. A number needs a unit: 2026 is no number of seconds.
    """
    moment = _moment(text.strip(), now)
    if moment is None:
        raise UsageError(
            f"--since {text!r} is neither a time nor a duration; such as 2026-01-31, 2026-01-31T12:00Z, 90m or 7d"
        )
    if moment > now:
        raise UsageError(
            f"--since {text!r} lies in the future, so nothing has changed since; give a time before now"
        )
    return int(moment * 1e9)


def _moment(text: str, now: float) -> float | None:
    try:
        if text[-1:].isalpha() and text[-1:] != "Z":
            return now - read_duration(text)
        # The short form 20260131 would be taken for seconds by most who read it.
        return dt.datetime.fromisoformat(text).astimezone().timestamp() if "-" in text else None
    except (ValueError, OverflowError, OSError):  # beyond the years that the platform's clock can show
        return None


def ways_to(path: str | None) -> tuple[bytes, ...]:
    """As it was written and as it really is: libraries have real paths, but links may lead on inside of them."""
    if path is None:
        return ()
    if not path or "\0" in path:
        raise UsageError(f"--path {path!r} is no path; give a file or a folder inside of a library")
    return inner(os.path.abspath(path)), real_path(path)


def intervals_of(ways: tuple[bytes, ...]) -> tuple[Interval, ...]:
    """What lies at or below any of the paths, ascending and once only; everything where none is given."""
    from file_watcher.catalog.snapshot import at_and_below

    if not ways:
        return _EVERYWHERE
    # One folder that lies in the other is in its interval already.
    apart = {way for way in ways if not any(way != other and _lies_in(way, other) for other in ways)}
    return tuple(sorted(interval for way in apart for interval in at_and_below(way)))


def _lies_in(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(b"/") + b"/")


def known_libraries(database: Database) -> list[KnownLibrary]:
    """All libraries that the catalog has; raises UsageError where there are none yet."""
    from file_watcher.catalog.bookkeeping import Books

    found = Books(database).libraries()
    if not found:
        raise UsageError(
            f"The catalog {database.shown} has no library yet: start the service once with DATA_DIR set"
        )
    return found


def chosen_libraries(database: Database, name: str | None) -> list[KnownLibrary]:
    """The library of that name or number, or all of them. Raises UsageError where there is none, or several."""
    found = known_libraries(database)
    if name is None:
        return found
    chosen = the_one([known.library for known in found], name, database.shown)
    return [known for known in found if known.library.id == chosen.id]
