"""Builds what says which libraries are watched: the database's rows, or our own settings where nothing else steers.

Owns no thread; `steering` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from file_watcher.assembly.chosen import Chosen
from file_watcher.assembly.examining import Examining
from file_watcher.assembly.sending import Sending
from file_watcher.assembly.surroundings import Ground, Surroundings
from file_watcher.catalog.changes import change_feed
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.catalog.steering import read_steering
from file_watcher.fleet import Fleet
from file_watcher.job_clock import JobClock
from file_watcher.jobs.rules import problems_of_jobs
from file_watcher.part_configs import pool_config, read_rate, tag_processes
from file_watcher.planning import Plan, PlanConfig
from file_watcher.processing.deciding import DecidingStage
from file_watcher.roster import Watched
from file_watcher.settings import Settings
from file_watcher.steering import Planner, Steering, candidates_of
from file_watcher.tenure import Tenure
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler


def planner_of(at: Surroundings) -> Planner | None:
    """Whoever plans by the database's rows; None where nothing but our own settings steers."""
    if at.layers is None:
        return None
    libraries = LibraryRows(at.database)
    config = PlanConfig(
        at.instance_id,
        at.layers,
        is_alone=at.database.is_sqlite,
        catalog_file=at.database.path,
        problems_of_jobs=problems_of_jobs,
    )
    return Planner(
        config,
        lambda: read_steering(at.database, with_unsent=True),
        lambda roots: libraries.ensure_libraries(roots, at.instance_id),
    )


def watched_first(
    planner: Planner | None, plan: Plan | None, chosen: Chosen, tenure: Tenure
) -> list[Watched]:
    """What is ours of the first plan. Raises CatalogUnavailable, and UsageError for a folder that cannot be made."""
    if planner is None or plan is None:
        return chosen.first()
    return planner.watched(plan, tenure.hold(candidates_of(plan)))


def owner_of(ground: Ground, sending: Sending, jobs: JobClock | None) -> Callable[[Sequence[Watched]], None]:
    """Says whose rows are seen, and whose messages are sent; where others share the catalog the leases say that.

    Called after each change of libraries and their rules, by which jobs may be due earlier than they were."""
    is_alone = ground.at.database.is_sqlite

    def own(watched: Sequence[Watched]) -> None:
        ground.store.own(
            [each.library for each in watched],
            learns_attributes=[each.library.id for each in watched if each.watch.emit_chmod],
        )
        if is_alone:
            sending.outbox.own([each.library.id for each in watched])
        if not ground.at.owns_all:
            sending.relay.reread()
        if jobs is not None:
            jobs.look()

    return own


def adjusting(
    examining: Examining, deciding: DecidingStage, scheduler: Scheduler, scans: ScanStage, sending: Sending
) -> Callable[[Settings], None]:
    """Passes on what holds for the process as a whole and may change while it runs."""

    def adjust(settings: Settings) -> None:
        watch = settings.watch
        examining.pool.resize(pool_config(settings))
        examining.tags.resize(tag_processes(watch))
        examining.read_limit.set_rate(read_rate(watch))
        deciding.set_batch_size(watch.batch_size)
        scheduler.resize(watch.buffer_size)
        scans.resize(watch.buffer_size)
        sending.relay.set_rate(watch.rate_limit)

    return adjust


def steering_by(
    planner: Planner | None, ground: Ground, fleet: Fleet, adjust: Callable[[Settings], None]
) -> Steering | None:
    """Whoever has changed rows done; None where nothing but our own settings steers."""
    if planner is None:
        return None
    at = ground.at

    def adjust_all(settings: Settings) -> None:
        adjust(settings)
        at.log_from(settings.watch.log_to_database)

    return Steering(
        planner, at.settings, change_feed(at.database), ground.tenure, fleet.apply, adjust_all, at.on_failure
    )


def follow(steering: Steering | None, chosen: Chosen) -> None:
    """What is ours has changed: have it watched. Blocks for some seconds where nobody steers."""
    if steering is None:
        chosen.follow()
    else:
        steering.wake()
