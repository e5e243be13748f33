"""What a keeper works with, in memory: scans that end when the test says so, and a memory that can be away."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import Library, Source
from file_watcher.watching.memory import RememberedRoot
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.sight import RootIdentity


def report(**counts: Any) -> ScanReport:
    """A complete report; all counts are 0 unless given."""
    values: dict[str, Any] = dict.fromkeys(("files", "folders", "new", "changed", "missing"), 0)
    values |= {"unlisted": (), "seconds": 0.25, "complete": True}
    return ScanReport(**(values | counts))


class ScansByHand:
    """Takes requests as the scanning stage does; the test finishes them."""

    def __init__(self) -> None:
        self.jobs: list[ScanJob] = []
        self.is_gathering = False

    def gather(self) -> None:
        """See ScanStage."""
        self.is_gathering = True

    def gathered(self) -> None:
        """See ScanStage."""
        self.is_gathering = False

    def request(self, library: Library, source: Source, *, looks_outside: bool = False) -> ScanJob:
        """See ScanStage."""
        self.jobs.append(ScanJob(library, source, looks_outside=looks_outside))
        return self.jobs[-1]

    def request_trial(self, library: Library, *, looks_outside: bool = False) -> ScanJob:
        """See ScanStage."""
        self.jobs.append(ScanJob(library, Source.SCAN, is_trial=True, looks_outside=looks_outside))
        return self.jobs[-1]

    def abandon(self, library: Library, *, with_trials: bool = False) -> None:
        """See ScanStage."""
        for job in self.jobs:
            if job.library.id == library.id and (with_trials or not job.is_trial):
                job.abandon()

    def finish(self, job: ScanJob | None = None, **counts: Any) -> ScanJob:
        """End the given one, or the last one that was asked for."""
        job = job or self.jobs[-1]
        job.report = report(**counts)
        job.finished.set()
        return job


class LibraryNotes:
    """A keeper's memory; while `is_away` everything raises."""

    def __init__(self, files: int = 0) -> None:
        self._lock = threading.Lock()
        self.files = files
        self.catalogued: set[bytes] = set()
        self.is_away = False
        self.roots: dict[int, RememberedRoot] = {}
        self.suspended: dict[int, str | None] = {}
        self.notices: list[tuple[str, Mapping[str, Any]]] = []

    def kinds(self) -> list[str]:
        """The kinds of the notices that were announced, in order."""
        with self._lock:
            return [kind for kind, _ in self.notices]

    def recall(self, library: Library) -> RememberedRoot:
        """See Memory."""
        self._answer()
        return self.roots.get(library.id, RememberedRoot())

    def remember(
        self, library: Library, root: RootIdentity | None, *, suspended: str | None, first_scan_done: bool
    ) -> None:
        """See Memory."""
        self._answer()
        before = self.roots.get(library.id, RememberedRoot())
        inode, fsid = (before.inode, before.fsid) if root is None else (root.inode, str(root.fsid))
        done = first_scan_done or before.first_scan_done
        self.roots[library.id] = RememberedRoot(inode, fsid, done, before.mounts)
        self.suspended[library.id] = suspended

    def remember_mounts(self, library: Library, mounts: Mapping[bytes, MountIdentity]) -> None:
        """See Memory."""
        self._answer()
        self.roots[library.id] = replace(self.roots.get(library.id, RememberedRoot()), mounts=dict(mounts))

    def holds_below(self, folder: bytes) -> bool:
        """See Memory: whatever lies below `catalogued` folders."""
        self._answer()
        return any((path + b"/").startswith(folder + b"/") for path in self.catalogued)

    def count(self, library: Library) -> int:
        """See Memory."""
        self._answer()
        return self.files

    def use_device(self, library: Library, device: int) -> None:
        """See Memory."""
        self._answer()

    def announce(self, kind: str, library: Library, fields: Mapping[str, Any]) -> None:
        """See Memory."""
        self._answer()
        with self._lock:
            self.notices.append((kind, fields))

    def say_goodbye(self, library: Library) -> None:
        """See Memory."""
        self.announce("library.unwatched", library, {})

    def _answer(self) -> None:
        if self.is_away:
            raise CatalogUnavailable("the database is away")
