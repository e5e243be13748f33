"""The watched roots, as rows that another application may share, and what we remember of each.

Owns no thread; called at the start and when a root's state changes.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import count
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select, text

from file_watcher.catalog.database import Database
from file_watcher.catalog.rows import signed, unsigned
from file_watcher.catalog.tables import libraries, library_state
from file_watcher.model import Library

_ENSURE_LOCK: Final = 0x6677_0003
"""Key of PostgreSQL's advisory lock: two instances that start at once make one row."""


@dataclass(frozen=True, slots=True)
class LibraryState:
    """What is remembered of a library's root between runs.

    Device, inode and filesystem id tell a replaced or unmounted root; they are None until the root was
    seen for the first time. `reason` says why a library is suspended. `mounts` holds the disks that
    belong below the root: inode and filesystem id of each by its mount point; None where never recorded.
    """

    library_id: int
    state: Literal["active", "suspended"] = "active"
    reason: str | None = None
    root_device: int | None = None
    root_inode: int | None = None
    fsid: str | None = None
    first_scan_done: bool = False
    updated_ns: int = 0
    mounts: Mapping[bytes, tuple[int, str]] | None = None


class Libraries:
    """Reads and writes libraries. All methods raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure_library(
        self, root: bytes, name: str | None = None, library_type: str = "production"
    ) -> Library:
        """The library at this real path; where there is no row yet, one is made.

        A new library is named after its folder, with a number behind where the name is taken. A row
        that stands keeps its name and type, whoever made it.
        """
        with self._database.writing() as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ENSURE_LOCK})
            row = connection.execute(
                select(libraries.c.id, libraries.c.name, libraries.c.type)
                .where(libraries.c.path == _path_text(root))
                .order_by(libraries.c.id)
            ).first()
            if row is not None:
                return Library(row.id, row.name or _folder_name(root), row.type or library_type, root)
            free = _free_name(connection, name or _folder_name(root))
            values = {"name": free, "path": _path_text(root), "type": library_type, "is_watched": True}
            key = connection.execute(insert(libraries).values(values)).inserted_primary_key
            assert key is not None
            return Library(key[0], free, library_type, root)

    def library_state(self, library_id: int) -> LibraryState | None:
        """What was remembered of the library; None before it was first saved."""
        columns = [library_state.c[name] for name in _STATE_FIELDS]
        with self._database.reading() as connection:
            row = connection.execute(select(*columns).where(library_state.c.library_id == library_id)).first()
        return None if row is None else _state_of(dict(row._mapping))  # noqa: SLF001 - its public name

    def save_library_state(self, state: LibraryState) -> None:
        """Remember the state, in a transaction of its own; `updated_ns` is set to now."""
        values: dict[str, Any] = {name: getattr(state, name) for name in _STATE_FIELDS}
        values["updated_ns"] = time.time_ns()
        for name in _UNSIGNED:
            values[name] = None if values[name] is None else signed(values[name])
        values["mounts"] = None if state.mounts is None else _mounts_text(state.mounts)
        with self._database.writing() as connection:
            connection.execute(_SAVE, values)


_STATE_FIELDS: Final = tuple(field.name for field in fields(LibraryState))
_UNSIGNED: Final = ("root_device", "root_inode")
_SAVE: Final = text(
    f"INSERT INTO fw_library_state ({', '.join(_STATE_FIELDS)}) "  # noqa: S608 - constants
    f"VALUES ({', '.join(':' + name for name in _STATE_FIELDS)}) ON CONFLICT (library_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _STATE_FIELDS[1:])
)


def _state_of(values: dict[str, Any]) -> LibraryState:
    for name in _UNSIGNED:
        values[name] = None if values[name] is None else unsigned(values[name])
    values["first_scan_done"] = bool(values["first_scan_done"])
    values["mounts"] = None if values["mounts"] is None else _mounts_of(values["mounts"])
    return LibraryState(**values)


def _mounts_text(mounts: Mapping[bytes, tuple[int, str]]) -> str:
    """A JSON list of [mount point in base64, inode, filesystem id]: a name may be any bytes."""
    rows = [[base64.b64encode(point).decode("ascii"), inode, fsid] for point, (inode, fsid) in mounts.items()]
    return json.dumps(sorted(rows))


def _mounts_of(text: str) -> dict[bytes, tuple[int, str]]:
    return {base64.b64decode(point): (int(inode), str(fsid)) for point, inode, fsid in json.loads(text)}


def _path_text(root: bytes) -> str:
    """The path as the shared table holds it; bytes that are no UTF-8 stay apart from one another."""
    return root.decode("utf-8", "backslashreplace")


def _folder_name(root: bytes) -> str:
    return _path_text(root).rstrip("/").rpartition("/")[2] or "root"


def _free_name(connection: Connection, wanted: str) -> str:
    taken = set(connection.execute(select(libraries.c.name)).scalars())
    candidates = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    return next(name for name in candidates if name not in taken)
