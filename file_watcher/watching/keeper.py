"""The keeper: sees to it that every library is watched, verified and scanned, and suspends it when in doubt.

Owns the thread `fw-keeper`, which looks at every library once a second and at once when it is told something.
How one library is kept stands in `post`, how it is watched in `lookout`; here is the loop that drives them,
and what other threads may ask.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health, Hint, HintKind, Library, Source
from file_watcher.pulse import Progress, Pulse
from file_watcher.watching.doubt import Suspension, loss_doubt
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.limits import WatchBudget
from file_watcher.watching.lookout import Lookout, LookoutConfig
from file_watcher.watching.memory import LossGuard, Memory
from file_watcher.watching.post import Post, PostConfig
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.sight import Eyes

log = structlog.get_logger(__name__)

_TICK_SECONDS: Final = 1.0
_PATIENCE: Final = 5.0
"""A folder with a million entries on a cold disk takes minutes to list, and that is one step."""


@dataclass(frozen=True, slots=True)
class KeeperConfig:
    """How a library is kept: seconds between rescans and polls; the loss guard's share (0..1) and number of
    files, None: off; which hints are wanted besides the usual ones.
    """

    rescan_interval: float = 3600.0
    poll_interval: float = 30.0
    observer: str = "auto"
    recursive: bool = True
    follow_symlinks: bool = False
    loss_guard: tuple[float, int] | None = (0.5, 100)
    more_hints: frozenset[HintKind] = frozenset()
    hashes: bool = True
    """Whether files are read; hashes that are wanted again are had by the scan that comes with a new watch."""

    def guard(self) -> LossGuard | None:
        """How much may be missing at once."""
        return None if self.loss_guard is None else LossGuard(*self.loss_guard)

    def as_watched(self) -> LookoutConfig:
        """What of it the watch depends on."""
        return LookoutConfig(self.observer, self.recursive, self.more_hints)

    def as_timed(self) -> PostConfig:
        """What of it the post goes by."""
        return PostConfig(self.rescan_interval, self.poll_interval, self.follow_symlinks, self.guard())


@dataclass(frozen=True, slots=True)
class Kept:
    """A library that is kept, and how."""

    library: Library
    path_filter: PathFilter
    config: KeeperConfig

    def wants_same_watch(self, other: Kept) -> bool:
        """Whether what stands for this one does for the other, but for intervals and the loss guard."""
        same = self.library == other.library and self.path_filter is other.path_filter
        mine, theirs = self.config, other.config
        return same and (mine.as_watched(), mine.follow_symlinks, mine.hashes) == (
            theirs.as_watched(),
            theirs.follow_symlinks,
            theirs.hashes,
        )


class LibraryKeeper:
    """Keeps libraries from `start` to `close`: those given, and what `put` and `drop` make of them."""

    def __init__(
        self,
        kept: Sequence[Kept],
        eyes: Eyes,
        observe: Callable[[Hint, Library], None],
        memory: Memory,
        on_failure: FailureReport,
        max_watches: int | None = None,
    ) -> None:
        """`max_watches`: how many folders may be watched in all, None: as many as the kernel grants."""
        self._eyes = eyes
        self._observe = observe
        self._memory = memory
        self._on_failure = on_failure
        self._scans: ScanStage | None = None
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What other threads ask for; carried out on the keeper's thread."""
        self._to_record: deque[Callable[[], None]] = deque()
        """What is to be written into the catalog, in order; kept while the database is away."""
        self._is_database_away = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("fw-keeper", _PATIENCE)
        self._scanned = threading.Condition()
        self._budget = WatchBudget(max_watches)
        self._kept = {each.library.id: each for each in kept}
        self._posts: Mapping[int, Post] = {each.library.id: self._post(each) for each in kept}
        """Never altered: whoever iterates over it goes on with the posts of then."""
        self._dropped: list[Lookout] = []
        """Whose threads may not have ended yet."""

    def start(self, scans: ScanStage) -> None:
        """Begin to watch and scan; roots that are missing are waited for."""
        self._scans = scans
        scans.gather()
        self._thread = spawn("fw-keeper", self._run, self._on_failure)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._orders.put(_wake_up)
        for post in self._posts.values():
            post.lookout.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread and the watches."""
        ended = join_all([self._thread] if self._thread else [], deadline)
        lookouts = [*(post.lookout for post in self._posts.values()), *self._dropped]
        joined = [lookout.join(deadline) for lookout in lookouts]
        self._eyes.close()
        return ended and all(joined)

    # -- asked from other threads --------------------------------------------------------------------

    def put(self, kept: Kept) -> None:
        """Keep this library from now on, or keep it in this way. Returns before that is so."""
        self._orders.put(lambda: self._put(kept))

    def drop(self, library: Library, timeout: float, *, for_good: bool = True) -> bool:
        """Keep the library no more: nothing of it is decided once this returns True; `for_good` tells so in a notice.

        False where it could not be done within `timeout` seconds; it is done later then. Does nothing to a
        library that is not kept.
        """
        done = threading.Event()

        def obey() -> None:
            self._drop(library, for_good=for_good)
            done.set()

        self._orders.put(obey)
        return done.wait(timeout)

    def wait_until_obeyed(self, timeout: float) -> bool:
        """Wait until what `put` and `drop` asked for before is so; False after `timeout` seconds."""
        done = threading.Event()
        self._orders.put(done.set)
        return done.wait(timeout)

    def drain(self, timeout: float) -> list[Library]:
        """Wait until all that happened before the call was hinted at, at most `timeout` seconds.

        Returns the libraries of which only a scan can tell.
        """
        deadline = Deadline(timeout)
        posts = [post for post in self._posts.values() if post.active]
        return [post.library for post in posts if not post.lookout.drain(deadline.remaining())]

    def active(self) -> list[Library]:
        """The libraries that are watched and verified now."""
        return [post.library for post in self._posts.values() if post.active]

    def suspended(self) -> dict[str, str]:
        """Why libraries are suspended now, by their names."""
        posts = self._posts.values()
        return {post.library.name: post.suspension.reason for post in posts if post.suspension is not None}

    def rescan(
        self, source: Source = Source.RESCAN, libraries: Sequence[Library] | None = None
    ) -> list[ScanJob]:
        """Scan all active libraries, or those of the given ones that are. Nothing to do before the start."""
        if self._scans is None:
            return []
        chosen = [each for each in self.active() if libraries is None or each in libraries]
        return [self._scans.request(library, source) for library in chosen]

    def approve(self, name: str) -> str | None:
        """Accept a suspended library as it is now, with all that is missing; returns why not, None where done."""
        posts = [post for post in self._posts.values() if post.library.name == name]
        if not posts:
            return f"no watched library is named {name}"
        for post in posts:
            if (problem := post.why_not_approve()) is not None:
                return problem
            self._orders.put(post.approve)
        return None

    def may_delete(self, job: ScanJob, missing: int) -> bool:
        """The loss guard: whether so many files may be believed gone though no kernel event told so.

        Raises CatalogUnavailable.
        """
        post = self._posts.get(job.library.id)
        if post is None:
            return False
        guard = self._kept[job.library.id].config.guard()
        if guard is None or post.approved:
            return True
        known = self._memory.count(job.library)
        if not guard.refuses(missing, known):
            return True
        suspension = loss_doubt(job.library, missing, known)
        self._orders.put(lambda: self._refuse(post, job, suspension))
        return False

    def note_scanned(self, job: ScanJob, report: ScanReport) -> None:
        """A scan is complete."""

        def note() -> None:
            if (post := self._posts.get(job.library.id)) is not None:
                post.note_scanned(job, report)
            with self._scanned:
                self._scanned.notify_all()

        self._orders.put(note)

    def is_scanned(self) -> bool:
        """Whether all that happened while nobody watched is known, but for libraries that are suspended."""
        return all(post.is_caught_up() for post in self._posts.values())

    def wait_until_scanned(self, timeout: float) -> None:
        """Wait until a scan is complete, at most so many seconds."""
        with self._scanned:
            self._scanned.wait(timeout)

    def is_begun(self, library_id: int, *, scanned: bool) -> bool:
        """Whether the library is watched by now, or was found that it cannot be; with `scanned` whether the notice
        of its first scan is recorded. Never blocks."""
        post = self._posts.get(library_id)
        if post is None:
            return False
        return post.is_scan_told if scanned else post.active or post.suspension is not None

    def watches(self) -> Mapping[str, int]:
        """Folders that are watched and polled, and watches added and removed, for the metrics."""
        lookouts = [post.lookout for post in self._posts.values()]
        return {
            "active": sum(each.watch_count() for each in lookouts),
            "polled": sum(each.polled_count() for each in lookouts),
            "added": sum(each.added for each in lookouts),
            "removed": sum(each.removed for each in lookouts),
        }

    def health(self) -> Health:
        """Whether every library is watched and was scanned once."""
        posts = self._posts.values()
        troubles = [trouble for post in posts if (trouble := post.trouble())]
        facts = {post.library.name: post.state() for post in posts}
        what = (
            "1 library is watched and was scanned."
            if len(posts) == 1
            else f"{len(posts)} libraries are watched and were scanned."
        )
        detail = "; ".join(troubles) or what
        return Health("libraries", ok=not troubles, detail=detail, facts=facts)

    def progress(self) -> Progress:
        """How far the thread is: each library verified, and each folder watched, is a step."""
        seen = self._pulse.look()
        return replace(seen, steps=seen.steps + self._budget.held())

    # -- the keeper's thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            # One library that waits for the database does not keep the others from being verified.
            work: list[Callable[[], None]] = [partial(self._step, post) for post in self._posts.values()]
            problems = [problem for each in (*work, self._record_all) if (problem := _problem_of(each))]
            self._note_database(problems[0] if problems else None)
            posts = self._posts.values()
            if all(post.active or post.suspension is not None for post in posts):
                self._started_scans().gathered()
            self._pulse.at("carries out what it was told")
            self._obey(_TICK_SECONDS)

    def _step(self, post: Post) -> None:
        if not self._stop.is_set():
            self._pulse.at("verifies and watches", post.library.root)
            post.step(time.monotonic())

    def _obey(self, seconds: float) -> None:
        """Wait so long for orders, and carry out all that have come."""
        try:
            self._orders.get(timeout=seconds)()
            while True:
                self._orders.get_nowait()()
        except queue.Empty:
            pass

    def _record_all(self) -> None:
        while self._to_record:
            self._to_record[0]()
            self._to_record.popleft()

    def _refuse(self, post: Post, job: ScanJob, suspension: Suspension) -> None:
        if post.active and not job.is_abandoned() and self._posts.get(job.library.id) is post:
            post.suspend(suspension, time.monotonic())

    def _note_database(self, error: CatalogUnavailable | None) -> None:
        if error is not None and not self._is_database_away:
            log.warning("keeper_waits_for_database", reason=str(error))
        self._is_database_away = error is not None

    def _put(self, kept: Kept) -> None:
        before, post = self._kept.get(kept.library.id), self._posts.get(kept.library.id)
        self._kept[kept.library.id] = kept
        if before is not None and post is not None and before.wants_same_watch(kept):
            post.retime(kept.config.as_timed())
            return
        # What is missing in one of those that come together may lie in another of them.
        self._started_scans().gather()
        new = self._post(kept)
        if post is not None:
            self._let_go(post, for_good=False)
            new.scanned = post.scanned and post.library == kept.library
        self._posts = {**self._posts, kept.library.id: new}

    def _drop(self, library: Library, *, for_good: bool) -> None:
        post = self._posts.get(library.id)
        if post is None:
            return
        self._posts = {number: each for number, each in self._posts.items() if number != library.id}
        del self._kept[library.id]
        self._let_go(post, for_good=for_good)
        with self._scanned:
            self._scanned.notify_all()

    def _let_go(self, post: Post, *, for_good: bool) -> None:
        post.leave(for_good=for_good)
        self._dropped = [each for each in self._dropped if not each.join(Deadline(0))]
        self._dropped.append(post.lookout)

    def _post(self, kept: Kept) -> Post:
        lookout = Lookout(
            kept.config.as_watched(),
            kept.library,
            kept.path_filter,
            self._observe,
            lambda: self._orders.put(_wake_up),
            self._budget,
        )
        return Post(
            kept.config.as_timed(),
            kept.library,
            kept.path_filter,
            lookout,
            self._eyes,
            self._memory,
            self._started_scans,
            self._to_record.append,
        )

    def _started_scans(self) -> ScanStage:
        assert self._scans is not None
        return self._scans


def _problem_of(work: Callable[[], None]) -> CatalogUnavailable | None:
    """Do the work; returns what the database had against it."""
    try:
        work()
    except CatalogUnavailable as exc:
        return exc
    return None


def _wake_up() -> None:
    """An order that only ends a wait."""
