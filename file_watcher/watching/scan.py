"""Comparing a tree on the disk with the catalog, as two sorted streams that are merged.

No thread: `scan` works in the caller's and blocks as long as the disk, the catalog and `found` do. It
only finds what may differ; what happened is decided later, after another look. Memory stays flat: one
listing per level of folders, one page of rows.

Paths come in the order of their bytes. Within a folder that is the order of the names, where a folder
counts with a trailing "/": so the whole walk has the order in which the catalog sorts.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import structlog

from file_watcher.model import CatalogEntry, FileStat, display
from file_watcher.paths import real_path
from file_watcher.system import is_plain_folder, stat_entry, to_list
from file_watcher.watching.links import folders_between, is_link, runs_through_link
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind, Merge, Rows, is_unchanged

log = structlog.get_logger(__name__)

_STOP_EVERY: Final = 256
"""Entries of one folder between two looks at `should_stop`."""
_VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_MOST_NESTED: Final = 10_000
"""Folders behind a link that lies behind another one, in one scan. A dozen folders that all link to one another
have a billion names; what lies behind one link has only as many as there are links."""


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan counted. `files` are those that the filter wants; `seconds` is wall time.

    `unlisted` holds (path, errno) of folders that could not be listed, or hold files that could not be
    looked at: nothing was found there, neither new nor missing. `complete` is False where it was stopped.
    `shielded` counts rows without a file that are not missing, since their disk is not there.
    """

    files: int
    folders: int
    new: int
    changed: int
    missing: int
    unlisted: tuple[tuple[bytes, int], ...]
    seconds: float
    complete: bool
    shielded: int = 0

    @property
    def differs(self) -> bool:
        """Whether disk and catalog differed anywhere."""
        return bool(self.new or self.changed or self.missing)


def scan(
    folder: bytes,
    *,
    wants_file: Callable[[bytes], bool],
    wants_folder: Callable[[bytes], bool],
    entries: Callable[[bytes, int], Sequence[CatalogEntry]],
    found: Callable[[Finding], None],
    should_stop: Callable[[], bool],
    kinds: Collection[FindingKind] = ALL_KINDS,
    recursive: bool = True,
    follow_symlinks: bool = False,
    root: bytes | None = None,
    unchanged: Callable[[CatalogEntry, FileStat], bool] = is_unchanged,
    is_away: Callable[[bytes], bool] = lambda _: False,
    shields: Callable[[bytes], bool] = lambda _: False,
    too_long: Callable[[bytes], None] = lambda _: None,
) -> ScanReport:
    """Compare everything below `folder` with the catalog and call `found` for each difference in `kinds`.

    `entries(after, limit)` returns up to `limit` rows with a path greater than `after`, in the order of
    their bytes; rows beyond the folder may come and are not used. Every difference is counted, reported
    or not, so a first pass can tell what is new and how much is missing, and a second what is missing.
    A folder that is gone is empty: all its rows are missing. Links below `root` (the library's, default:
    `folder`) are passed over, or with `follow_symlinks` followed to what lies inside it. A folder that
    `is_away` is not listed, and a row that `shields` holds for is not missing: their disk is not there (see
    `sight.Eyes`). `too_long` learns of paths that no system call takes: what has one was never told, and is
    passed over. What `entries` and `found` raise ends the scan.
    """
    rows = Rows(folder.rstrip(b"/") + b"/", entries)
    links = _Links(root or folder) if follow_symlinks else None
    merge = Merge(rows, found, frozenset(kinds), unchanged, shields)
    walk = _Scan(
        merge, wants_file, wants_folder, should_stop, recursive, links, root or folder, is_away, too_long
    )
    return walk.run(folder)


