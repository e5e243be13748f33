"""Compares a folder of a library with the catalog, by the library's own filter. Owns no thread.

What all scans have in common: where the rows and the disks are told, and how long to wait for room.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from file_watcher.model import CatalogEntry, FileStat, Library, display
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.merge import PAGE_ROWS, Finding, FindingKind, is_as_told, is_unchanged
from file_watcher.watching.scan import ScanReport, scan
from file_watcher.watching.schedule import Scheduler

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5
"""How long one wait lasts before a scan asks again whether it is still wanted."""
_BUFFERS_DIRTY: Final = 2
"""So that the workers' queue never runs empty while a scan finds more."""
_TOLD_AT_MOST: Final = 100
"""Paths that are too long are told once each, and so many of them: who makes one can make millions."""
_SHOWN_BYTES: Final = 256


class Catalog(Protocol):
    """The rows, as a scan reads them."""

    def below(self, folder: bytes, after: bytes, limit: int) -> Sequence[CatalogEntry]:
        """One page of rows below the folder, sorted by path. Raises CatalogUnavailable."""

    def recorded_inodes(self, inodes: Collection[int]) -> Collection[int]:
        """Those of the inode numbers that any row has. Raises CatalogUnavailable."""

    def outside(self, library: Library, after: bytes, limit: int) -> Sequence[bytes]:
        """One page of the library's paths that do not lie below its root, sorted. Raises CatalogUnavailable."""


class Mounted(Protocol):
    """Which disks are there, as `sight.Eyes` tells it."""

    def is_away(self, path: bytes, library: Library) -> bool:
        """Whether the path lies below the mount point of a disk that is away."""

    def shields(self, path: bytes, library: Library) -> bool:
        """Whether a file that is missing at this path may come back with its disk."""


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """How one library is scanned. With `hashes`, files whose hashes are not known have changed."""

    recursive: bool = True
    follow_symlinks: bool = False
    hashes: bool = True


def room_beside(buffer_size: int) -> int:
    """How many files may be dirty while a scan finds more, where so many may wait for a worker."""
    return _BUFFERS_DIRTY * buffer_size


class Comparison:
    """Runs scans on the caller's thread, and lets them wait while too much is dirty."""

    def __init__(
        self,
        config_of: Callable[[Library], ScanConfig],
        room: int,
        catalog: Catalog,
        mounted: Mounted,
        filter_of: Callable[[Library], PathFilter],
        scheduler: Scheduler,
    ) -> None:
        """`room`: a scan waits while that many files are dirty (`room_beside`)."""
        self._config_of = config_of
        self.room = room
        self.filter_of = filter_of
        self._catalog = catalog
        self._mounted = mounted
        self._scheduler = scheduler
        self._told_too_long: set[bytes] = set()

    def sameness(self, library: Library) -> Callable[[CatalogEntry, FileStat], bool]:
        """Which rows prove that their files are what was told."""
        return is_unchanged if self._config_of(library).hashes else is_as_told

    def wait_for_room(self, share: int, should_stop: Callable[[], bool]) -> None:
        """Wait while so many files are dirty."""
        while not should_stop() and not self._scheduler.wait_for_room(share * self.room, LOOK_SECONDS):
            pass

    def recorded_inodes(self, inodes: Collection[int]) -> Collection[int]:
        """Those of the inode numbers that any row has. Raises CatalogUnavailable."""
        return self._catalog.recorded_inodes(inodes)

    def compare(
        self,
        folder: bytes,
        library: Library,
        found: Callable[[Finding], None],
        kinds: frozenset[FindingKind],
        should_stop: Callable[[], bool],
        unchanged: Callable[[CatalogEntry, FileStat], bool] | None = None,
        passed_over: Callable[[bytes], None] | None = None,
    ) -> ScanReport:
        """See `scan.scan`. `passed_over` learns of files that the filter leaves out. Raises CatalogUnavailable."""
        path_filter, config = self.filter_of(library), self._config_of(library)

        def wants_file(path: bytes) -> bool:
            is_wanted = path_filter.wants_file(path)
            if not is_wanted and passed_over is not None:
                passed_over(path)
            return is_wanted

        return scan(
            folder,
            wants_file=wants_file,
            wants_folder=path_filter.wants_folder,
            entries=lambda after, limit: self._catalog.below(folder, after, limit),
            found=found,
            should_stop=should_stop,
            kinds=kinds,
            recursive=config.recursive,
            follow_symlinks=config.follow_symlinks,
            root=library.root,
            unchanged=unchanged or self.sameness(library),
            is_away=lambda path: self._mounted.is_away(path, library),
            shields=lambda path: self._mounted.shields(path, library),
            too_long=self._tell_too_long,
        )

    def strays(
        self, library: Library, found: Callable[[Finding], None] | None, should_stop: Callable[[], bool]
    ) -> int:
        """Count, and tell as missing, the files that the catalog has where the root was before."""
        count, after = 0, b""
        while not should_stop() and (page := self._catalog.outside(library, after, PAGE_ROWS)):
            count, after = count + len(page), page[-1]
            if found is not None:
                for path in page:
                    found(Finding(path, FindingKind.MISSING))
        return count

    def _tell_too_long(self, path: bytes) -> None:
        if path in self._told_too_long or len(self._told_too_long) >= _TOLD_AT_MOST:
            return
        self._told_too_long.add(path)
        log.warning(
            "path_too_long",
            begins=display(path[:_SHOWN_BYTES]),
            ends=display(path[-_SHOWN_BYTES:]),
            length=len(path),
            effect="it is passed over, with all that is below it",
            advice="no program can open a path of 4096 bytes or more: shorten the names of the folders above",
        )
