"""The catalog at a glance, for people: what is catalogued, what waits to be sent, what was told last.

Owns no thread; reads only. Counting the files of a large catalog takes a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING


@dataclass(frozen=True, slots=True)
class LibraryOverview:
    """One library that this package keeps, with the number and the bytes of its catalogued files."""

    name: str
    path: str
    type: str
    state: str
    reason: str | None
    first_scan_done: bool
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The newest message. `published_ns` is None while it waits, and where no queue wanted it (`unrouted`)."""

    event_type: str
    path: str
    created_ns: int
    published_ns: int | None
    unrouted: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """What the catalog holds. `oldest_ns` is when the first message that waits was created."""

    libraries: tuple[LibraryOverview, ...]
    waiting: int
    oldest_ns: int | None
    last_event: LastEvent | None


_LIBRARIES: Final = (
    "SELECT libraries.name, libraries.path, libraries.type, state, reason, first_scan_done, "
    "coalesce(held.files, 0), coalesce(held.size, 0) FROM fw_library_state "
    "JOIN libraries ON libraries.id = fw_library_state.library_id LEFT JOIN "
    "(SELECT library_id, count(*) AS files, sum(size) AS size FROM fw_files GROUP BY library_id) AS held "
    "ON held.library_id = libraries.id ORDER BY libraries.name"
)
_WAITING: Final = f"SELECT count(*) FROM fw_events WHERE {WAITING}"  # noqa: S608 - constants
_OLDEST: Final = f"SELECT created_ns FROM fw_events WHERE {WAITING} ORDER BY sequence LIMIT 1"  # noqa: S608
_LAST: Final = "SELECT event_type, path_text, created_ns, published_ns, unrouted FROM fw_events ORDER BY sequence DESC LIMIT 1"


def overview(database: Database) -> Overview:
    """Look at a catalog whose schema is current. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        libraries = connection.exec_driver_sql(_LIBRARIES).all()
        waiting: int = connection.exec_driver_sql(_WAITING).scalar_one()
        oldest_ns: int | None = connection.exec_driver_sql(_OLDEST).scalar()
        last = connection.exec_driver_sql(_LAST).first()
    return Overview(
        tuple(
            LibraryOverview(name, path, kind, state, reason, bool(scanned), files, int(size))
            for name, path, kind, state, reason, scanned, files, size in libraries
        ),
        waiting,
        oldest_ns,
        None if last is None else _last_event(*last),
    )


def _last_event(
    event_type: str, path: str, created_ns: int, published_ns: int | None, unrouted: int
) -> LastEvent:
    """SQLite has no booleans, but 0 and 1."""
    return LastEvent(event_type, path, created_ns, published_ns, bool(unrouted))


def waiting(database: Database) -> int:
    """How many messages wait for their confirm. Raises CatalogUnavailable or CatalogError."""
    with database.reading() as connection:
        count: int = connection.exec_driver_sql(_WAITING).scalar_one()
    return count
