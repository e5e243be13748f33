"""Files of the same content, out of the hashes that the catalog has anyway.

Owns no thread; reads only. Groups are paged along the index of size and hash, members by their number, so that
memory stays flat however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from file_watcher.catalog.database import Database

_GROUPS: Final = 500
"""Groups in memory at a time."""
_MEMBERS: Final = 1000
"""Members of a group in memory at a time."""


@dataclass(frozen=True, slots=True)
class Group:
    """At least two files of `size` bytes each and the same SHA-256.

    `copies` are those that take room on a disk: hard links of one another count as one.
    """

    size: int
    sha256: bytes
    files: int
    copies: int

    @property
    def wasted(self) -> int:
        """Bytes that would be free if one copy were kept."""
        return self.size * (self.copies - 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a group."""

    path: bytes
    library: str | None


class Duplicates:
    """The groups among all files of a catalog, or among those of one library. Empty files are none.

    Every method may raise CatalogUnavailable or CatalogError. What changes meanwhile may be seen or not.
    """

    def __init__(self, database: Database, *, library_id: int | None = None, min_size: int = 1) -> None:
        self._database = database
        self._min_size = max(min_size, 1)
        self._library = () if library_id is None else (library_id,)
        ours = "" if library_id is None else " AND fw_files.library_id = ?"
        files = "alike.files" if library_id is None else f"({_COUNT.format(count='*', ours=ours)})"
        copies = f"({_COUNT.format(count=_DISTINCT, ours=ours)})"
        self._page = database.driver_sql(_PAGE.format(files=files, copies=copies))
        self._members = database.driver_sql(_MEMBERS_OF.format(ours=ours))
        self._unhashed = database.driver_sql(_UNHASHED.format(ours=ours))

    def groups(self) -> Iterator[Group]:
        """All groups, largest files first."""
        size, sha256 = _LARGEST, b""
        while True:
            values = (*self._library, *self._library, size, size, sha256, self._min_size, _GROUPS)
            rows = self._ask(self._page, values)
            # Of those that are alike, only one may lie in the library that is looked at.
            yield from (group for row in rows if (group := Group(*row)).files > 1)
            if len(rows) < _GROUPS:
                return
            size, sha256 = rows[-1][:2]

    def unhashed(self) -> int:
        """How many files could not be compared, since the catalog has no hashes of them."""
        ((count,),) = self._ask(self._unhashed, (self._min_size, *self._library))
        return int(count)

    def members(self, group: Group) -> Iterator[Member]:
        """The group's files, in the order in which they were catalogued."""
        after = 0
        while True:
            values = (group.size, group.sha256, after, *self._library, _MEMBERS)
            rows = self._ask(self._members, values)
            yield from (Member(path, library) for _, path, library in rows)
            if len(rows) < _MEMBERS:
                return
            after = rows[-1][0]

    def _ask(self, sql: str, values: tuple[Any, ...]) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.exec_driver_sql(sql, values).all()


_LARGEST: Final = (1 << 63) - 1

# One file on the disk has one inode of one device; token 0 stands for the device of its library's root (see
# `rows`), so that hard links are known as such also where they lie in two libraries.
_DISTINCT: Final = (
    "DISTINCT coalesce(nullif(fw_files.device, 0), fw_library_state.root_device, 0) || ' ' || fw_files.inode"
)
_COUNT: Final = (
    "SELECT count({count}) FROM fw_files "
    "LEFT JOIN fw_library_state ON fw_library_state.library_id = fw_files.library_id "
    "WHERE fw_files.size = alike.size AND fw_files.sha256 = alike.sha256{ours}"
)
_PAGE: Final = (
    # Groups are found in the index alone, whatever the library; only the rows of those found are looked at.
    "SELECT alike.size, alike.sha256, {files}, {copies} "
    "FROM (SELECT size, sha256, count(*) AS files FROM fw_files "
    "WHERE size <= ? AND (size, sha256) < (?, ?) AND size >= ? AND sha256 IS NOT NULL "
    "GROUP BY size, sha256 HAVING count(*) > 1 ORDER BY size DESC, sha256 DESC LIMIT ?) AS alike "
    "ORDER BY alike.size DESC, alike.sha256 DESC"
)
_UNHASHED: Final = "SELECT count(*) FROM fw_files WHERE sha256 IS NULL AND size >= ?{ours}"
_MEMBERS_OF: Final = (
    "SELECT fw_files.id, fw_files.path, libraries.name FROM fw_files "
    "LEFT JOIN libraries ON libraries.id = fw_files.library_id "
    "WHERE size = ? AND sha256 = ? AND fw_files.id > ?{ours} ORDER BY fw_files.id LIMIT ?"
)
