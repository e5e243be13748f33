"""The post: how one library is being kept. Suspended in doubt, watched and scanned otherwise.

Owns no thread: the keeper's thread calls `step` about once a second and carries out orders; only it changes
anything here. What is recorded in the catalog goes through `record`, in order, and is tried again there.

The states, and what leads from one to another:

- *not begun* or *suspended* → *active*: the root is there, is the one that was remembered (or was
  approved), and is watched. A library that lost too much is counted again first.
- *active* → *suspended*: the root is away or another one, too much is missing, or nothing can watch it.
- *active* → *active*: the watch lost hints, the root was away for a moment, or a disk below it came or
  went: watched anew and scanned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from file_watcher.errors import RetryableError
from file_watcher.model import Library, Source, display
from file_watcher.paths import real_path
from file_watcher.watching.disks import Disks
from file_watcher.watching.doubt import Doubt, Suspension, away, root_doubt
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.lookout import Lookout
from file_watcher.watching.memory import LossGuard, Memory, RememberedRoot
from file_watcher.watching.notices import LibraryNotices, Record
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.sight import Eyes, RootIdentity, RootState

log = structlog.get_logger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries, growing from one to the next."""
_CALM: Final = 2 * _LONGEST_PAUSE
"""Seconds without a try after which the pauses begin anew."""


@dataclass(frozen=True, slots=True)
class PostConfig:
    """Seconds between rescans and polls; `loss_guard` None lets any loss pass."""

    rescan_interval: float = 3600.0
    poll_interval: float = 30.0
    follow_symlinks: bool = False
    loss_guard: LossGuard | None = None


