"""The scanning stage: compares libraries and folders with the catalog and hints at what may differ.

Owns the thread `fw-scan` (whole libraries, one after the other, and sweeps in between); folders have a thread of
their own (`folders`). A scan only makes hints; it never decides.

Files of which no more than the ctime changed (chmod, a restored mtime) are read again in the background, so
that a million of them hold up nothing. What finds no room there is found by a sweep, once there is room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Library, Source, Ticket
from file_watcher.pulse import ProgressSource, Pulse
from file_watcher.telemetry import Telemetry
from file_watcher.watching.comparing import (
    LOOK_SECONDS,
    Catalog,
    Comparison,
    Mounted,
    ScanConfig,
    room_beside,
)
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.folders import CATALOG_PAUSE, FolderScans
from file_watcher.watching.merge import Finding, FindingKind
from file_watcher.watching.new_files import NewFiles
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sweeps import Sweeps

log = structlog.get_logger(__name__)

_OTHERS_SECONDS: Final = 60.0
"""How long what is missing waits for libraries that have not asked for their scans: a cold disk may take long
to watch, but one that hangs must not hold up the others for ever."""
_RECOUNTS: Final = 3
"""How often what is missing is counted again while decisions still change it; a busy library never rests."""
_PARTS: Final = 8
"""So small a part of the room do new files take that are hinted at together."""
_SWEEP_SECONDS: Final = 2.0
"""How often it is asked whether a sweep is wanted while no scan is."""
_APPEARED: Final = frozenset({FindingKind.NEW, FindingKind.CHANGED})
_MISSING: Final = frozenset({FindingKind.MISSING})
_NOTHING: Final[frozenset[FindingKind]] = frozenset()


class ScanStage:
    """Runs scans on request."""

    def __init__(
        self,
        config_of: Callable[[Library], ScanConfig],
        room: int,
        catalog: Catalog,
        mounted: Mounted,
        filter_of: Callable[[Library], PathFilter],
        scheduler: Scheduler,
        is_decided: Callable[[float, float], bool],
        may_delete: Callable[[ScanJob, int], bool],
        on_scanned: Callable[[ScanJob, ScanReport], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        """Scans wait while `room` files are dirty (`comparing.room_beside`).

        `is_decided(noticed_before, timeout)` waits until every hint from before that monotonic time is
        decided; `may_delete(job, missing)` is asked before so many missing files are hinted at, and a scan
        that it refuses is not completed; `on_scanned(job, report)` learns of the completed ones."""
        self._comparison = Comparison(config_of, room, catalog, mounted, filter_of, scheduler)
        self._folders = FolderScans(
            self._comparison,
            scheduler,
            self._scan_in_doubt,
            telemetry,
            on_failure,
        )
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
        self._gathered = threading.Event()
        self._gathered.set()
        self._sweeps = Sweeps()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("fw-scan")

    def start(self) -> None:
        """Start both threads."""
        self._thread = spawn("fw-scan", self._run_jobs, self._on_failure)
        self._folders.start()

    def close(self) -> None:
        """Give up the scans under way; they begin anew with the next start."""
        self._stop.set()
        self._asked.set()
        self._folders.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        threads = [self._thread] if self._thread else []
        return all([join_all(threads, deadline), self._folders.join(deadline)])

    def resize(self, buffer_size: int) -> None:
        """So many files may wait for a worker from now on: scans wait while twice as many are dirty."""
        self._comparison.room = room_beside(buffer_size)

    def request(self, library: Library, source: Source, *, looks_outside: bool = False) -> ScanJob:
        """Ask for a scan of a whole library. One that has not begun yet serves all who ask for it."""
        return self._request(ScanJob(library, source, looks_outside=looks_outside))

    def _scan_in_doubt(self, library: Library) -> None:
        self.request(library, Source.SCAN)

    def gather(self) -> None:
        """All libraries are about to ask for their first scans. Until `gathered`, nothing is told as missing."""
        self._gathered.clear()

    def gathered(self) -> None:
        """Every library that can be scanned has asked for it."""
        self._gathered.set()

    def request_trial(self, library: Library, *, looks_outside: bool = False) -> ScanJob:
        """Ask how much of a library is missing, without any effect."""
        return self._request(ScanJob(library, Source.SCAN, is_trial=True, looks_outside=looks_outside))

    def abandon(self, library: Library, *, with_trials: bool = False) -> None:
        """Give up the library's scans, but for trials."""
        with self._lock:
            jobs = [job for job in self._unfinished if job.library.id == library.id]
        for job in jobs:
            if with_trials or not job.is_trial:
                job.abandon()

    def request_folder(self, ticket: Ticket) -> None:
        """Have a folder that was hinted at compared with the rows below it; the ticket is done then."""
        self._folders.request(ticket)

    def depth(self) -> int:
        """How many scans wait."""
        return len(self._unfinished) + self._folders.depth()

    @property
    def progress(self) -> list[ProgressSource]:
        """How far both threads are. A scan gets on also while it waits for room or for decisions."""
        return [self._pulse.look, self._folders.progress]

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
        pulse = self._pulse
        while not self._stop.is_set():
            pulse.rest()
            self._asked.clear()
            with self._lock:
                job = self._running = self._unfinished[0] if self._unfinished else None
            if job is None:
                self._sweep_or_wait()
                continue
            pulse.at("scans", job.library.root)
            try:
                self._scan_library(job)
            except CatalogUnavailable as exc:
                log.warning(
                    "scan_interrupted", library=job.library.name, reason=str(exc), effect="it begins anew"
                )
                self._telemetry.error("db")
                self._stop.wait(CATALOG_PAUSE)
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
        self._pulse.step()
        return self._stop.is_set() or job.is_abandoned()

    def _scan_library(self, job: ScanJob) -> None:
        """Hint at what appeared, wait until that is decided (it may claim moves), then at what is missing."""
        began = time.monotonic()
        report = self._scan(job, _NOTHING if job.is_trial else _APPEARED)
        if job.is_trial:
            job.report = None if self._is_given_up(job) else report
            return
        if report.missing:
            self._wait_for_others(job)
            self._hint_ahead(job)
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
        missing = self._count_missing(job)
        if self._is_given_up(job) or (missing and not self._may_delete(job, missing)):
            return False
        self._scan(job, _MISSING)
        self._wait_until_decided(job)
        return True

    def _count_missing(self, job: ScanJob) -> int:
        """How much is missing, without what the kernel tells of meanwhile: a mass deletion is not a loss."""
        missing = self._scan(job, _NOTHING).missing
        for _ in range(_RECOUNTS):
            if not missing or self._is_given_up(job):
                break
            self._wait_until_decided(job)
            before, missing = missing, self._scan(job, _NOTHING).missing
            if missing == before:
                break
        return missing

    def _wait_until_decided(self, job: ScanJob) -> None:
        noticed_before = time.monotonic()
        while not self._is_given_up(job) and not self._is_decided(noticed_before, LOOK_SECONDS):
            self._hint_ahead(job)

    def _wait_for_others(self, job: ScanJob) -> None:
        """Wait until the other libraries have asked for their scans: what is missing here may lie there."""
        deadline = Deadline(_OTHERS_SECONDS)
        while not self._is_given_up(job) and (left := deadline.remaining()):
            if self._gathered.wait(min(LOOK_SECONDS, left)):
                return

    def _hint_ahead(self, job: ScanJob) -> None:
        """Hint at what appeared in the libraries whose scans wait: it may be what is missing in this one.

        Without it, what was moved to another library while nobody watched would be given up as deleted
        before the scan of that library has its turn.
        """
        with self._lock:
            waiting = [each for each in self._unfinished if each.library != job.library]
        for each in waiting:
            if not (each.is_trial or each.is_hinted_ahead or self._is_given_up(job)):
                self._scan(each, _APPEARED)
                each.is_hinted_ahead = True

    def _scan(self, job: ScanJob, kinds: frozenset[FindingKind]) -> ScanReport:
        def is_given_up() -> bool:
            return self._is_given_up(job)

        def wait_for_room() -> int:
            self._comparison.wait_for_room(1, is_given_up)
            return max(1, self._comparison.room // _PARTS)

        def hint(files: Sequence[tuple[bytes, bool]]) -> None:
            self._scheduler.look_at_new(files, job.library, job.source)

        new = NewFiles(wait_for_room, self._comparison.recorded_inodes, hint)

        def should_stop() -> bool:
            # Asked before each listing, which may hang, and every few entries.
            new.flush()
            return is_given_up()

        def found(finding: Finding) -> None:
            if finding.kind is FindingKind.NEW:
                new.add(finding.path, finding.inode)
                return
            # A racy row is soon read once more anyway; after a start, nobody else remembers it.
            if finding.only_ctime or (finding.only_racy and job.source is Source.RESCAN):
                self._scheduler.look_at(finding.path, job.library, job.source, background=True)
                return
            new.flush()
            self._comparison.wait_for_room(1, is_given_up)
            self._scheduler.look_at(finding.path, job.library, job.source)

        report = self._comparison.compare(job.library.root, job.library, found, kinds, should_stop)
        if not is_given_up():
            new.flush()
        if not job.looks_outside or not report.complete:
            return report
        strays = self._comparison.strays(
            job.library, found if FindingKind.MISSING in kinds else None, should_stop
        )
        return replace(report, missing=report.missing + strays)

    # -- sweeps --------------------------------------------------------------------------------------

    def _sweep_or_wait(self) -> None:
        """Sweep a library where that is wanted and there is room; else wait until a scan is asked for."""
        self._sweeps.want(self._scheduler.take_unrested())
        if self._scheduler.may_sweep() and (wanted := self._sweeps.next()) is not None:
            try:
                self._sweep(*wanted)
            except CatalogUnavailable as exc:
                log.warning(
                    "sweep_interrupted", library=wanted[0].name, reason=str(exc), effect="it goes on later"
                )
                self._telemetry.error("db")
                self._stop.wait(CATALOG_PAUSE)
        else:
            self._asked.wait(_SWEEP_SECONDS)

    def _sweep(self, library: Library, after: bytes) -> None:
        """Have what differs looked at in the background, from `after` on, until there is no room or a scan waits."""

        stopped = False

        def should_stop() -> bool:
            # Once without room it stays stopped: what was passed over would not be come back to.
            nonlocal stopped
            stopped = stopped or self._stop.is_set() or bool(self._unfinished) or self._has_no_background()
            return stopped

        def found(finding: Finding) -> None:
            nonlocal after
            if finding.path > after and not should_stop():
                self._scheduler.look_at(finding.path, library, Source.RECHECK, background=True)
                after = finding.path

        report = self._comparison.compare(library.root, library, found, _APPEARED, should_stop)
        if report.complete and not stopped:
            self._sweeps.finish(library)
        else:
            self._sweeps.reached(library, after)

    def _has_no_background(self) -> bool:
        return not self._scheduler.background_room()
