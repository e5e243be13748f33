"""The watchdog: notices a stage that has something to do and makes no progress.

Owns the thread `fw-watchdog`, which looks at every stage from time to time and touches neither disk nor
server. A hang cannot be ended from outside its thread: /healthz fails until the stage moves again, so that
whoever runs the service starts it anew; but for stages that are not vital, whose hangs are told and do not
fail it. (Watches, connections and the processes that read tags are renewed in place by their owners, long before.)
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import structlog

from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health
from file_watcher.pulse import GroupSource, Progress, ProgressSource
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

STUCK_SECONDS: Final = 120.0
"""Twice what any single wait of a stage may last: an answer of the database 65 s, a confirm 30 s, the tags of
a file twice 10 s; a hash counts every 1 MiB, a scan every few hundred files."""
_LOOKS: Final = 24
"""Looks in that time: each 5 s."""


@dataclass(slots=True)
class _Record:
    """What is remembered of a stage between two looks."""

    steps: int
    still_seconds: float = 0.0
    is_stuck: bool = False


@dataclass(frozen=True, slots=True)
class Stuck:
    """A stage that does not get on."""

    progress: Progress
    seconds: float


@dataclass(slots=True)
class Verdict:
    """What one look brought: who is stuck since then, and who moves again."""

    stuck: list[Stuck] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)


class Vigil:
    """Pure: judges the stages look by look."""

    def __init__(self, limit: float, longest_gap: float) -> None:
        """No more than `longest_gap` seconds count between two looks: where more have passed, the whole
        process stood still (SIGSTOP, a laptop that slept), and that is nobody's fault."""
        self._limit = limit
        self._longest_gap = longest_gap
        self._looked_at: float | None = None
        self._records: dict[str, _Record] = {}

    def look(self, stages: Sequence[Progress], now: float) -> Verdict:
        """Judge each stage by what it has done since the last look."""
        gap = 0.0 if self._looked_at is None else min(now - self._looked_at, self._longest_gap)
        self._looked_at = now
        verdict = Verdict()
        for progress in stages:
            self._judge(progress, gap, verdict)
        for stage in self._records.keys() - {progress.stage for progress in stages}:
            if self._records.pop(stage).is_stuck:  # it got on, and ended
                verdict.moving.append(stage)
        return verdict

    def _judge(self, progress: Progress, gap: float, verdict: Verdict) -> None:
        record = self._records.setdefault(progress.stage, _Record(progress.steps))
        if progress.doing is None or progress.steps != record.steps:
            if record.is_stuck:
                verdict.moving.append(progress.stage)
            self._records[progress.stage] = _Record(progress.steps)
            return
        record.still_seconds += gap
        if not record.is_stuck and record.still_seconds >= self._limit * progress.patience:
            record.is_stuck = True
            verdict.stuck.append(Stuck(progress, record.still_seconds))


class Watchdog:
    """A lifecycle.Stage. `stages` and `groups` are asked from its thread, each must answer at once."""

    def __init__(
        self,
        stages: Sequence[ProgressSource],
        telemetry: Telemetry,
        on_failure: FailureReport,
        limit: float = STUCK_SECONDS,
        groups: Sequence[GroupSource] = (),
    ) -> None:
        self._stages = stages
        self._groups = groups
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._every = limit / _LOOKS
        self._vigil = Vigil(limit, 2 * self._every)
        self._stuck: dict[str, tuple[Stuck, float]] = {}
        """With the monotonic time since when it stands still."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = spawn("fw-watchdog", self._run, self._on_failure)

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread."""
        return join_all([self._thread] if self._thread else [], deadline)

    def health(self) -> Health:
        """Whether every stage that has something to do gets on with it; fails for the vital ones only."""
        stuck, now = dict(self._stuck), time.monotonic()
        if not stuck:
            return Health("stages", ok=True, detail="Every stage that has something to do gets on with it.")
        told = [
            f"{name} has not got on for {now - since:.0f} s ({each.progress.doing})"
            for name, (each, since) in stuck.items()
        ]
        is_vital = any(each.progress.is_vital for each, _ in stuck.values())
        mend = (
            "check the disk it reads, and start the service anew; nothing is lost"
            if is_vital
            else "all else goes on; start the service anew when it suits"
        )
        facts = {name: round(now - since) for name, (_, since) in stuck.items()}
        detail = f"{'; '.join(told)}: {mend}"
        return Health("stages", ok=not is_vital, detail=detail, facts={"stuck_seconds": facts})

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            now = time.monotonic()
            members = [each for group in self._groups for each in group()]
            verdict = self._vigil.look([*(stage() for stage in self._stages), *members], now)
            for stage in verdict.moving:
                _, since = self._stuck.pop(stage)
                log.warning("stage_moves_again", stage=stage, after_seconds=round(now - since, 1))
            for each in verdict.stuck:
                self._tell_stuck(each, now)

    def _tell_stuck(self, stuck: Stuck, now: float) -> None:
        stage = stuck.progress.stage
        self._stuck[stage] = (stuck, now - stuck.seconds)
        self._telemetry.stage_stuck(stage)
        log.error(
            "stage_stuck",
            stage=stage,
            seconds=round(stuck.seconds, 1),
            waits=stuck.progress.doing,
            stacks=stacks(),
            effect="/healthz fails until it moves again"
            if stuck.progress.is_vital
            else "all else goes on, and /healthz stays well",
        )


def stacks(is_told: Callable[[threading.Thread], bool] = lambda _thread: True) -> str:
    """Where every thread is now, one to a line, innermost call last: `name: file:line function > …`."""
    frames = sys._current_frames()  # noqa: SLF001 - the documented way to see other threads' stacks
    lines = [
        f"{thread.name}: {_calls(frame)}"
        for thread in sorted(threading.enumerate(), key=lambda each: each.name)
        if is_told(thread) and (frame := frames.get(thread.ident or 0)) is not None
    ]
    return "\n".join(lines)


def _calls(frame: FrameType) -> str:
    summary = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
    calls = [f"{os.path.basename(each.filename)}:{each.lineno} {each.name}" for each in reversed(summary)]
    # Every thread begins with the interpreter's own bootstrap.
    return " > ".join(each for each in calls if not each.startswith("threading.py")) or "not begun"
