"""The merge of two sorted streams: the files of a tree, as they come, and the catalog's rows.

No thread, no disk. Both streams are in the order of the paths' bytes; what one has and the other has not
is a finding. The rows are read in pages by key, so that memory stays flat and no transaction is held.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final

from file_watcher.model import CatalogEntry, FileStat

PAGE_ROWS: Final = 1_000
"""Rows asked of the catalog at a time: about 0.3 MB of them."""


class FindingKind(StrEnum):
    """How disk and catalog differ at a path."""

    NEW = "new"
    CHANGED = "changed"
    MISSING = "missing"


ALL_KINDS: Final = frozenset(FindingKind)


@dataclass(frozen=True, slots=True)
class Finding:
    """One path to look at again. `replaces_folder`: a file stands where the catalog has files below it."""

    path: bytes
    kind: FindingKind
    replaces_folder: bool = False
    only_ctime: bool = False
    """All but the ctime is as a trusted row says: its mode, owner or links changed, or its mtime was restored."""
    only_racy: bool = False
    """The stat is equal, but a write right after the hash could hide behind it."""
    inode: int = 0
    """Of what is new."""


def is_unchanged(entry: CatalogEntry, stat: FileStat) -> bool:
    """Whether a row proves that the file is what was told: its stat is trusted and equal, its hashes are known."""
    return entry.trusted and entry.hashed and entry.stat == stat


def is_as_told(entry: CatalogEntry, stat: FileStat) -> bool:
    """The same where nobody wants hashes."""
    return entry.trusted and entry.stat == stat


class Rows:
    """The catalog's rows below a prefix as one stream, read in pages by key."""

    def __init__(self, prefix: bytes, entries: Callable[[bytes, int], Sequence[CatalogEntry]]) -> None:
        self._prefix = prefix
        self._entries = entries
        self._page: Sequence[CatalogEntry] = ()
        self._at = 0
        self._last_page = False
        self.current: CatalogEntry | None = None
        self._turn_page(prefix)

    def advance(self) -> None:
        """Go to the next row; `current` is None behind the last one."""
        self._at += 1
        if self._at < len(self._page):
            self.current = self._page[self._at]
        elif self._last_page:
            self.current = None
        else:
            self._turn_page(self._page[-1].path)

    def any_below(self, path: bytes) -> bool:
        """Whether rows follow that lie below `path`, were it a folder. Mostly answered from the page in hand."""
        prefix = path + b"/"
        if self.current is None or (self.current.path > prefix and not self.current.path.startswith(prefix)):
            return False
        at = bisect_left(self._page, prefix, lo=self._at, key=itemgetter(0))
        if at < len(self._page):
            return self._page[at].path.startswith(prefix)
        following = () if self._last_page else self._entries(prefix, 1)
        return bool(following) and following[0].path.startswith(prefix)

    def _turn_page(self, after: bytes) -> None:
        page = self._entries(after, PAGE_ROWS)
        self._last_page = len(page) < PAGE_ROWS
        if page and not page[-1].path.startswith(self._prefix):
            page = [row for row in page if row.path.startswith(self._prefix)]
            self._last_page = True
        self._page, self._at = page, 0
        self.current = page[0] if page else None


class Merge:
    """Lays the files of the disk, as they come in order, beside the rows."""

    def __init__(
        self,
        rows: Rows,
        found: Callable[[Finding], None],
        kinds: frozenset[FindingKind],
        unchanged: Callable[[CatalogEntry, FileStat], bool],
        shields: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """`shields(path)`: whether a row proves nothing by missing, since its disk is not there."""
        self._rows = rows
        self._found = found
        self._kinds = kinds
        self._unchanged = unchanged
        self._shields = shields
        self.shielded = 0
        """Rows without a file that `shields` did not let count as missing."""
        self.counts = dict.fromkeys(FindingKind, 0)

    def file(self, path: bytes, stat: FileStat) -> None:
        """A file is on the disk at `path`."""
        rows = self._rows
        row = rows.current
        if row is not None and row.path < path:
            self.up_to(path)
            row = rows.current
        if row is None or row.path != path:
            self._tell(path, FindingKind.NEW, replaces_folder=rows.any_below(path), inode=stat.inode)
            return
        rows.advance()
        if not self._unchanged(row, stat):
            self._tell_changed(row, stat, replaces_folder=rows.any_below(path))

    def up_to(self, path: bytes) -> None:
        """Nothing more is on the disk before `path`: the rows up to there are missing."""
        while (row := self._rows.current) is not None and row.path < path:
            self._tell(row.path, FindingKind.MISSING)
            self._rows.advance()

    def unknown(self, path: bytes) -> None:
        """It cannot be told whether a file is at `path`: its row says nothing."""
        self.up_to(path)
        if (row := self._rows.current) is not None and row.path == path:
            self._rows.advance()

    def shield(self, folder: bytes) -> None:
        """It cannot be told what lies below `folder`: the rows there say nothing."""
        prefix = folder.rstrip(b"/") + b"/"
        self.up_to(prefix)
        while (row := self._rows.current) is not None and row.path.startswith(prefix):
            self._rows.advance()

    def rest(self) -> None:
        """The disk has no more: all rows that follow are missing."""
        while (row := self._rows.current) is not None:
            self._tell(row.path, FindingKind.MISSING)
            self._rows.advance()

    def _tell_changed(self, row: CatalogEntry, stat: FileStat, *, replaces_folder: bool) -> None:
        self.counts[FindingKind.CHANGED] += 1
        if FindingKind.CHANGED not in self._kinds:
            return
        likely_same = row.hashed and row.stat.same_file(stat) and row.stat.same_bytes_likely(stat)
        finding = Finding(
            row.path,
            FindingKind.CHANGED,
            replaces_folder,
            only_ctime=likely_same and row.trusted and row.stat != stat,
            only_racy=likely_same and not row.trusted,
        )
        self._found(finding)

    def _tell(self, path: bytes, kind: FindingKind, *, replaces_folder: bool = False, inode: int = 0) -> None:
        if kind is FindingKind.MISSING and self._shields(path):
            self.shielded += 1
            return
        self.counts[kind] += 1
        if kind in self._kinds:
            self._found(Finding(path, kind, replaces_folder, inode=inode))
