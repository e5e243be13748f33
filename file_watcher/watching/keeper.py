"""The keeper: sees to it that every library is watched, verified and scanned, and suspends it when in doubt.

Owns the thread `fw-keeper`, which checks once a second. A root that is missing, unmounted or another one
than before suspends its library: nothing of it is believed gone until it is back or `approve` was said.
A watch that lost hints is replaced by a new one (never rebuilt in place), and the library is scanned.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from file_watcher.errors import CatalogUnavailable, RetryableError
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health, Hint, Library, Source, display
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.mounts import MountTable, needs_polling
from file_watcher.watching.observer import LibraryWatch
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scanning import ScanJob, ScanStage
from file_watcher.watching.sight import Eyes, RootIdentity, RootState
from file_watcher.watching.trouble import Trouble

log = structlog.get_logger(__name__)

_TICK_SECONDS: Final = 1.0
_CALM_SECONDS: Final = 60.0
"""A watch that has stood this long starts with the shortest pause again."""
_LONGEST_PAUSE: Final = 60.0

_ROOT_WORDS: Final[Mapping[RootState, str]] = {
    RootState.MISSING: "the folder is not there",
    RootState.REPLACED: "another folder stands in its place",
    RootState.UNREADABLE: "the folder cannot be read",
    RootState.UNMOUNTED: "its disk is not mounted",
}


@dataclass(frozen=True, slots=True)
class KeeperConfig:
    """Seconds between rescans and polls; the loss guard's share (0..1) and number of files, None: off."""

    rescan_interval: float = 3600.0
    poll_interval: float = 30.0
    observer: str = "auto"
    recursive: bool = True
    follow_symlinks: bool = False
    loss_guard: tuple[float, int] | None = (0.5, 100)


@dataclass(frozen=True, slots=True)
class RememberedRoot:
    """What was known of a root when the service last worked with it. None where it was never seen."""

    inode: int | None = None
    fsid: str | None = None
    first_scan_done: bool = False


class Memory(Protocol):
    """What outlives the process. All may raise CatalogUnavailable."""

    def recall(self, library: Library) -> RememberedRoot:
        """What is remembered of the library's root."""

    def remember(
        self, library: Library, root: RootIdentity | None, *, suspended: str | None, first_scan_done: bool
    ) -> None:
        """Keep the root's identity and the library's state."""

    def count(self, library: Library) -> int:
        """How many files of the library are catalogued."""

    def use_device(self, library: Library, device: int) -> None:
        """Say which device the root lies on now, before any row is read."""

    def announce(self, kind: str, library: Library, fields: Mapping[str, Any]) -> None:
        """Publish a notice about the library."""


@dataclass(slots=True)
class _Post:
    """One library and how it is being kept."""

    library: Library
    path_filter: PathFilter
    watch: LibraryWatch | None = None
    active: bool = False
    suspended: str | None = None
    announced: bool = False
    approved: bool = False
    scanned: bool = False
    polled: bool = False
    next_rescan: float = 0.0
    lost_hints: threading.Event = field(default_factory=threading.Event)
    watch_since: float = 0.0
    pause: float = _TICK_SECONDS
    retry_at: float = 0.0
    trial: ScanJob | None = None
    retired: list[LibraryWatch] = field(default_factory=list)


