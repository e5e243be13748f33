"""The catalog at a glance, for people: what is catalogued, what waits to be sent, what was told last.

Owns no thread; reads only. Counting the files of a large catalog takes a moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.library_admin import owners
from file_watcher.catalog.tables import WAITING


@dataclass(frozen=True, slots=True)
class LibraryOverview:
    """One library that is watched or was, with the number and the bytes of its catalogued files.

    `state` is None before a service has seen it for the first time, `owner` where no instance has its lease.
    """

    id: int
    name: str
    path: str
    type: str
    is_watched: bool
    state: str | None
    reason: str | None
    first_scan_done: bool
    files: int
    size: int
    rules: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None


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
    "SELECT libraries.id, coalesce(libraries.name, ''), libraries.path, libraries.type, libraries.is_watched, "
    "state, reason, first_scan_done, coalesce(held.files, 0), coalesce(held.size, 0) "
    "FROM libraries LEFT JOIN fw_library_state ON libraries.id = fw_library_state.library_id LEFT JOIN "
    "(SELECT library_id, count(*) AS files, sum(size) AS size FROM fw_files GROUP BY library_id) AS held "
    "ON held.library_id = libraries.id WHERE libraries.is_watched OR state IS NOT NULL "
    "ORDER BY libraries.name, libraries.id"
)
_WAITING: Final = f"SELECT count(*) FROM fw_events WHERE {WAITING}"  # noqa: S608 - constants
_OLDEST: Final = f"SELECT created_ns FROM fw_events WHERE {WAITING} ORDER BY sequence LIMIT 1"  # noqa: S608
_LAST: Final = "SELECT event_type, path_text, created_ns, published_ns, unrouted FROM fw_events ORDER BY sequence DESC LIMIT 1"


def overview(database: Database) -> Overview:
    """Look at a catalog whose schema is current. Raises CatalogUnavailable or CatalogError."""
    owned = {} if database.is_sqlite else owners(database, time.time_ns())
    with database.reading() as connection:
        libraries = connection.exec_driver_sql(_LIBRARIES).all()
        rules = connection.exec_driver_sql("SELECT library_id, key, value FROM fw_library_rules").all()
        waiting: int = connection.exec_driver_sql(_WAITING).scalar_one()
        oldest_ns: int | None = connection.exec_driver_sql(_OLDEST).scalar()
        last = connection.exec_driver_sql(_LAST).first()
    return Overview(
        tuple(
            LibraryOverview(
                number,
                name,
                path,
                kind,
                bool(watched),
                state,
                reason,
                bool(scanned),
                files,
                int(size),
                {key: value for owner, key, value in rules if owner == number},
                owned.get(number),
            )
            for number, name, path, kind, watched, state, reason, scanned, files, size in libraries
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
