"""Builds what looks at files: the workers, their senses, and the children that read tags. Owns no thread."""

from __future__ import annotations

from dataclasses import dataclass

from file_watcher.assembly.surroundings import Ground, Surroundings
from file_watcher.model import FileStat, Ticket
from file_watcher.outlet import Backlog
from file_watcher.part_configs import (
    by_library,
    hashes,
    looking,
    pool_config,
    read_rate,
    settle_config,
    stream_config,
    tag_processes,
)
from file_watcher.processing.deciding import DecidingStage
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.processing.lease import WriterProbe, are_lease_signals_ignored
from file_watcher.processing.pool import WorkerPool
from file_watcher.processing.read_limit import ReadLimit
from file_watcher.processing.tags.pool import TagReader
from file_watcher.senses import DecidersEye, LeaseTrust, WorkersSenses
from file_watcher.watching.mounts import MountReader
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sight import Eyes


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of the disk: by whoever keeps roots (`eyes`), by decider and workers (`eye`), and where a
    lease tells who writes (`trust`)."""

    eyes: Eyes
    eye: DecidersEye
    trust: LeaseTrust


@dataclass(frozen=True, slots=True)
class Examining:
    """The workers, and what may be changed of their work while they run."""

    pool: WorkerPool
    read_limit: ReadLimit
    tags: TagReader


class Sink:
    """Where the pool's results go: observations to the decider, the rest back to the scheduler."""

    def __init__(self, deciding: DecidingStage, scheduler: Scheduler, backlog: Backlog | None) -> None:
        self._deciding = deciding
        self._scheduler = scheduler
        self._backlog = backlog

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until one more result would be taken; False after `timeout` seconds."""
        if self._backlog is not None and not self._backlog.wait_for_room(timeout):
            return False
        return self._deciding.wait_for_room(timeout)

    def wait_while_deciding(self, timeout: float) -> None:
        """Wait until no decision is under way, at most so many seconds."""
        self._deciding.wait_while_deciding(timeout)

    def submit(self, ticket: Ticket, examination: Examination) -> None:
        """What was seen, to be decided."""
        self._deciding.submit(ticket, examination)

    def begin_reading(self, ticket: Ticket, stat: FileStat) -> None:
        """The file is read from now on."""
        self._scheduler.begin_reading(ticket, stat)

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        """The file is to be looked at again after so many seconds."""
        self._scheduler.again(ticket, stat, after)

    def rest(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        """The file rests in the background for so many seconds."""
        self._scheduler.done(ticket, look_again_after=after, stat=stat)


def sight_on(ground: Ground) -> Sight:
    """Everything that sees the disk."""
    eyes = Eyes(MountReader())
    return Sight(eyes, DecidersEye(eyes, ground.roster, ground.tenure.holds), LeaseTrust())


def examining_on(ground: Ground, sight: Sight, sink: Sink) -> Examining:
    """The workers; what they find goes to the sink."""
    at, rules_of = ground.at, ground.roster.rules_of
    read_limit = ReadLimit(read_rate(at.settings.watch), lambda seconds: pool.wait_for_close(seconds))  # noqa: PLW0108
    tags = _tags(at)
    senses = WorkersSenses(
        sight.eye,
        ground.store,
        # Inside another program signals are not ours.
        WriterProbe(sight.trust, is_signal_ignored=at.outlet is None and are_lease_signals_ignored()),
        # One thread is always left for files that are soon read. PLW0108: the pool is built below.
        Fingerprinter(
            lambda: pool.gives_up(),  # noqa: PLW0108
            limiter=read_limit,
            long_readings=lambda: max(pool.threads - 1, 1),
        ),
        tags if at.outlet is None else None,
        at.metrics,
        looking_of=by_library(rules_of, looking),
    )
    examiner = Examiner(
        by_library(rules_of, settle_config),
        senses,
        by_library(rules_of, stream_config),
        hashes=by_library(rules_of, hashes),
        begins_reading=sink.begin_reading,
    )
    pool = WorkerPool(pool_config(at.settings), examiner.examine, sink, at.metrics, at.on_failure)
    return Examining(pool, read_limit, tags)


def _tags(at: Surroundings) -> TagReader:
    watch = at.settings.watch
    return TagReader(
        tag_processes(at.settings.watch),
        watch.tag_memory_limit,
        watch.tag_timeout,
        on_failure=at.on_failure,
        telemetry=at.metrics,
        niceness=watch.nice,
        follow_symlinks=True,  # each library's own rule holds for the look that found a regular file there
    )
