"""The scanning stage: compares libraries and folders with the catalog and hints at what may differ.

Owns the threads `fw-scan` (whole libraries, one after the other) and `fw-folders` (folders that the kernel
hinted at; apart, so that a long scan does not hold them up). A scan only makes hints; it never decides.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import CatalogEntry, Library, Source, Ticket, display
from file_watcher.telemetry import Telemetry
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind
from file_watcher.watching.scan import ScanReport, scan
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.schedule import Scheduler

log = structlog.get_logger(__name__)

_CATALOG_PAUSE: Final = 1.0
"""Seconds until a scan that lost the database begins anew."""
_LOOK_SECONDS: Final = 0.5
"""How long one wait lasts before the scan asks again whether it is still wanted."""
_APPEARED: Final = frozenset({FindingKind.NEW, FindingKind.CHANGED})
_MISSING: Final = frozenset({FindingKind.MISSING})
_NOTHING: Final[frozenset[FindingKind]] = frozenset()


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


class ScanStage:
    """Runs scans on request."""

    def __init__(
        self,
        config: ScanConfig,
        catalog: Catalog,
        filter_of: Callable[[Library], PathFilter],
        scheduler: Scheduler,
        is_decided: Callable[[float, float], bool],
        may_delete: Callable[[ScanJob, int], bool],
        on_scanned: Callable[[ScanJob, ScanReport], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        """`is_decided(noticed_before, timeout)` waits until every hint from before that monotonic time is
        decided; `may_delete(job, missing)` is asked before so many missing files are hinted at, and a scan
        that it refuses is not completed; `on_scanned(job, report)` learns of the completed ones."""
        self._config = config
        self._catalog = catalog
        self._filter_of = filter_of
        self._scheduler = scheduler
        self._is_decided = is_decided
        self._may_delete = may_delete
        self._on_scanned = on_scanned
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._unfinished: list[ScanJob] = []
        """The one that runs, if any, and those that wait, in order."""
        self._running: ScanJob | None = None
        self._asked = threading.Event()
        self._folders: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start both threads."""
        self._threads = [
            spawn("fw-scan", self._run_jobs, self._on_failure),
            spawn("fw-folders", self._run_folders, self._on_failure),
        ]

    def close(self) -> None:
        """Give up the scans under way; they begin anew with the next start."""
        self._stop.set()
        self._asked.set()
        self._folders.put(None)

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        return join_all(self._threads, deadline)

    def request(self, library: Library, source: Source) -> ScanJob:
        """Ask for a scan of a whole library. One that has not begun yet serves all who ask for it."""
        return self._request(ScanJob(library, source))

    def request_trial(self, library: Library) -> ScanJob:
        """Ask how much of a library is missing, without any effect."""
        return self._request(ScanJob(library, Source.SCAN, is_trial=True))

    def abandon(self, library: Library) -> None:
        """Give up the library's scans, but for trials."""
        with self._lock:
            jobs = [job for job in self._unfinished if job.library == library and not job.is_trial]
        for job in jobs:
            job.abandon()

    def request_folder(self, ticket: Ticket) -> None:
        """Have a folder that was hinted at compared with the rows below it; the ticket is done then."""
        self._folders.put(ticket)

    def depth(self) -> int:
        """How many scans wait."""
        return len(self._unfinished) + self._folders.qsize()

    # -- whole libraries -----------------------------------------------------------------------------

    def _request(self, wanted: ScanJob) -> ScanJob:
        with self._lock:
            for job in self._unfinished:
                if job is not self._running and job.serves(wanted):
                    return job
            self._unfinished.append(wanted)
        self._asked.set()
        return wanted

    def _run_jobs(self) -> None:
        while not self._stop.is_set():
            self._asked.clear()
            with self._lock:
                job = self._running = self._unfinished[0] if self._unfinished else None
            if job is None:
                self._asked.wait()
                continue
            try:
                self._scan_library(job)
            except CatalogUnavailable as exc:
                log.warning(
                    "scan_interrupted", library=job.library.name, reason=str(exc), effect="it begins anew"
                )
                self._telemetry.error("db")
                self._stop.wait(_CATALOG_PAUSE)
            else:
                self._finish(job)

    def _finish(self, job: ScanJob) -> None:
        with self._lock:
            self._unfinished.remove(job)
            self._running = None
        job.finished.set()
        if job.report is not None and not job.is_trial:
            self._on_scanned(job, job.report)

    def _is_given_up(self, job: ScanJob) -> bool:
        return self._stop.is_set() or job.is_abandoned()

    def _scan_library(self, job: ScanJob) -> None:
        """Hint at what appeared, wait until that is decided (it may claim moves), then at what is missing."""
        began = time.monotonic()
        report = self._scan(job, _NOTHING if job.is_trial else _APPEARED)
        if job.is_trial:
            job.report = None if self._is_given_up(job) else report
            return
        self._wait_until_decided(job)
        if report.missing and not self._tell_missing(job):
            return
        if self._is_given_up(job):
            return
        self._telemetry.scanned(job.library, time.monotonic() - began, report.files)
        job.report = report

    def _tell_missing(self, job: ScanJob) -> bool:
        """Hint at what is missing; False where so much is missing that it may not be believed.

        Counted anew, since what was moved while nobody watched is not missing any more.
        """
        missing = self._scan(job, _NOTHING).missing
        if self._is_given_up(job) or (missing and not self._may_delete(job, missing)):
            return False
        self._scan(job, _MISSING)
        self._wait_until_decided(job)
        return True

    def _wait_until_decided(self, job: ScanJob) -> None:
        noticed_before = time.monotonic()
        while not self._is_given_up(job) and not self._is_decided(noticed_before, _LOOK_SECONDS):
            pass

    def _scan(self, job: ScanJob, kinds: frozenset[FindingKind]) -> ScanReport:
        def should_stop() -> bool:
            return self._is_given_up(job)

        def found(finding: Finding) -> None:
            self._wait_for_room(lambda: self._config.room, should_stop)
            self._scheduler.look_at(finding.path, job.library, job.source)

        return self._compare(job.library.root, job.library, found, kinds, should_stop)

    # -- folders -------------------------------------------------------------------------------------

    def _run_folders(self) -> None:
        while not self._stop.is_set():
            ticket = self._folders.get()
            if ticket is None:
                return
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
            # More room than whole scans have, so that an import does not hold up fresh changes; folders
            # that wait for this thread are dirty themselves and must not make it wait for them.
            self._wait_for_room(lambda: 2 * self._config.room + self._folders.qsize(), self._stop.is_set)
            moved_from = frozenset(origin + path[len(ticket.path) :] for origin in ticket.moved_from)
            self._scheduler.look_at(
                path, ticket.library, Source.SCAN, noticed=ticket.noticed, moved_from=moved_from
            )

        path_filter = self._filter_of(ticket.library)
        self._compare(
            ticket.path, ticket.library, lambda finding: hint(finding.path), ALL_KINDS, self._stop.is_set
        )
        if path_filter.wants_file(ticket.path):
            hint(ticket.path)
        self._scheduler.done(ticket)

    # -- both ----------------------------------------------------------------------------------------

    def _wait_for_room(self, room: Callable[[], int], should_stop: Callable[[], bool]) -> None:
        while not should_stop() and not self._scheduler.wait_for_room(room(), _LOOK_SECONDS):
            pass

    def _compare(
        self,
        folder: bytes,
        library: Library,
        found: Callable[[Finding], None],
        kinds: frozenset[FindingKind],
        should_stop: Callable[[], bool],
    ) -> ScanReport:
        path_filter = self._filter_of(library)
        return scan(
            folder,
            wants_file=path_filter.wants_file,
            wants_folder=path_filter.wants_folder,
            entries=lambda after, limit: self._catalog.below(folder, after, limit),
            found=found,
            should_stop=should_stop,
            kinds=kinds,
            recursive=self._config.recursive,
            follow_symlinks=self._config.follow_symlinks,
            root=library.root,
        )
