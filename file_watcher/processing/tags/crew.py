"""Who reads what: hands files to the children, takes their answers, and deals with their deaths.

Owns no thread: `pool.TagReader` calls it from its one thread. It never blocks, except in `dismiss`.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from typing import Any, Final

import structlog

from file_watcher.model import Fingerprint, Metadata, display
from file_watcher.processing.fingerprint import Reading
from file_watcher.processing.tags.condemned import Condemned
from file_watcher.processing.tags.errors import FileChanged, TagReaderClosed, TagsUnavailable
from file_watcher.processing.tags.hashes import Hashes
from file_watcher.processing.tags.process import WINDOW, ChildConfig, ChildProcess, Job, start_child
from file_watcher.processing.tags.wire import AnswerKind
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

_SPREAD: Final = 4
"""Files that wait in each child before another child is worth its start (100 ms of one core), where none was
answered for `_SLOW_SECONDS`. One that answers has nobody wait: it reads thousands in a second."""
_MANY_WHOLE: Final = 16
"""So many in a child, 10 ms of work where whole files are to be read, are worth another child, too."""
_SLOW_SECONDS: Final = 0.5
"""A child that is at one file for so long gets no others, and those that it has are taken back."""
_SPARE_SECONDS: Final = 5.0
"""How long the spare child may be idle."""
_DEATHS_OF_GUILTY: Final = 2
"""A file is tried once more alone: the machine may have been slow, the child ended from outside, or other files
may have left it little memory."""
_BARREN_STARTS: Final = 3
"""Children in a row that end without one answer before what waits is given back."""
_PAUSES_SECONDS: Final = (0.2, 0.4, 1.0, 5.0)
"""Before the next start after so many barren ones."""
_REAP_SECONDS: Final = 1.0
_LOOKS: Final = 0.25
"""How often busy children are looked at, in parts of the time that a file may take."""


class Crew:
    """The children and the files that wait for them.

    There are up to `size` children, and a spare one while a slow file keeps each of those busy: nobody waits for
    the deadline of a file that hangs. What more than one has nothing to do goes. Files that have ended a child are
    read in `size` of them at most.
    """

    def __init__(self, size: int, config: ChildConfig, telemetry: Telemetry) -> None:
        self._size = size
        self._config = config
        self._telemetry = telemetry
        self._children: list[ChildProcess] = []
        self._dying: list[ChildProcess] = []
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._condemned = Condemned()
        self._barren = 0
        self._next_start = 0.0

    def resize(self, size: int) -> None:
        """So many children at most from now on; what is too many goes when it has nothing to do."""
        self._size = size

    @property
    def load(self) -> int:
        """How many files wait, or are with a child."""
        return len(self._waiting) + len(self._suspects) + sum(child.load for child in self._children)

    def step(self, arrived: list[Job], selector: selectors.BaseSelector) -> None:
        """Take new files, end children that are over their time, hand out what can be handed out."""
        self._take(arrived)
        now = time.monotonic()
        for child in list(self._children):
            self._look_after(child, now, selector)
        self._retire_spare(now, selector)
        self._hand_out(now, selector)
        self._dying = [child for child in self._dying if not child.reap()]

    def _look_after(self, child: ChildProcess, now: float, selector: selectors.BaseSelector) -> None:
        """End it where its time is over; relieve it of what would wait behind a slow file."""
        # What it has answered while we were held up ourselves counts.
        if child.is_overdue(now) and (not self._take_answers(child) or child.is_overdue(now)):
            self._lose(child, f"took longer than {self._config.timeout_seconds:g} s", selector)
        elif child.is_slow(now, _SLOW_SECONDS):
            self._waiting.extendleft(reversed(child.withdraw()))

    def _retire_spare(self, now: float, selector: selectors.BaseSelector) -> None:
        """One that is not needed is kept for a while, since slow files, and many, come together."""
        if len(self._children) == 1:
            return
        idle = [child for child in self._children if (child.idle_for(now) or 0.0) > _SPARE_SECONDS]
        if idle:
            child = idle[0]
            child.kill()
            self._part_with(child, selector)
            log.debug("tag_child_retired", pid=child.pid, answered=child.answered)

    def _take(self, arrived: list[Job]) -> None:
        for job in arrived:
            if not job.future.set_running_or_notify_cancel():
                continue
            if (reason := self._condemned.reason(job.stat)) is None:
                self._waiting.append(job)
            else:
                job.resolve(_nothing_known(reason))

    def seconds_to_wait(self) -> float | None:
        """Until something has to be done without being told; None for as long as it takes."""
        now = time.monotonic()
        times = [seconds for child in self._children if (seconds := self._until_look(child, now)) is not None]
        if len(self._children) > 1:
            times.append(_SPARE_SECONDS)
        if (self._waiting or self._suspects) and self._next_start > now:
            times.append(self._next_start - now)
        if self._dying:
            times.append(_REAP_SECONDS)
        return max(0.0, min(times)) if times else None

    def _until_look(self, child: ChildProcess, now: float) -> float | None:
        """A child goes on to its next file without a word: look often enough to notice that one lasts."""
        if (left := child.seconds_left(now)) is None:
            return None
        look = self._config.timeout_seconds * _LOOKS
        if child.load > 1:
            look = min(look, _SLOW_SECONDS)
        return min(left, look) if left > 0 else look

    def attend(self, child: ChildProcess, selector: selectors.BaseSelector) -> None:
        """Take a child's answers, and notice its end."""
        if child not in self._children:
            # It was lost in the same round.
            return
        if not self._take_answers(child):
            self._lose(child, "ended the process that read it", selector)

    def dismiss(self, arrived: list[Job]) -> None:
        """End all children and fail all files that are unfinished. Waits a second at most for each child."""
        unfinished = [*self._suspects, *self._waiting]
        unfinished += [job for job in arrived if job.future.set_running_or_notify_cancel()]
        for child in self._children:
            child.kill()
            guilty, innocent = child.take_jobs()
            unfinished += [guilty, *innocent] if guilty else innocent
        for job in unfinished:
            job.future.set_exception(TagReaderClosed())
        for child in self._children:
            child.release()
        for child in [*self._children, *self._dying]:
            if not child.reap(_REAP_SECONDS):
                log.warning("tag_child_left_behind", pid=child.pid)

    def _hand_out(self, now: float, selector: selectors.BaseSelector) -> None:
        """Suspects first, each to a child that has nothing else: while one will soon be free, others wait."""
        while self._suspects and (child := self._child_for_suspect(now, selector)):
            child.give(self._suspects.popleft())
        if not self._suspects or not self._will_be_free(now):
            while self._waiting and (child := self._child_for_others(now, selector)):
                child.give(self._waiting.popleft())
        for child in self._children:
            child.flush()
            _watch_requests(child, selector)

    def _may_have_suspect(self) -> bool:
        return sum(child.is_alone_with_suspect for child in self._children) < self._size

    def _will_be_free(self, now: float) -> bool:
        """Whether a suspect may be read that waits for the end of what a child has in hand."""
        return self._may_have_suspect() and any(child.load for child in self._open(now))

    def _open(self, now: float) -> list[ChildProcess]:
        """The children that may be given more."""
        return [
            child
            for child in self._children
            if not child.is_alone_with_suspect and not child.is_slow(now, _SLOW_SECONDS)
        ]

    def _child_for_suspect(self, now: float, selector: selectors.BaseSelector) -> ChildProcess | None:
        """One with nothing to do, or a new one."""
        if not self._may_have_suspect():
            return None
        if free := [child for child in self._children if not child.load]:
            return free[0]
        may_start = len(self._children) < self._size and now >= self._next_start
        return self._start_child(now, selector) if may_start else None

    def _child_for_others(self, now: float, selector: selectors.BaseSelector) -> ChildProcess | None:
        """The least loaded child that may take more, or a new one where that is worth it."""
        candidates = self._open(now)
        best = min(candidates, key=lambda child: child.load, default=None)
        if best is not None and best.load < _SPREAD:
            return best
        is_enough = best is not None and (best.load < _MANY_WHOLE or not self._waiting[0].whole)
        if best is not None and is_enough and best.is_quick(now, _SLOW_SECONDS):
            return best if best.load < WINDOW else None
        most = self._size if candidates else self._size + 1
        may_start = len(self._children) < most and now >= self._next_start
        if may_start and (child := self._start_child(now, selector)) is not None:
            return child
        return best if best is not None and best.load < WINDOW else None

    def _start_child(self, now: float, selector: selectors.BaseSelector) -> ChildProcess | None:
        """A new one; None where that failed, after which nothing waits any more if it was one time too many."""
        try:
            child = start_child(self._config)
        except OSError as exc:
            # As of the moment at which one was wanted: a start that fails may take long.
            if self._open(now):
                self._next_start = time.monotonic() + _PAUSES_SECONDS[-1]
                log.warning("tag_child_not_added", reason=str(exc), effect="those that run read on")
            else:
                self._count_barren(str(exc))
            return None
        self._children.append(child)
        selector.register(child.answers, selectors.EVENT_READ, child)
        return child

    def _take_answers(self, child: ChildProcess) -> bool:
        answers, alive = child.receive()
        for job, kind, content in answers:
            self._resolve(job, kind, content)
        if answers:
            self._barren = 0
        return alive

    def _resolve(self, job: Job, kind: AnswerKind, content: Any) -> None:
        if kind is AnswerKind.METADATA:
            if content is not None and "error" in content:
                self._telemetry.error("tags")
            job.resolve(content)
        elif kind is AnswerKind.WHOLE:
            self._resolve_whole(job, *content)
        elif kind is AnswerKind.ANOTHER_FILE:
            job.future.set_exception(FileChanged(job.path))
        elif kind is AnswerKind.DISK_FAILED:
            if not job.whole:
                self._telemetry.error("tags")
            job.future.set_exception(TagsUnavailable(f"{display(job.path)} cannot be read: {content}."))
        else:
            megabytes = self._config.memory_limit // 1_000_000
            self._blame(job, f"needs more memory than the {megabytes} MB that are allowed")

    def _resolve_whole(self, job: Job, metadata: Any, hashes: Hashes) -> None:
        if metadata is not None and "error" in metadata:
            self._telemetry.error("tags")
        fingerprint = Fingerprint(hashes.sha256, hashes.xxh128)
        job.resolve(metadata, Reading(job.stat, fingerprint, hashes.read_at_ns, hashes.seconds))

    def _blame(self, job: Job, reason: str) -> None:
        """Count the child that a file has cost, and answer for a file that no child can read."""
        job.deaths += 1
        if job.deaths < _DEATHS_OF_GUILTY:
            self._suspects.append(job)
            return
        self._telemetry.error("tags")
        log.warning("tags_unreadable", path=display(job.path), reason=reason)
        sentence = f"Reading the tags of this file {reason}."
        self._condemned.add(job.stat, sentence)
        job.resolve(_nothing_known(sentence))

    def _lose(self, child: ChildProcess, reason: str, selector: selectors.BaseSelector) -> None:
        """End a child, or take note of its end; its files go to others."""
        child.kill()
        self._take_answers(child)
        guilty, innocent = child.take_jobs()
        complaint = self._part_with(child, selector)
        log.info("tag_child_ended", pid=child.pid, answered=child.answered, complaint=complaint)
        self._waiting.extendleft(reversed(innocent))
        if guilty is not None:
            self._blame(guilty, reason)
        elif not child.answered:
            self._count_barren(complaint)

    def _part_with(self, child: ChildProcess, selector: selectors.BaseSelector) -> str:
        """It was ended: let go of it, and return what it complained about."""
        self._children.remove(child)
        for end in (child.answers, child.requests):
            if end in selector.get_map():
                selector.unregister(end)
        self._dying.append(child)
        return child.release()

    def _count_barren(self, complaint: str) -> None:
        self._barren += 1
        pause = _PAUSES_SECONDS[min(self._barren, len(_PAUSES_SECONDS)) - 1]
        self._next_start = time.monotonic() + pause
        log.error("tag_child_did_not_start", attempt=self._barren, pause_seconds=pause, complaint=complaint)
        if self._barren >= _BARREN_STARTS:
            self._give_back()

    def _give_back(self) -> None:
        """Let the callers decide what to do with files that no child can be started for."""
        self._telemetry.error("tags")
        for queue in (self._suspects, self._waiting):
            while queue:
                queue.popleft().future.set_exception(
                    TagsUnavailable("The processes that read tags do not start; the log says why.")
                )


def _watch_requests(child: ChildProcess, selector: selectors.BaseSelector) -> None:
    """Be told when a full pipe has room again, and only then."""
    watched = child.requests in selector.get_map()
    if child.has_unsent and not watched:
        selector.register(child.requests, selectors.EVENT_WRITE, child)
    elif watched and not child.has_unsent:
        selector.unregister(child.requests)


def _nothing_known(error: str) -> Metadata:
    return {
        "duration": None,
        "bitrate": None,
        "sample_rate": None,
        "channels": None,
        "format": None,
        "file_type": None,
        "tags": {},
        "error": error,
    }
