"""What the books say of a library's files, for those who compare them with the disk: `verify`.

Owns no thread; reads only. Rows come in the order of their paths, page by page, each page as of the moment in
which it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.rows import RECORD_COLUMNS, RootDevices, record_of, unsigned
from file_watcher.catalog.snapshot import Interval
from file_watcher.model import FileRecord, Library

_PAGE: Final = 500
"""Rows in memory at a time; with metadata of 1 kB each about 1 MB."""


@dataclass(frozen=True, slots=True)
class KnownLibrary:
    """A library and how the service that watches it left it. `suspended` is why it is not watched at present.

    `root_inode` and `fsid` tell the folder from another one at its place; None before it was first seen.
    """

    library: Library
    suspended: str | None
    root_inode: int | None
    fsid: str | None


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is."""

    files: int
    size: int


_LIBRARIES: Final = (
    "SELECT libraries.id, libraries.name, libraries.type, libraries.path, state, reason, root_inode, fsid "
    "FROM fw_library_state JOIN libraries ON libraries.id = fw_library_state.library_id ORDER BY libraries.name"
)


class Books:
    """The rows of all libraries of a catalog. Every method may raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The sum keeps planners from walking an index by library, which holds for nearly all rows.
        ours = "FROM fw_files WHERE library_id + 0 = ? AND path >= ? AND path < ?"
        self._page = database.driver_sql(f"SELECT {RECORD_COLUMNS} {ours} ORDER BY path LIMIT ?")
        self._one = database.driver_sql(f"SELECT {RECORD_COLUMNS} {ours}")
        self._amount = database.driver_sql(f"SELECT count(*), coalesce(sum(size), 0) {ours}")

    def libraries(self) -> list[KnownLibrary]:
        """All that a service has worked with, by name."""
        with self._database.reading() as connection:
            rows = connection.exec_driver_sql(_LIBRARIES).all()
        return [_known(*row) for row in rows]

    def amount(self, library_id: int, within: Sequence[Interval]) -> Amount:
        """How many files, of how many bytes, the library has there. Takes a second for a million."""
        with self._database.reading() as connection:
            rows = [
                connection.exec_driver_sql(self._amount, (library_id, *interval)).one() for interval in within
            ]
        return Amount(sum(row[0] for row in rows), int(sum(row[1] for row in rows)))

    def rows(self, library_id: int, within: Sequence[Interval], after: bytes = b"") -> Iterator[FileRecord]:
        """The library's files in these intervals, which ascend, with paths greater than `after`."""
        devices = RootDevices()  # whoever compares leaves devices out: their numbers change
        for first, end in within:
            begin = max(first, after + b"\0")  # no path holds it, so nothing lies between
            while begin < end:
                found = self._ask(self._page, library_id, begin, end, _PAGE)
                for row in found:
                    yield record_of(row, devices)
                if len(found) < _PAGE:
                    break
                begin = found[-1][1] + b"\0"

    def row(self, library_id: int, path: bytes) -> FileRecord | None:
        """The file at the path, as it is known now."""
        found = self._ask(self._one, library_id, path, path + b"\0")
        return record_of(found[0], RootDevices()) if found else None

    def _ask(self, sql: str, *values: Any) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.exec_driver_sql(sql, values).all()


def root_of(text: str) -> bytes:
    r"""The library's root out of the shared table's text, where bytes that are no UTF-8 stand as `\xNN`.

    A folder whose name really has a backslash, an x and two digits is taken for one whose name has the byte only
    if that byte could not have stood for itself.
    """
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "surrogatepass"))


_ESCAPED: Final = re.compile(rb"\\x([89a-f][0-9a-f])")
"""Only bytes from 0x80 can be undecodable."""


def _known(
    key: int,
    name: str,
    kind: str,
    path: str,
    state: str,
    reason: str | None,
    root_inode: int | None,
    fsid: str | None,
) -> KnownLibrary:
    return KnownLibrary(
        Library(key, name, kind, root_of(path)),
        (reason or "no reason is recorded") if state == "suspended" else None,
        None if root_inode is None else unsigned(root_inode),
        fsid,
    )
