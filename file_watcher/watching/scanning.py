"""The scanning stage: compares libraries and folders with the catalog and hints at what may differ.

Owns the threads `fw-scan` (whole libraries, one after the other) and `fw-folders` (folders that the kernel
hinted at; apart, so that a long scan does not hold them up). A scan only makes hints; it never decides.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import CatalogEntry, Library, Source, Ticket, display
from file_watcher.telemetry import Telemetry
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind
from file_watcher.watching.scan import ScanReport, scan
from file_watcher.watching.schedule import Scheduler

log = structlog.get_logger(__name__)

_CATALOG_PAUSE: Final = 1.0
"""Seconds until a scan that lost the database begins anew."""
_APPEARED: Final = frozenset({FindingKind.NEW, FindingKind.CHANGED})
_MISSING: Final = frozenset({FindingKind.MISSING})


class Catalog(Protocol):
    """The rows, as a scan reads them."""

    def below(self, folder: bytes, after: bytes, limit: int) -> Sequence[CatalogEntry]:
        """One page of rows below the folder, sorted by path. Raises CatalogUnavailable."""


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """`room`: a scan waits while that many paths are dirty."""

    room: int = 2048
    recursive: bool = True
    follow_symlinks: bool = False


@dataclass(slots=True)
class ScanJob:
    """One asked-for scan. `report` stands once `finished` is set; None where it could not be completed.

    A trial only counts: it hints at nothing.
    """

    library: Library
    source: Source
    is_trial: bool = False
    finished: threading.Event = field(default_factory=threading.Event)
    report: ScanReport | None = None


class ScanStage:
    """Runs scans on request."""

    def __init__(
        self,
        config: ScanConfig,
        catalog: Catalog,
        filter_of: Callable[[Library], PathFilter],
        scheduler: Scheduler,
        is_decided: Callable[[float, float], bool],
        may_delete: Callable[[Library, int], bool],
        on_scanned: Callable[[Library, ScanReport], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        """`is_decided(noticed_before, timeout)` waits until every hint from before that monotonic time is
        decided; `may_delete(library, missing)` is asked before so many missing files are hinted at."""
        self._config = config
        self._catalog = catalog
        self._filter_of = filter_of
        self._scheduler = scheduler
        self._is_decided = is_decided
        self._may_delete = may_delete
        self._on_scanned = on_scanned
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._jobs: queue.Queue[ScanJob] = queue.Queue()
        self._folders: queue.Queue[Ticket] = queue.Queue()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.current: str | None = None
        """Name of the library that is being scanned."""

    def start(self) -> None:
        """Start both threads."""
        self._threads = [
            spawn("fw-scan", self._run_jobs, self._on_failure),
            spawn("fw-folders", self._run_folders, self._on_failure),
        ]

    def close(self) -> None:
        """Give up the scans under way; they begin anew with the next start."""
        self._stop.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        return join_all(self._threads, deadline)

    def request(self, library: Library, source: Source) -> ScanJob:
        """Ask for a scan of a whole library."""
        job = ScanJob(library, source)
        self._jobs.put(job)
        return job

    def request_trial(self, library: Library) -> ScanJob:
        """Ask how much of a library is missing, without any effect."""
        job = ScanJob(library, Source.SCAN, is_trial=True)
        self._jobs.put(job)
        return job

    def request_folder(self, ticket: Ticket) -> None:
        """Have a folder that was hinted at compared with the rows below it; the ticket is done then."""
        self._folders.put(ticket)

    def depth(self) -> int:
        """How many scans wait."""
        return self._jobs.qsize() + self._folders.qsize()

    def _run_jobs(self) -> None:
        while not self._stop.is_set():
            try:
                job = self._jobs.get(timeout=0.2)
            except queue.Empty:
                continue
            self.current = job.library.name
            try:
                self._scan_library(job)
            except CatalogUnavailable as exc:
                log.warning(
                    "scan_interrupted", library=job.library.name, reason=str(exc), effect="it begins anew"
                )
                self._stop.wait(_CATALOG_PAUSE)
                self._jobs.put(job)
            finally:
                self.current = None

    def _scan_library(self, job: ScanJob) -> None:
        """Hint at what appeared, wait until that is decided (it may claim moves), then at what is missing."""
        began = time.monotonic()
        report = self._scan(job, frozenset() if job.is_trial else _APPEARED)
        if report.complete and not job.is_trial:
            self._wait_until_decided(time.monotonic())
            if report.missing and self._may_delete(job.library, report.missing):
                self._scan(job, _MISSING)
                self._wait_until_decided(time.monotonic())
            self._telemetry.scanned(job.library, time.monotonic() - began, report.files)
            if not self._stop.is_set():
                self._on_scanned(job.library, report)
        job.report = report if report.complete and not self._stop.is_set() else None
        job.finished.set()

    def _wait_until_decided(self, noticed_before: float) -> None:
        while not self._stop.is_set() and not self._is_decided(noticed_before, 0.5):
            pass

    def _scan(self, job: ScanJob, kinds: frozenset[FindingKind]) -> ScanReport:
        def found(finding: Finding) -> None:
            while not self._stop.is_set() and not self._scheduler.wait_for_room(self._config.room, 0.5):
                pass
            self._scheduler.look_at(finding.path, job.library, job.source)

        return self._compare(job.library.root, job.library, found, kinds)

    def _run_folders(self) -> None:
        while not self._stop.is_set():
            try:
                ticket = self._folders.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self._scan_folder(ticket)
            except CatalogUnavailable as exc:
                log.warning("folder_scan_interrupted", folder=display(ticket.path), reason=str(exc))
                self._telemetry.error("db")
                self._scheduler.again(ticket, None, _CATALOG_PAUSE)

    def _scan_folder(self, ticket: Ticket) -> None:
        """Hint at all that differs below the folder, and at a file that took its name.

        Where the folder was moved, each file's hint names the path that it had before.
        """

        def hint(path: bytes) -> None:
            moved_from = frozenset(origin + path[len(ticket.path) :] for origin in ticket.moved_from)
            self._scheduler.look_at(
                path, ticket.library, Source.SCAN, noticed=ticket.noticed, moved_from=moved_from
            )

        path_filter = self._filter_of(ticket.library)
        self._compare(ticket.path, ticket.library, lambda finding: hint(finding.path), ALL_KINDS)
        if path_filter.wants_file(ticket.path):
            hint(ticket.path)
        self._scheduler.done(ticket)

    def _compare(
        self,
        folder: bytes,
        library: Library,
        found: Callable[[Finding], None],
        kinds: frozenset[FindingKind],
    ) -> ScanReport:
        path_filter = self._filter_of(library)
        return scan(
            folder,
            wants_file=path_filter.wants_file,
            wants_folder=path_filter.wants_folder,
            entries=lambda after, limit: self._catalog.below(folder, after, limit),
            found=found,
            should_stop=self._stop.is_set,
            kinds=kinds,
            recursive=self._config.recursive,
            follow_symlinks=self._config.follow_symlinks,
            root=library.root,
        )
