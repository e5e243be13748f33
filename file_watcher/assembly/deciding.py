"""Builds the decider's stage and the ledger that it writes. Owns no thread."""

from __future__ import annotations

from file_watcher.assembly.sending import Sending
from file_watcher.assembly.surroundings import Ground
from file_watcher.job_clock import JobClock
from file_watcher.jobs.windows import changes_of
from file_watcher.ledger import Ledger, SystemClock
from file_watcher.part_configs import by_library, granularity_ns, longest_wait, pauses
from file_watcher.processing.decider import Decider, DeciderConfig
from file_watcher.processing.deciding import DecidingConfig, DecidingStage
from file_watcher.senses import DecidersEye
from file_watcher.watching.schedule import Scheduler


def deciding_on(
    ground: Ground, eye: DecidersEye, scheduler: Scheduler, sending: Sending, jobs: JobClock | None
) -> DecidingStage:
    """The decider; what it wants to have looked at goes to the scheduler."""
    at, roster, watch = ground.at, ground.roster, ground.at.settings.watch
    decider = Decider(
        DeciderConfig(
            watch.move_window,
            watch.max_wait,
            by_library(roster.rules_of, lambda library, _: granularity_ns(library)),
        ),
        _ledger(ground, jobs),
        eye,
        SystemClock(),
        lambda _now: scheduler.undecided(longest_wait(roster)),
    )
    return DecidingStage(
        DecidingConfig(watch.batch_size, by_library(roster.rules_of, pauses)),
        decider,
        scheduler,
        roster.of,
        sending.relay.wake,
        at.metrics,
        at.on_failure,
    )


def _ledger(ground: Ground, jobs: JobClock | None) -> Ledger:
    at, roster = ground.at, ground.roster
    if jobs is None:
        return Ledger(ground.store, at.instance_id, at.metrics)
    return Ledger(
        ground.store,
        at.instance_id,
        at.metrics,
        lambda events: changes_of(events, roster.jobs_of, roster.of),
        jobs.expect,
    )
