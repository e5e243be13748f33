"""The scanning stage: compares libraries and folders with the catalog and hints at what may differ.

Owns the threads `fw-scan` (whole libraries, one after the other, and sweeps in between) and `fw-folders`
(folders that the kernel hinted at; apart, so that a long scan does not hold them up). A scan only makes
hints; it never decides.

Files of which no more than the ctime changed (chmod, a restored mtime) are read again in the background, so
that a million of them hold up nothing. What finds no room there is found by a sweep, once there is room.
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
from file_watcher.model import CatalogEntry, FileStat, Library, Source, Ticket, display
from file_watcher.pulse import Own, ProgressSource, Pulse
from file_watcher.telemetry import Telemetry
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind, is_unchanged
from file_watcher.watching.scan import ScanReport, scan
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sweeps import Sweeps

log = structlog.get_logger(__name__)

_CATALOG_PAUSE: Final = 1.0
"""Seconds until a scan that lost the database begins anew."""
_LOOK_SECONDS: Final = 0.5
"""How long one wait lasts before the scan asks again whether it is still wanted."""
_OTHERS_SECONDS: Final = 60.0
"""How long what is missing waits for libraries that have not asked for their scans: a cold disk may take long
to watch, but one that hangs must not hold up the others for ever."""
_RECOUNTS: Final = 3
"""How often what is missing is counted again while decisions still change it; a busy library never rests."""
_SWEEP_SECONDS: Final = 2.0
"""How often it is asked whether a sweep is wanted while no scan is."""
_APPEARED: Final = frozenset({FindingKind.NEW, FindingKind.CHANGED})
_MISSING: Final = frozenset({FindingKind.MISSING})
_NOTHING: Final[frozenset[FindingKind]] = frozenset()


class Catalog(Protocol):
    """The rows, as a scan reads them."""

    def below(self, folder: bytes, after: bytes, limit: int) -> Sequence[CatalogEntry]:
        """One page of rows below the folder, sorted by path. Raises CatalogUnavailable."""


class Mounted(Protocol):
    """Which disks are there, as `sight.Eyes` tells it."""

    def is_away(self, path: bytes, library: Library) -> bool:
        """Whether the path lies below the mount point of a disk that is away."""

    def shields(self, path: bytes, library: Library) -> bool:
        """Whether a file that is missing at this path may come back with its disk."""


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """`room`: a scan waits while that many files are dirty."""

    room: int = 2048
    recursive: bool = True
    follow_symlinks: bool = False


class ScanStage:
    """Runs scans on request."""

    def __init__(
        self,
        config: ScanConfig,
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
        """`is_decided(noticed_before, timeout)` waits until every hint from before that monotonic time is
        decided; `may_delete(job, missing)` is asked before so many missing files are hinted at, and a scan
        that it refuses is not completed; `on_scanned(job, report)` learns of the completed ones."""
        self._config = config
        self._catalog = catalog
        self._mounted = mounted
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
        self._gathered = threading.Event()
        self._gathered.set()
        self._sweeps = Sweeps()
        self._folders: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pulses = [Pulse("fw-scan"), Pulse("fw-folders")]
        self._own = Own()

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

    def gather(self) -> None:
        """All libraries are about to ask for their first scans. Until `gathered`, nothing is told as missing."""
        self._gathered.clear()

    def gathered(self) -> None:
        """Every library that can be scanned has asked for it."""
        self._gathered.set()

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

    @property
    def progress(self) -> list[ProgressSource]:
        """How far both threads are. A scan gets on also while it waits for room or for decisions."""
        return [pulse.look for pulse in self._pulses]

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
        pulse = self._own.pulse = self._pulses[0]
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
        self._own.pulse.step()
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
        while not self._is_given_up(job) and not self._is_decided(noticed_before, _LOOK_SECONDS):
            self._hint_ahead(job)

    def _wait_for_others(self, job: ScanJob) -> None:
        """Wait until the other libraries have asked for their scans: what is missing here may lie there."""
        deadline = Deadline(_OTHERS_SECONDS)
        while not self._is_given_up(job) and (left := deadline.remaining()):
            if self._gathered.wait(min(_LOOK_SECONDS, left)):
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
        def should_stop() -> bool:
            return self._is_given_up(job)

        def found(finding: Finding) -> None:
            # A racy row is soon read once more anyway; after a start, nobody else remembers it.
            if finding.only_ctime or (finding.only_racy and job.source is Source.RESCAN):
                self._scheduler.look_at(finding.path, job.library, job.source, background=True)
                return
            self._wait_for_room(self._config.room, should_stop)
            self._scheduler.look_at(finding.path, job.library, job.source)

        return self._compare(job.library.root, job.library, found, kinds, should_stop)

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
                self._stop.wait(_CATALOG_PAUSE)
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

        report = self._compare(library.root, library, found, _APPEARED, should_stop)
        if report.complete and not stopped:
            self._sweeps.finish(library)
        else:
            self._sweeps.reached(library, after)

    def _has_no_background(self) -> bool:
        return not self._scheduler.background_room()

    # -- folders -------------------------------------------------------------------------------------

    def _run_folders(self) -> None:
        pulse = self._own.pulse = self._pulses[1]
        interrupted = False
        while not self._stop.is_set():
            pulse.rest()
            ticket = self._folders.get()
            if ticket is None:
                return
            pulse.at("compares", ticket.path)
            try:
                self._scan_folder(ticket)
            except CatalogUnavailable as exc:
                if not interrupted:  # a line for each folder and each attempt would be a flood
                    log.warning("folder_scan_interrupted", folder=display(ticket.path), reason=str(exc))
                interrupted = True
                self._telemetry.error("db")
                self._scheduler.again(ticket, None, _CATALOG_PAUSE)
            else:
                interrupted = False

    def _scan_folder(self, ticket: Ticket) -> None:
        """Hint at all that differs below the folder, and at a file that took its name.

        Where the folder was moved, each file's hint names the path that it had before. Where it stands for
        paths that the kernel hinted at, what is found counts as the kernel's word: only that is passed on to
        other names of the same file.
        """
        is_folded = self._scheduler.is_folded(ticket.path)
        source = Source.KERNEL if is_folded else Source.SCAN

        def owes_reading(path: bytes) -> bool:
            return is_folded and self._scheduler.may_owe_reading(path)

        def unchanged(row: CatalogEntry, stat: FileStat) -> bool:
            return is_unchanged(row, stat) and not owes_reading(row.path)

        def hint(path: bytes, *, must_hash: bool) -> None:
            # More room than whole scans have, so that an import does not hold up fresh changes.
            self._wait_for_room(2 * self._config.room, self._is_closing)
            moved_from = frozenset(origin + path[len(ticket.path) :] for origin in ticket.moved_from)
            self._scheduler.look_at(
                path,
                ticket.library,
                source,
                must_hash=must_hash,
                noticed=ticket.noticed,
                moved_from=moved_from,
            )

        def found(finding: Finding) -> None:
            must_hash = owes_reading(finding.path)
            if finding.only_ctime and not must_hash:
                self._scheduler.look_at(finding.path, ticket.library, source, background=True)
            else:
                hint(finding.path, must_hash=must_hash)

        self._compare(ticket.path, ticket.library, found, ALL_KINDS, self._is_closing, unchanged)
        if self._filter_of(ticket.library).wants_file(ticket.path):
            hint(ticket.path, must_hash=ticket.must_hash or ticket.closed)
        self._scheduler.done(ticket)

    def _is_closing(self) -> bool:
        """Asked every few entries, each time of which the scan has got on."""
        self._own.pulse.step()
        return self._stop.is_set()

    # -- both ----------------------------------------------------------------------------------------

    def _wait_for_room(self, room: int, should_stop: Callable[[], bool]) -> None:
        while not should_stop() and not self._scheduler.wait_for_room(room, _LOOK_SECONDS):
            pass

    def _compare(
        self,
        folder: bytes,
        library: Library,
        found: Callable[[Finding], None],
        kinds: frozenset[FindingKind],
        should_stop: Callable[[], bool],
        unchanged: Callable[[CatalogEntry, FileStat], bool] = is_unchanged,
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
            unchanged=unchanged,
            is_away=lambda path: self._mounted.is_away(path, library),
            shields=lambda path: self._mounted.shields(path, library),
        )
