"""The watched roots, as rows that another application may share, and what we remember of each.

Owns no thread; called at the start and when a root's state changes.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from sqlalchemy import Connection, select, text, update

from file_watcher.catalog import roots
from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.rows import signed, unsigned
from file_watcher.catalog.tables import library_state
from file_watcher.model import Library


@dataclass(frozen=True, slots=True)
class LibraryState:
    """What is remembered of a library's root between runs.

    Device, inode and filesystem id tell a replaced or unmounted root; they are None until the root was
    seen for the first time. `reason` says why a library is suspended. `mounts` holds the disks that
    belong below the root: inode and filesystem id of each by its mount point; None where never recorded.
    """

    library_id: int
    state: Literal["active", "suspended", "unwatched"] = "active"
    reason: str | None = None
    root_device: int | None = None
    root_inode: int | None = None
    fsid: str | None = None
    first_scan_done: bool = False
    updated_ns: int = 0
    mounts: Mapping[bytes, tuple[int, str]] | None = None
    root: bytes | None = None
    """The path that was scanned last; None where that was not recorded yet."""


class Libraries:
    """Reads and writes libraries. All methods raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database, leases: LeaseGuard = NO_LEASES) -> None:
        self._database = database
        self._leases = leases

    def ensure_library(
        self, root: bytes, name: str | None = None, library_type: str = roots.DEFAULT_TYPE
    ) -> Library:
        """The library at this real path; where there is no row yet, one is made.

        A new library is named after its folder, with a number behind where the name is taken. A row
        that stands keeps its name and type, whoever made it.
        """
        with self._database.writing() as connection:
            roots.wait_for_others(connection)
            return roots.find_or_add(connection, root, name, library_type, watched=True)[0]

    def ensure_libraries(self, named: Sequence[bytes], instance_id: str) -> list[Library]:
        """The libraries at these real paths, in that order: the roots that the instance's environment names.

        They are watched as long as it does. What it named before and names no more is watched as it was
        before any instance named it. One transaction. Raises CatalogError too where a table of another
        application takes no row for a root, with the row that somebody has to add.
        """
        with self._database.writing() as connection:
            roots.wait_for_others(connection)
            found = []
            for root in named:
                library, is_new = roots.find_or_add(connection, root, None, roots.DEFAULT_TYPE, watched=True)
                roots.mark(connection, library.id, instance_id, is_new=is_new)
                found.append(library)
            roots.release_others(connection, instance_id, (library.id for library in found))
            return found

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
            self._leases.confirm(connection, [state.library_id])
            connection.execute(_SAVE, values)


def mark_unwatched(connection: Connection, library_id: int) -> bool:
    """Note, in a transaction, that the library is watched no more; False where that was noted already."""
    done = connection.execute(
        update(library_state)
        .where(library_state.c.library_id == library_id, library_state.c.state != "unwatched")
        .values(state="unwatched", reason=None, updated_ns=time.time_ns())
    )
    return bool(done.rowcount)


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
    values["root"] = None if values["root"] is None else bytes(values["root"])
    values["mounts"] = None if values["mounts"] is None else _mounts_of(values["mounts"])
    return LibraryState(**values)


def _mounts_text(mounts: Mapping[bytes, tuple[int, str]]) -> str:
    """A JSON list of [mount point in base64, inode, filesystem id]: a name may be any bytes."""
    rows = [[base64.b64encode(point).decode("ascii"), inode, fsid] for point, (inode, fsid) in mounts.items()]
    return json.dumps(sorted(rows))


def _mounts_of(text: str) -> dict[bytes, tuple[int, str]]:
    return {base64.b64decode(point): (int(inode), str(fsid)) for point, inode, fsid in json.loads(text)}