class _Links:
    """Follows symbolic links: only to what lies inside the root, never back into an open folder, and of links behind
    links only so many."""

    def __init__(self, root: bytes) -> None:
        self._root = real_path(root)
        self._open: list[tuple[int, int, int]] = []
        """Device and inode of each folder that the walk is in, and through how many links its path runs."""
        self._nested = 0

    def leads_to_folder(self, link: bytes) -> bool | None:
        """Whether the link's target is a folder; None where it leads out of the root or to nothing of use."""
        if not self.lies_inside(link):
            return None
        try:
            mode = os.stat(link).st_mode
        except OSError:  # dangling, circular or forbidden: a closer look decides what that means for its row
            return None
        return True if stat_module.S_ISDIR(mode) else False if stat_module.S_ISREG(mode) else None

    def lies_inside(self, path: bytes) -> bool:
        """Whether the path leads to the root or to what lies below it."""
        target = real_path(path)
        return target == self._root or target.startswith(self._root.rstrip(b"/") + b"/")

    def enter(self, folder: bytes) -> bool:
        """Go into a folder; False where the walk is in it already. Raises OSError."""
        result = os.stat(folder)
        identity = (result.st_dev, result.st_ino)
        if any(each[:2] == identity for each in self._open):
            return False
        self._open.append((*identity, self._links_to(folder)))
        return True

    def refuses(self, folder: bytes) -> bool:
        """Whether it lies behind more than one link, and as many such folders were tried as may be."""
        if self._links_to(folder) < 2:
            return False
        self._nested += 1
        return self._nested > _MOST_NESTED

    def _links_to(self, folder: bytes) -> int:
        """Through how many links the path of a folder runs that lies in the open one."""
        return (self._open[-1][2] + is_link(folder)) if self._open else 0

    def descend_to(self, folder: bytes) -> bool:
        """Go into the folders above this one, down from the root; False where a walk never gets there.

        A scan of a part follows the same links as one of the whole, or each would undo what the other told.
        Raises OSError.
        """
        if folder == self._root:
            return True
        return all(self.enter(above) for above in (self._root, *folders_between(self._root, folder)))

    def leave(self) -> None:
        """Come back out of the folder that was entered last."""
        self._open.pop()


_Listing = Iterator[tuple[bytes, "os.DirEntry[bytes]", bool]]
"""A folder's entries in order: sort key (name, folders with "/"), entry, whether it is a folder."""