class LibraryKeeper:
    """Keeps the given libraries from `start` to `close`."""

    def __init__(
        self,
        config: KeeperConfig,
        libraries: Sequence[tuple[Library, PathFilter]],
        eyes: Eyes,
        observe: Callable[[Hint, Library], None],
        memory: Memory,
        on_failure: FailureReport,
    ) -> None:
        self._config = config
        self._posts = {library.id: _Post(library, path_filter) for library, path_filter in libraries}
        self._eyes = eyes
        self._observe = observe
        self._memory = memory
        self._on_failure = on_failure
        self._scans: ScanStage | None = None
        self._orders: queue.Queue[Callable[[], None]] = queue.Queue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._scanned = threading.Condition()
        self._added = self._removed = 0

    def start(self, scans: ScanStage) -> None:
        """Begin to watch and scan; roots that are missing are waited for."""
        self._scans = scans
        self._thread = spawn("fw-keeper", self._run, self._on_failure)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        for post in self._posts.values():
            if post.watch is not None:
                post.watch.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread and the watches."""
        ended = join_all([self._thread] if self._thread else [], deadline)
        watches = [watch for post in self._posts.values() for watch in (post.watch, *post.retired) if watch]
        for watch in watches:
            watch.close()
        joined = [watch.join(deadline) for watch in watches]
        return ended and all(joined)

    def drain(self, timeout: float) -> bool:
        """Wait until all that happened before the call was hinted at; False where only a scan can tell."""
        deadline = Deadline(timeout)
        posts = [post for post in self._posts.values() if post.active]
        return all(not post.polled and _drain(post.watch, deadline) for post in posts)

    def active(self) -> list[Library]:
        """The libraries that are watched and verified now."""
        return [post.library for post in self._posts.values() if post.active]

    def rescan(self, source: Source = Source.RESCAN) -> list[ScanJob]:
        """Scan all active libraries."""
        assert self._scans is not None
        return [self._scans.request(library, source) for library in self.active()]

    def approve(self, name: str) -> bool:
        """Accept the library as it is now, with all that is missing; False where none of that name is kept."""
        posts = [post for post in self._posts.values() if post.library.name == name]
        for post in posts:
            self._orders.put(lambda post=post: self._accept(post))  # type: ignore[misc]
        return bool(posts)

    def may_delete(self, library: Library, missing: int) -> bool:
        """The loss guard: whether so many files may be believed gone though no kernel event told so."""
        post, guard = self._posts[library.id], self._config.loss_guard
        if post.approved or guard is None or missing <= guard[1]:
            return True
        known = self._memory.count(library)
        if missing <= guard[0] * known:
            return True
        reason = f"{missing} of {known} files are missing at once; if that is meant: file_watcher approve {library.name}"
        self._orders.put(lambda: self._suspend(post, reason))
        return False

    def note_scanned(self, library: Library, report: ScanReport) -> None:
        """A scan of the library is complete."""
        post = self._posts[library.id]
        first, post.scanned, post.approved = not post.scanned, True, False
        fields = {"files": report.files, "seconds": round(report.seconds, 3), "first": first}
        log.info("library_scanned", library=library.name, **fields)
        if report.unlisted:
            folders = [display(path) for path, _ in report.unlisted[:5]]
            log.warning(
                "folders_not_listed", library=library.name, count=len(report.unlisted), folders=folders
            )
        with self._scanned:
            self._scanned.notify_all()
        if first:
            self._orders.put(lambda: self._remember(post))
        self._orders.put(lambda: self._memory.announce("library.scanned", library, fields))

    def is_scanned(self) -> bool:
        """Whether every library was scanned since the start, but for those that are suspended."""
        return all(post.scanned or post.suspended is not None for post in self._posts.values())

    def wait_until_scanned(self, timeout: float) -> None:
        """Wait until a scan is complete, at most so many seconds."""
        with self._scanned:
            self._scanned.wait(timeout)

    def watches(self) -> Mapping[str, int]:
        """Folders that are watched and polled, and watches added and removed, for the metrics."""
        posts = self._posts.values()
        return {
            "active": sum(post.watch.watch_count() for post in posts if post.watch),
            "polled": sum(post.polled for post in posts),
            "added": self._added,
            "removed": self._removed,
        }

    def health(self) -> Health:
        """Whether every library is watched and was scanned once."""
        troubles = [trouble for post in self._posts.values() if (trouble := _trouble_of(post))]
        facts = {post.library.name: _trouble_of(post) or "watched" for post in self._posts.values()}
        detail = "; ".join(troubles) or f"{len(self._posts)} libraries are watched and were scanned."
        return Health("libraries", ok=not troubles, detail=detail, facts=facts)

    def _run(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                self._obey()
                for post in self._posts.values():
                    self._check(post, now)
            except CatalogUnavailable as exc:
                log.warning("keeper_waits_for_database", reason=str(exc))
            self._stop.wait(_TICK_SECONDS if self._orders.empty() else 0.0)

    def _obey(self) -> None:
        """Carry out what other threads asked for; an order that meets a lost database is kept."""
        for _ in range(self._orders.qsize()):
            order = self._orders.get()
            try:
                order()
            except CatalogUnavailable:
                self._orders.put(order)
                raise

    def _check(self, post: _Post, now: float) -> None:
        if not post.active:
            self._try_to_begin(post, now)
            return
        state = self._eyes.root_state(post.library)
        if state is not RootState.OK:
            self._suspend(post, _ROOT_WORDS[state])
        elif (reason := self._reason_to_renew(post)) and now >= post.retry_at:
            self._renew(post, reason, now)
        elif now >= post.next_rescan:
            self._schedule_rescan(post, now)
            self._request(post, Source.SCAN if post.polled else Source.RESCAN)

    def _reason_to_renew(self, post: _Post) -> str | None:
        if post.watch is None:
            return None
        return "hints were lost" if post.lost_hints.is_set() else post.watch.alive()

    # -- beginning -----------------------------------------------------------------------------------

    def _try_to_begin(self, post: _Post, now: float) -> None:
        if now < post.retry_at or not self._is_loss_over(post):
            return
        try:
            identity = self._eyes.open(
                post.library, post.path_filter.wants_file, follow_symlinks=self._config.follow_symlinks
            )
        except RetryableError as exc:
            self._suspend(post, str(exc))
            return
        before = self._memory.recall(post.library)
        if (
            before.inode is not None
            and not post.approved
            and (before.inode, before.fsid) != _lasting(identity)
        ):
            self._eyes.shut(post.library)
            self._suspend(
                post,
                "another folder or disk than before is at "
                f"{display(post.library.root)}; if that is meant: file_watcher approve {post.library.name}",
            )
            return
        self._memory.use_device(post.library, identity.device)
        self._begin(post, identity, now)

    def _begin(self, post: _Post, identity: RootIdentity, now: float) -> None:
        """Watch first, then scan."""
        if not self._watch(post, now):
            self._eyes.shut(post.library)
            return
        post.active, was = True, post.suspended
        post.suspended = None
        self._memory.remember(post.library, identity, suspended=None, first_scan_done=post.scanned)
        if was is not None and post.announced:
            log.info("library_resumed", library=post.library.name)
            self._memory.announce("library.resumed", post.library, {"reason": was})
        post.announced = False
        self._schedule_rescan(post, now)
        self._request(post, Source.SCAN)

    def _watch(self, post: _Post, now: float) -> bool:
        """Start a watch, or decide to poll; False where neither is possible now."""
        post.polled = self._must_poll(post.library)
        post.lost_hints = threading.Event()
        post.watch_since = now
        if post.polled:
            log.info("library_polled", library=post.library.name, seconds=self._config.poll_interval)
            return True
        watch = self._new_watch(post)
        try:
            watch.start()
        except RetryableError as exc:
            if self._config.observer == "native":
                self._put_off(post, str(exc), now)
                return False
            log.warning("library_polled", library=post.library.name, reason=str(exc))
            post.polled = True
            return True
        post.watch = watch
        self._added += watch.watch_count()
        return True

    def _new_watch(self, post: _Post) -> LibraryWatch:
        lost_hints = post.lost_hints

        def note(trouble: Trouble) -> None:
            if trouble.loses_hints:
                lost_hints.set()

        return LibraryWatch(
            post.library,
            lambda hint: self._observe(hint, post.library),
            note,
            recursive=self._config.recursive,
            wants_folder=post.path_filter.wants_folder,
        )

    def _must_poll(self, library: Library) -> bool:
        if self._config.observer != "auto":
            return self._config.observer == "polling"
        return needs_polling(MountTable.read().fs_type_of(library.root))

    # -- renewing ------------------------------------------------------------------------------------

    def _renew(self, post: _Post, reason: str, now: float) -> None:
        """A new watch first, then a scan of what was blind, then the old watch goes."""
        calm = now - post.watch_since > _CALM_SECONDS
        post.pause = _TICK_SECONDS if calm else min(post.pause * 2, _LONGEST_PAUSE)
        post.retry_at = now + post.pause
        log.warning("watch_renewed", library=post.library.name, reason=reason)
        old = post.watch
        if old is not None:
            self._removed += old.watch_count()
            post.retired = [watch for watch in post.retired if not watch.join(Deadline(0))]
            post.retired.append(old)
        post.watch = None
        if self._watch(post, now):
            self._request(post, Source.SCAN)
        if old is not None:
            old.close()

    def _schedule_rescan(self, post: _Post, now: float) -> None:
        is_partly_blind = post.watch is not None and bool(post.watch.unwatched())
        interval = self._config.rescan_interval
        if post.polled or is_partly_blind:
            interval = min(interval, self._config.poll_interval)
        post.next_rescan = now + interval

    def _request(self, post: _Post, source: Source) -> None:
        self._eyes.refresh(post.library)
        assert self._scans is not None
        self._scans.request(post.library, source)

    # -- suspending ----------------------------------------------------------------------------------

    def _suspend(self, post: _Post, reason: str) -> None:
        if post.watch is not None:
            post.watch.close()
            self._removed += post.watch.watch_count()
            post.retired.append(post.watch)
            post.watch = None
        self._eyes.shut(post.library)
        post.active = False
        if reason != post.suspended:
            post.suspended = reason
            log.warning(
                "library_suspended",
                library=post.library.name,
                root=display(post.library.root),
                reason=reason,
                effect="nothing of it is told as deleted until it is back",
            )
        if not post.announced:
            self._memory.remember(post.library, None, suspended=reason, first_scan_done=post.scanned)
            self._memory.announce("library.suspended", post.library, {"reason": reason})
            post.announced = True
        post.retry_at = time.monotonic() + _TICK_SECONDS
        post.trial = (
            self._scans.request_trial(post.library) if self._scans and "files are missing" in reason else None
        )

    def _is_loss_over(self, post: _Post) -> bool:
        """After a loss: count again what is missing, and begin once it is back."""
        if post.trial is None or post.approved:
            return True
        if not post.trial.finished.is_set():
            return False
        report, guard = post.trial.report, self._config.loss_guard
        known = self._memory.count(post.library)
        if (
            report is not None
            and guard
            and (report.missing <= guard[1] or report.missing <= guard[0] * known)
        ):
            post.trial = None
            return True
        assert self._scans is not None
        post.retry_at = time.monotonic() + self._config.poll_interval
        post.trial = self._scans.request_trial(post.library)
        return False

    def _accept(self, post: _Post) -> None:
        log.info("library_approved", library=post.library.name)
        post.approved = True
        post.retry_at = 0.0

    def _remember(self, post: _Post) -> None:
        self._memory.remember(post.library, None, suspended=post.suspended, first_scan_done=True)

    def _put_off(self, post: _Post, reason: str, now: float) -> None:
        post.pause = min(post.pause * 2, _LONGEST_PAUSE)
        post.retry_at = now + post.pause
        post.suspended = reason
        log.error("library_not_watched", library=post.library.name, reason=reason)


def _lasting(identity: RootIdentity) -> tuple[int, str]:
    """What of a root's identity outlives a boot."""
    return identity.inode, str(identity.fsid)


def _drain(watch: LibraryWatch | None, deadline: Deadline) -> bool:
    return watch is not None and watch.drain(deadline.remaining())


def _trouble_of(post: _Post) -> str | None:
    if post.suspended is not None:
        return f"{post.library.name} is suspended: {post.suspended}"
    if not post.active:
        return f"{post.library.name} is not watched yet"
    return None if post.scanned else f"{post.library.name} is being scanned for the first time"
