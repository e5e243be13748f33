"""Joins catalog and disk for `verify`: reads the files that the catalog knows, and tells which are not as told.

Owns no thread; everything runs and blocks on the caller's. Nothing is written, neither to the disk nor to the
catalog, and no service is needed; one that runs meanwhile may tell changes, which is why a row is asked for again
before anything is said against its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from file_watcher.catalog.bookkeeping import Books, KnownLibrary
from file_watcher.catalog.snapshot import Interval
from file_watcher.errors import UsageError
from file_watcher.model import GONE, FileRecord, FileStat, Fingerprint, Library, display
from file_watcher.processing.fingerprint import (
    ChangedWhileReading,
    NotRegular,
    Reading,
    Unreadable,
    Vanished,
    open_for_reading,
)
from file_watcher.processing.integrity import DAMAGE, Verdict, judge, was_written
from file_watcher.watching.sight import identify_root, look

_TRIES: Final = 5
"""Times that a row is asked for again while the service tells one change of its file after the other."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one file. `found` are its hashes now, where it was read; `detail` says why, where that helps."""

    verdict: Verdict
    row: FileRecord
    found: Fingerprint | None = None
    detail: str | None = None


class LibraryAway(UsageError):
    """A library is suspended, or its folder is not the one that was watched: nothing can be said of its files."""


class Inspector:
    """Compares one file with its row; what it is given may block on disk and catalog.

    `row_now` gives the row as it is now, `is_being_written` whether somebody has the file open for writing (None:
    not known).
    """

    def __init__(
        self,
        read: Callable[[bytes], Reading],
        row_now: Callable[[FileRecord], FileRecord | None],
        is_being_written: Callable[[bytes], bool | None],
        *,
        follow_symlinks: bool = False,
    ) -> None:
        self._read = read
        self._row_now = row_now
        self._is_being_written = is_being_written
        self._follow_symlinks = follow_symlinks

    def inspect(self, row: FileRecord) -> Finding | None:
        """What became of the file; None where the catalog does not know it any more.

        Blocks as long as the disk takes. Raises `fingerprint.Interrupted`, CatalogUnavailable or CatalogError.
        """
        for _ in range(_TRIES):
            finding = self._compare(row)
            if finding.verdict is Verdict.INTACT:
                return finding
            now = self._row_now(row)
            if now is None:
                return None
            if now == row:
                return self._made_sure(finding)
            row = now
        return Finding(Verdict.CHANGED, row, detail="it changes all the time")

    def _compare(self, row: FileRecord) -> Finding:
        if row.fingerprint is None or row.growing:
            return Finding(Verdict.UNHASHED, row)
        sight = look(row.path, follow_symlinks=self._follow_symlinks)
        if sight is GONE:
            return Finding(Verdict.MISSING, row)
        if isinstance(sight, FileStat) and was_written(row, sight):
            return Finding(Verdict.CHANGED, row)
        # What cannot be looked at cannot be opened either, and that says why.
        return self._compare_content(row)

    def _compare_content(self, row: FileRecord) -> Finding:
        try:
            reading = self._read(row.path)
        except Vanished:
            return Finding(Verdict.MISSING, row)
        except (ChangedWhileReading, NotRegular):
            return Finding(Verdict.CHANGED, row)
        except Unreadable as exc:
            return Finding(Verdict.UNREADABLE, row, detail=os.strerror(exc.errno))
        found = reading.fingerprint
        return Finding(judge(row, reading.stat, found), row, found)

    def _made_sure(self, finding: Finding) -> Finding:
        """Before content is called damaged: nobody writes it now, and another reading says so, too."""
        if finding.verdict not in {Verdict.CORRUPT, Verdict.ALTERED}:
            return finding
        path = finding.row.path
        if self._is_being_written(path):  # stores through a mapping leave the times as they are for a while
            return Finding(Verdict.CHANGED, finding.row, finding.found, "it is open for writing")
        _drop_from_cache(path)
        again = self._compare_content(finding.row)
        if again.verdict in {finding.verdict, Verdict.INTACT} and again.found != finding.found:
            detail = "two readings differ: suspect the memory, a cable or the disk's controller"
            return Finding(finding.verdict, finding.row, finding.found, detail)
        return again


def _drop_from_cache(path: bytes) -> None:
    """Ask the system to forget what it has read of the file, so that the disk is read again."""
    advise = getattr(os, "posix_fadvise", None)  # not on macOS, where the second reading may be the cache's
    if advise is None:
        return
    try:
        descriptor = open_for_reading(path)
    except OSError:  # the reading that follows says why
        return
    try:
        advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def require_root(known: KnownLibrary) -> None:
    """Raise LibraryAway where the library's folder is not the one that was watched."""
    library = known.library
    root = display(library.root)
    if known.suspended is not None:
        raise LibraryAway(
            f"Library {library.name} is suspended ({known.suspended}): what is at {root} now is not known to be its "
            "content; bring it back, or `approve` what is missing, then verify"
        )
    try:
        identity = identify_root(library.root)
    except OSError as exc:
        raise LibraryAway(
            f"Library {library.name} is away: {root} cannot be looked at ({exc.strerror or exc}); bring it back, "
            "then verify"
        ) from exc
    if known.root_inode is not None and (known.root_inode, known.fsid) != (
        identity.inode,
        str(identity.fsid),
    ):
        raise LibraryAway(
            f"Library {library.name} is not what was watched at {root}: another folder or disk is there; mount the "
            "right one, then verify"
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """The files of one library that are to be verified: in these intervals, with paths greater than `after`."""

    known: KnownLibrary
    within: tuple[Interval, ...]
    after: bytes = b""

    @property
    def library(self) -> Library:
        """The library that the files are of."""
        return self.known.library


class Verification:
    """Goes through stretches of files in the order of their paths."""

    def __init__(self, books: Books, inspector: Inspector) -> None:
        self._books = books
        self._inspector = inspector

    def findings(self, stretches: Iterable[Stretch]) -> Iterator[tuple[Stretch, FileRecord, Finding | None]]:
        """Each file, with what became of it (None: the catalog does not know it any more).

        Blocks as long as the disks take. Raises LibraryAway where a root goes away meanwhile, and what `Inspector`
        raises.
        """
        for stretch in stretches:
            require_root(stretch.known)
            for row in self._books.rows(stretch.library.id, stretch.within, stretch.after):
                finding = self._inspector.inspect(row)
                if finding is not None and finding.verdict in _DOUBTFUL_WITHOUT_ROOT:
                    require_root(stretch.known)
                yield stretch, row, finding


_DOUBTFUL_WITHOUT_ROOT: Final = frozenset({Verdict.MISSING, Verdict.CHANGED, *DAMAGE})
"""What a disk that went away, or another one in its place, would look like."""