class _Scan:
    """One walk over the tree that feeds a merge."""

    def __init__(
        self,
        merge: Merge,
        wants_file: Callable[[bytes], bool],
        wants_folder: Callable[[bytes], bool],
        should_stop: Callable[[], bool],
        recursive: bool,
        links: _Links | None,
        root: bytes,
        is_away: Callable[[bytes], bool],
        too_long: Callable[[bytes], None],
    ) -> None:
        self._is_away = is_away
        self._too_long = too_long
        self._merge = merge
        self._wants_file = wants_file
        self._wants_folder = wants_folder
        self._should_stop = should_stop
        self._recursive = recursive
        self._links = links
        self._root = root
        self._files = 0
        self._folders = 0
        self._unlisted: dict[bytes, int] = {}
        self._stopped = False
        self._has_refused = False

    def run(self, folder: bytes) -> ScanReport:
        started = time.monotonic()
        if self._links is not None:
            self._walk_with(self._links, folder)
        elif not runs_through_link(self._root, folder):
            self._walk(folder)
        if not self._stopped:
            self._merge.rest()
        counts = self._merge.counts
        return ScanReport(
            files=self._files,
            folders=self._folders,
            new=counts[FindingKind.NEW],
            changed=counts[FindingKind.CHANGED],
            missing=counts[FindingKind.MISSING],
            unlisted=tuple(self._unlisted.items()),
            seconds=time.monotonic() - started,
            complete=not self._stopped,
            shielded=self._merge.shielded,
        )

    def _walk_with(self, links: _Links, folder: bytes) -> None:
        try:
            is_reached = links.descend_to(folder)
        except OSError as exc:
            self._pass_over(folder, exc)
        else:
            if is_reached:
                self._walk(folder)

    def _walk(self, top: bytes) -> None:
        """Depth first, with a stack of listings rather than recursion: trees can be deep."""
        stack = [listing] if (listing := self._enter(top)) is not None else []
        while stack and not self._stopped:
            subfolder = self._files_until_folder(stack[-1])
            if subfolder is None:
                stack.pop()
                if self._links is not None:
                    self._links.leave()
            elif (listing := self._enter(subfolder)) is not None:
                stack.append(listing)

    def _files_until_folder(self, listing: _Listing) -> bytes | None:
        """Merge the files that come before the next folder; its path, or None at the end of the listing."""
        for count, (_, entry, is_folder) in enumerate(listing):
            if is_folder:
                if self._recursive and self._wants_folder(entry.path):
                    return entry.path
            else:
                self._file(entry)
            if not count % _STOP_EVERY and self._should_stop():
                self._stopped = True
                break
        return None

    def _file(self, entry: os.DirEntry[bytes]) -> None:
        path = entry.path
        if not self._wants_file(path):
            return
        try:
            stat = stat_entry(entry, follow_symlinks=self._links is not None)
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                self._too_long(path)
            elif exc.errno not in _VANISHED and exc.errno != errno.ELOOP:
                self._cannot_tell(os.path.dirname(path), exc)
                self._merge.unknown(path)
            return
        self._files += 1
        self._merge.file(path, FileStat.of(stat))

    def _enter(self, folder: bytes) -> _Listing | None:
        """The folder's listing, or None where there is none to walk."""
        if self._should_stop():
            self._stopped = True
            return None
        if self._is_away(folder):
            self._merge.shield(folder)
            return None
        if self._links is not None and self._links.refuses(folder):
            self._refuse(folder)
            return None
        try:
            listing = self._list(folder)
            if self._links is not None and not self._links.enter(folder):
                return None
        except OSError as exc:
            self._pass_over(folder, exc)
            return None
        self._folders += 1
        return listing

    def _refuse(self, folder: bytes) -> None:
        """What lies there has names enough: under this one it is neither new nor missing."""
        self._merge.shield(folder)
        if not self._has_refused:
            self._has_refused = True
            log.warning(
                "links_not_followed",
                folder=display(folder[:512]),
                most=_MOST_NESTED,
                effect="what lies behind this link and those that come after it is told under its other names only",
                advice="remove links to folders that hold links to folders, or set follow_symlinks to false",
            )

    def _pass_over(self, folder: bytes, error: OSError) -> None:
        """Nothing is found below a folder that cannot be listed; nor is anything missing, where it is there."""
        if error.errno == errno.ENAMETOOLONG:
            self._too_long(folder)
        elif error.errno not in _VANISHED:
            self._cannot_tell(folder, error)
            self._merge.shield(folder)

    def _list(self, folder: bytes) -> _Listing:
        listed: list[tuple[bytes, os.DirEntry[bytes], bool]] = []
        with os.scandir(to_list(folder)) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    listed.append((entry.name, entry, False))
                elif (is_folder := self._is_folder(entry)) is not None:
                    listed.append((entry.name + b"/" if is_folder else entry.name, entry, is_folder))
        if folder != self._root and self._leads_astray(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        listed.sort(key=itemgetter(0))
        return iter(listed)

    def _leads_astray(self, folder: bytes) -> bool:
        """Whether a link took the place of the folder meanwhile, and something else was listed in its stead."""
        return is_link(folder) if self._links is None else not self._links.lies_inside(folder)

    def _is_folder(self, entry: os.DirEntry[bytes]) -> bool | None:
        """For what is no plain file: a folder, a link that leads to a file (False), or nothing of use (None)."""
        if is_plain_folder(entry):
            return True
        if self._links is not None and entry.is_symlink():
            return self._links.leads_to_folder(entry.path)
        return None

    def _cannot_tell(self, folder: bytes, error: OSError) -> None:
        if folder in self._unlisted:
            return
        self._unlisted[folder] = error.errno or 0