class Post:
    """Keeps one library."""

    def __init__(
        self,
        config: PostConfig,
        library: Library,
        path_filter: PathFilter,
        lookout: Lookout,
        eyes: Eyes,
        memory: Memory,
        scans: Callable[[], ScanStage],
        record: Record,
    ) -> None:
        self.library = library
        self.lookout = lookout
        self.active = False
        self.suspension: Suspension | None = None
        self.approved = False
        """Whether the library is to be taken as it is, until its next scan."""
        self.scanned = False
        """Whether it was scanned since the start."""
        self.is_scan_told = False
        """Whether the notice of that scan is recorded, so that whatever is recorded from now on comes after it."""
        self._config = config
        self._path_filter = path_filter
        self._eyes = eyes
        self._memory = memory
        self._scans = scans
        self._record = record
        self._notices = LibraryNotices(library, memory, record)
        self._disks = Disks(library, eyes, memory, self._notices)
        self._catching_up: ScanJob | None = None
        """The scan for what nobody saw; until it is finished, not all is known."""
        self._is_gap_open = False
        """Whether a new watch stands, or will at once, and that scan is still to be asked for."""
        self._routine: ScanJob | None = None
        self._poll: ScanJob | None = None
        self._trial: ScanJob | None = None
        self._scan_asked = 0.0
        self._pause = _FIRST_PAUSE
        self._paused_at = float("-inf")
        self._retry_at = 0.0
        self._looks_outside = False
        """Whether files may be catalogued where the root was before, until a scan has seen to them."""

    def retime(self, config: PostConfig) -> None:
        """Other intervals and another loss guard hold from now on; how links are followed does not change."""
        self._config = config

    def leave(self, *, for_good: bool) -> None:
        """Keep the library no more; `for_good` tells that nobody does. What is seen of it from now on is UNKNOWN."""
        self.lookout.leave()
        self._eyes.forget(self.library)
        self._scans().abandon(self.library, with_trials=True)
        self.active, self.suspension = False, None
        if for_good:
            self._notices.goodbye()

    def step(self, now: float) -> None:
        """Verify, renew, rescan, or try to begin. Raises CatalogUnavailable: the same step may be taken again."""
        if self.active:
            self._verify(now)
        elif now >= self._retry_at and self._is_loss_over(now):
            self._try_to_begin(now)

    def suspend(self, suspension: Suspension, now: float) -> None:
        """Believe nothing of the library gone until the doubt is over."""
        self.lookout.leave()
        self._eyes.shut(self.library)
        self._scans().abandon(self.library)
        self.active, self.approved = False, False
        self._catching_up = self._routine = self._poll = self._trial = None
        self._retry_at = now + (self._longer_pause(now) if suspension.doubt is Doubt.BLIND else _FIRST_PAUSE)
        before, self.suspension = self.suspension, suspension
        if suspension.doubt is Doubt.LOSS:
            self._trial = self._request_trial()
        if suspension != before:
            is_news = before is None or before.doubt is not suspension.doubt
            self._notices.suspended(suspension, is_news=is_news, scanned=self.scanned)

    def approve(self) -> None:
        """Take the library as it is now, with all that is missing and with the disks that are mounted."""
        if self.why_not_approve() is not None:
            return
        log.info("library_approved", library=self.library.name)
        self._disks.accept_all()
        self.approved, self._retry_at = True, 0.0
        self._is_gap_open = True

    def note_scanned(self, job: ScanJob, report: ScanReport) -> None:
        """A scan was completed. One that was abandoned, or asked for too late, says nothing."""
        if job.is_abandoned() or not self.active:
            return
        first, self.scanned = not self.scanned, True
        self._looks_outside = self._looks_outside and not job.looks_outside
        if job is self._catching_up:
            # Only a scan that began after it: an approval is not used up by one that was under way.
            self.approved = False
            if not report.shielded and not report.unlisted:
                self._disks.trust_what_is_mounted()
        self._notices.scanned(report, first=first, is_news=job is not self._poll or report.differs)
        self._record(self._note_told)

    def _note_told(self) -> None:
        self.is_scan_told = True

    def why_not_approve(self) -> str | None:
        """None where `approve` would help, else why not, as a sentence."""
        name = self.library.name
        if self.suspension is None:
            if self._disks.are_in_doubt():
                return None
            return f"{name} is not suspended; there is nothing to approve"
        if not self.suspension.can_be_approved:
            return f"{name} is suspended because {self.suspension.reason}; that has to be mended first"
        return None

    def is_caught_up(self) -> bool:
        """Whether all that happened while nobody watched is known by now. A suspended library has to wait."""
        if self.suspension is not None:
            return True
        job = self._catching_up
        is_scanned = self.scanned and not self._is_gap_open and (job is None or job.finished.is_set())
        # What was mounted a moment ago is not watched yet; the next step sees to it.
        return is_scanned and not self._disks.have_changed()

    def trouble(self) -> str | None:
        """What is wrong with the library, or still missing, as a sentence; None where all is well."""
        name, suspension = self.library.name, self.suspension
        if suspension is not None:
            return f"{name} is suspended: {suspension.reason}"
        if not self.active:
            return f"{name} is not watched yet"
        if not self.scanned:
            return f"{name} is being scanned for the first time"
        if not self.is_caught_up() or self.lookout.why_renew() is not None:
            return f"{name} is being scanned, since changes may have gone unseen"
        if (disks := self._disks.trouble()) is not None:
            return f"{name} is watched, but {disks}"
        return None

    def state(self) -> str:
        """In a few words how the library is kept."""
        if (trouble := self.trouble()) is not None:
            return trouble
        every = f"polled every {self._interval():g} s"
        if (polled := self.lookout.polled) is not None:
            return f"{every}: {polled}"
        blind = self.lookout.why_blind()
        return "watched" if blind is None else f"watched, and {every}: {blind}"

    # -- while it is active --------------------------------------------------------------------------

    def _verify(self, now: float) -> None:
        state = self._eyes.root_state(self.library)
        if state is not RootState.OK:
            self.suspend(root_doubt(self.library, state), now)
        elif now >= self._retry_at and (reason := self._why_renew()):
            self._renew(reason, now)
        elif self._eyes.take_doubt(self.library):
            log.warning("root_was_away", library=self.library.name, effect="it is scanned")
            self._catch_up(now)
        elif now - self._scan_asked >= self._interval():
            self._rescan(now)

    def _why_renew(self) -> str | None:
        if (reason := self.lookout.why_renew()) is not None:
            return reason
        if self._disks.have_changed():
            return "a disk below the root was mounted or unmounted"
        return "the library was approved" if self.approved and self._is_gap_open else None

    def _renew(self, reason: str, now: float) -> None:
        """A new watch first, then a scan of what was blind."""
        log.warning("watch_renewed", library=self.library.name, reason=reason)
        self._is_gap_open = True
        self._disks.settle()
        self._retry_at = now + self._longer_pause(now)
        if self._is_watched(now):
            self._catch_up(now)

    def _is_watched(self, now: float) -> bool:
        """Put up a watch; where that is neither possible nor to be done without, suspend."""
        self._is_gap_open = True
        try:
            self.lookout.stand()
        except RetryableError as exc:
            self.suspend(Suspension(Doubt.BLIND, str(exc)), now)
            return False
        return True

    def _rescan(self, now: float) -> None:
        """The regular scan; one that takes longer than the interval is not asked for twice."""
        if self._routine is not None and not self._routine.finished.is_set():
            return
        if self.lookout.can_try_again and self._has_kernel_back(now):
            return
        self.lookout.retry()
        is_poll = self.lookout.is_blind()
        self._routine = self._request(Source.SCAN if is_poll else Source.RESCAN, now)
        self._poll = self._routine if is_poll else None

    def _has_kernel_back(self, now: float) -> bool:
        """Ask once more for the watch that the kernel refused; True where that changed something."""
        if not self._is_watched(now):
            return True
        if self.lookout.polled is None:
            self._catch_up(now)
            return True
        self._is_gap_open = False
        return False

    def _interval(self) -> float:
        if self.lookout.is_blind():
            return min(self._config.rescan_interval, self._config.poll_interval)
        return self._config.rescan_interval

    def _catch_up(self, now: float) -> None:
        self._catching_up = self._request(Source.SCAN, now)
        self._is_gap_open = False

    def _request(self, source: Source, now: float) -> ScanJob:
        self._scan_asked = now
        return self._scans().request(self.library, source, looks_outside=self._looks_outside)

    # -- beginning -----------------------------------------------------------------------------------

    def _try_to_begin(self, now: float) -> None:
        remembered = self._memory.recall(self.library)
        self._looks_outside = remembered.was_elsewhere
        try:
            identity = self._open(remembered)
        except RetryableError as exc:
            self.suspend(away(self.library, exc), now)
            return
        if remembered.is_another_than(identity) and not self.approved:
            self.suspend(root_doubt(self.library, RootState.REPLACED), now)
            return
        self._disks.begin(remembered.mounts)
        if self.approved:
            self._disks.accept_all()
        try:
            self._memory.use_device(self.library, identity.device)
            self._disks.settle()
        except RetryableError:
            self._eyes.shut(self.library)
            raise
        # Watch first, then scan: what happens in between is noticed twice rather than never.
        if self._is_watched(now):
            self._begin(identity, now)

    def _open(self, remembered: RememberedRoot) -> RootIdentity:
        root = self.library.root
        if (real := real_path(root)) != root:
            raise RetryableError(
                f"{display(root)} leads to {display(real)} by now; restart the service to watch that folder"
            )
        return self._eyes.open(
            self.library,
            self._path_filter.wants_file,
            follow_symlinks=self._config.follow_symlinks,
            known_mounts=remembered.mounts,
        )

    def _begin(self, identity: RootIdentity, now: float) -> None:
        # Asked for first: at no moment may the library look as if all were known.
        self._catch_up(now)
        was, self.suspension = self.suspension, None
        self.active = True
        self._notices.begun(identity, was, scanned=self.scanned)

    # -- suspended -----------------------------------------------------------------------------------

    def _is_loss_over(self, now: float) -> bool:
        """After a loss: count again what is missing, and begin once enough of it is back."""
        guard = self._config.loss_guard
        if self._trial is None or self.approved or guard is None:
            return True
        if not self._trial.finished.is_set():
            return False
        report = self._trial.report
        if report is not None and not guard.refuses(report.missing, self._memory.count(self.library)):
            return True
        self._retry_at = now + self._config.poll_interval
        self._trial = self._request_trial()
        return False

    def _request_trial(self) -> ScanJob:
        return self._scans().request_trial(self.library, looks_outside=self._looks_outside)

    def _longer_pause(self, now: float) -> float:
        is_calm = now - self._paused_at > _CALM
        self._paused_at = now
        self._pause = _FIRST_PAUSE if is_calm else min(2 * self._pause, _LONGEST_PAUSE)
        return self._pause
